// Motion since another version, on the map of this one: how much each cell has turned, and arrows from where samples lay.

import { href, here, versionOf } from '../../state/address.js';
import { ask, peek } from '../../data/client.js';
import { h } from '../../ui/dom.js';
import { percent } from '../../ui/format.js';
import { arrowKeys } from '../../map/arrows.js';
import { legend } from './tools.js';

/**
 * @param {import('../../map/grid.js').Grid} grid
 * @param {string} since NAME@VERSION
 * @returns {Promise<{ amount: Float32Array | null, arrows: Arrows | null, legend: import('../../ui/dom.js').Child[] }>}
 */
export async function motion(grid, since) {
  const before = versionOf(since);
  const old = await peek(before.name, before.version);
  const moved = /** @type {Moved} */ (await ask('moved', { layer: grid.layer.name, since: `${old.name}@${old.tag}` }));
  const state = here();
  const compare = h(
    'a',
    {
      href: href({
        ...state,
        place: 'compare',
        name: old.name,
        version: old.version,
        other: `${state.name}${state.version ? `@${state.version}` : ''}`,
        what: grid.layer.name,
        query: {},
      }),
    },
    'Side by side',
  );
  if (moved.same_layout)
    return {
      amount: null,
      arrows: null,
      legend: [h('span', { class: 'quiet' }, `nothing moved since @ ${old.version}`), compare],
    };
  if (!moved.same_frame)
    return {
      amount: null,
      arrows: null,
      legend: [h('span', { class: 'quiet' }, `laid out apart from @ ${old.version}: no motion to draw here`), compare],
    };
  const cells = moved.cells.find((one) => one.grid === grid.size);
  const amount = new Float32Array(grid.length).fill(NaN);
  cells?.row.forEach((row, k) => {
    const i = grid.at(row, cells.col[k]);
    const stayed = cells.stayed[k];
    if (i >= 0) amount[i] = stayed === null ? 1 : 1 - stayed;
  });
  const arrows = moved.arrows.find((one) => one.grid === grid.size) ?? null;
  return {
    amount,
    arrows,
    legend: [
      ...legend(`samples that are others since @ ${old.version}`, [percent(0), percent(1)]),
      ...(arrows ? arrowKeys(moved.displacement.noise_median !== null) : []),
      compare,
    ],
  };
}
