// The view of a map as it stands in the address: `x,y,zoom`.

/** @typedef {import('./tiles.js').View} View */

/** Parse a view, null if it is none. @param {string} text @returns {View | null} */
export function parseView(text) {
  const [x, y, zoom, ...more] = text ? text.split(',').map(Number) : [];
  return !more.length && [x, y, zoom].every(Number.isFinite) ? { x, y, zoom } : null;
}

/** @param {View} view */
export const formatView = ({ x, y, zoom }) => [x.toFixed(4), y.toFixed(4), zoom.toFixed(3)].join(',');
