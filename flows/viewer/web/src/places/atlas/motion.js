// Motion since another version, on the map of this one: the share of new samples in each cell, and arrows.

import { ask, peek } from '../../data/client.js';
import { here, href, versionOf } from '../../state/address.js';
import { arrowKeys } from '../../map/arrows.js';
import { h } from '../../ui/dom.js';
import { percent } from '../../ui/format.js';
import { legend } from './tools.js';

/**
 * @param {import('../../map/grid.js').Grid} grid
 * @param {string} since NAME@VERSION
 * @returns {Promise<{ amount: Float32Array | null, arrows: Arrows | null, legend: import('../../ui/dom.js').Child[] }>}
 */
export async function motion(grid, since) {
  const { name, version } = versionOf(since);
  const old = await peek(name, version);
  const moved = /** @type {Moved} */ (await ask('moved', { layer: grid.layer.name, since: `${old.name}@${old.tag}` }));
  const link = h('a', { href: compareHref(old, grid.layer.name) }, 'Side by side');
  const none = (/** @type {string} */ words) => ({
    amount: null,
    arrows: null,
    legend: [h('span', { class: 'quiet' }, words), link],
  });
  if (moved.same_layout) return none(`nothing moved since @ ${old.version}`);
  if (!moved.same_frame) return none(`laid out separately from @ ${old.version}: no motion to draw here`);
  const arrows = moved.arrows.find((one) => one.grid === grid.size) ?? null;
  const keys = arrows ? arrowKeys(moved.displacement.noise_median !== null) : [];
  const ramp = legend(`new samples since @ ${old.version}`, [percent(0), percent(1)]);
  return { amount: newShare(grid, moved), arrows, legend: [...ramp, ...keys, link] };
}

/** Return the address of the comparison of the open version with an old one. @param {About} old @param {string} layer */
function compareHref({ name, version }, layer) {
  const state = here();
  const other = `${state.name}${state.version ? `@${state.version}` : ''}`;
  return href({ ...state, place: 'compare', name, version, other, what: layer, query: {} });
}

/** Return the share of samples that each cell did not have before. @param {import('../../map/grid.js').Grid} grid @param {Moved} moved */
function newShare(grid, moved) {
  const cells = moved.cells.find((one) => one.grid === grid.size);
  const share = new Float32Array(grid.length).fill(NaN);
  cells?.row.forEach((row, k) => {
    const i = grid.at(row, cells.col[k]);
    const stayed = cells.stayed[k];
    if (i >= 0) share[i] = stayed === null ? 1 : 1 - stayed;
  });
  return share;
}
