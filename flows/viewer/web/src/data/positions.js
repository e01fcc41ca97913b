// Positions of a layer, and the blocks that a large grid is shown in.

/** Return the block, of `count`, that holds a position; `starts` are the first position of each. @param {number[]} starts @param {number} count @param {number} position */
export const part = (starts, count, position) => starts.slice(0, count).filter((start) => start <= position).length - 1;

/** Write the positions of a block, of `size` in all: 6, or 6–7. @param {number[]} starts @param {number} count @param {number} block @param {number} size */
export function span(starts, count, block, size) {
  const last = (block + 1 < count ? starts[block + 1] : size) - 1;
  return last > starts[block] ? `${starts[block]}–${last}` : String(starts[block]);
}

/** Parse a position from the address; null if there is none. @param {string | undefined} text @param {number} rows @param {number} cols @returns {[number, number] | null} */
export function parsePosition(text, rows, cols) {
  const match = /^(\d{1,4}),(\d{1,4})$/.exec(text ?? '');
  if (!match || Number(match[1]) >= rows || Number(match[2]) >= cols) return null;
  return [Number(match[1]), Number(match[2])];
}
