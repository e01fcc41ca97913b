// How far chance reaches in correlations over the cells of a map.

import { many } from '../../ui/format.js';

/** Whether a correlation is within what chance reaches. @param {number | null | undefined} correlation @param {number | null} bound */
export const within = (correlation, bound) => bound === null || Math.abs(correlation ?? 0) <= bound;

/** @param {{ cells: number, bound: number | null, permuted: number | null }} facts */
export function byChance({ cells, bound, permuted }) {
  const over = `Correlation over ${many(cells, 'cell')}`;
  if (bound === null) return `${over}: too few to tell from chance.`;
  const shifted = `±${bound.toFixed(2)} by chance, with the map shifted and mirrored`;
  return `${over}. The largest reaches ${shifted} (±${(permuted ?? 0).toFixed(2)} with its cells permuted); what is within is grey.`;
}
