// Formatting numbers, counts and dates.

const WHOLE = new Intl.NumberFormat('en');

/** Format a count with thousands separators. @param {number} value */
export const count = (value) => WHOLE.format(value);

/** Format a number with three significant digits. @param {number | null | undefined} value */
export function number(value) {
  if (value === null || value === undefined) return '–';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1000 || Number.isInteger(value)) return WHOLE.format(Math.round(value)).replace('-', '−');
  if (size < 0.001) return value.toExponential(1).replace('-', '−');
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.01 ? 2 : 4).replace('-', '−');
}

/** Format a metric's value. @param {number | boolean | null | undefined} value @param {string} kind */
export function valueOfKind(value, kind) {
  if (value === null || value === undefined) return '–';
  if (kind === 'flag') return value ? 'yes' : 'no';
  if (kind === 'share') return percent(Number(value));
  return kind === 'count' ? count(Number(value)) : number(Number(value));
}

/** Format a number with its sign. @param {number | null | undefined} value */
export const signed = (value) => (typeof value === 'number' && value > 0 ? `+${number(value)}` : number(value));

/** Format a share as per cent, without a line break. @param {number} value @returns {string} */
export function percent(value) {
  const hundred = value * 100;
  if (hundred < 0) return `−${percent(-value)}`;
  if (hundred > 0 && hundred < 1) return '<\u00a01\u00a0%';
  if (hundred < 100 && hundred > 99) return '>\u00a099\u00a0%';
  return `${Math.round(hundred)}\u00a0%`;
}

/** "1 image", "2 images". @param {number} n @param {string} one @param {string} [many] */
export const many = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** Format a date: 3 May 2025. @param {string} iso */
export const day = (iso) =>
  new Date(iso).toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric' });
