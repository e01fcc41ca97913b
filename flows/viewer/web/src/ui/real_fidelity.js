// What fidelity real patches reach: a number between 0 and 1 says little without it.

import { ask } from '../data/client.js';
import { count, number } from './format.js';

/** Say it in a sentence; empty where nothing was measured. @param {string} layer @param {number} grid */
export async function realFidelity(layer, grid) {
  const { samples, low, median, high } = /** @type {RealFidelity} */ (await ask('real_fidelity', { layer, grid }));
  if (!samples) return '';
  const range = `mostly ${number(low)} to ${number(high)}, median ${number(median)}`;
  const of = `${count(samples)} samples of this grid, each to the mean of its own cell`;
  return `Patches of real images reach a fidelity of ${range} (${of}): none of them is the average.`;
}
