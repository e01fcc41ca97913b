// The metrics of cells and units, from the rows of flows/metrics/metrics.py: columns, orders, shades and card rows.

import rows from '../generated/metrics.json' with { type: 'json' };

/**
 * A way to sort: its name in addresses, the end that comes first, and its description.
 * @typedef {{ name: string, first: string, words: string }} Order
 */

/**
 * @typedef {object} Metric
 * @property {string} name  for users and in addresses
 * @property {string} key  in answers
 * @property {string} words
 * @property {string} unit
 * @property {string} stage  the stage that a run needs for it
 * @property {string} answer  the answer that holds it; `cell` holds that of one cell, the others a column
 * @property {string} kind  number, count or flag
 * @property {string} best  the good end: high, low or neither
 * @property {Order[]} orders
 * @property {string} shade  its name in addresses, empty for none
 * @property {boolean} card
 */

/** @typedef {(number | null)[]} Values */

/** @type {Metric[]} */
export const CELL = rows.cell;

/** @type {Metric[]} */
export const UNIT = rows.unit;

/** Return the metrics whose stages a run has. @param {string[]} has the stages of a grid or layer @param {Metric[]} metrics */
export const offered = (has, metrics) => metrics.filter(({ stage }) => has.includes(stage));

/** Return the metrics that have a column. @param {string[]} has @param {Metric[]} metrics */
const columns = (has, metrics) => offered(has, metrics).filter(({ answer }) => answer && answer !== 'cell');

/** Return the metrics that sort a list. @param {string[]} has @param {Metric[]} [metrics] */
export const sortable = (has, metrics = CELL) => columns(has, metrics).filter(({ orders }) => orders.length);

/** Return the metrics that shade the map. @param {string[]} has @param {Metric[]} [metrics] */
export const shades = (has, metrics = CELL) => columns(has, metrics).filter(({ shade }) => shade);

/** Return the metrics that measure quality. @param {string[]} has @param {Metric[]} metrics */
export const qualities = (has, metrics) =>
  columns(has, metrics).filter(({ kind, best }) => kind === 'number' && best !== '');

/** Return the metrics that mark faults. @param {string[]} has @param {Metric[]} metrics */
export const faults = (has, metrics) =>
  columns(has, metrics).filter(({ kind, best }) => kind === 'flag' && best === 'low');

/** Return the values of a metric, null if they are missing or not loaded. @param {object} answer @param {Metric} metric @returns {Values | null} */
export const valuesOf = (answer, { key }) => /** @type {Record<string, any>} */ (answer)[key] ?? null;

/** Return the numbers below `length` in the order of their values; the missing ones last. @param {number} length @param {ArrayLike<number | null>} values @param {string} first */
export function sorted(length, values, first) {
  const sign = first === 'high' ? -1 : 1;
  const place = (/** @type {number} */ i) => sign * (values[i] ?? sign * Infinity);
  return Array.from({ length }, (_, i) => i).sort((a, b) => place(a) - place(b) || a - b);
}

/**
 * Return the rows of a cell's card. A value that the answer about the cell lacks is read from the metric's column; it is
 * undefined until that is loaded.
 * @param {Cell} cell
 * @param {(metric: Metric) => number | null | undefined} fromColumn
 * @param {string[]} has
 * @param {Metric[]} [metrics]
 */
export function cardRows(cell, fromColumn, has, metrics = CELL) {
  const known = /** @type {Record<string, any>} */ ({ ...cell.icon, ...cell });
  return offered(has, metrics)
    .filter(({ card }) => card)
    .map((metric) => ({ metric, value: metric.key in known ? known[metric.key] : fromColumn(metric) }));
}
