// Which names stand on the cells: labels, classes or none.

import { setQuery } from '../../state/navigate.js';
import { fill, h } from '../../ui/dom.js';

/** @typedef {import('../../map/grid.js').Kind} Kind */

export const RULE =
  'A name is printed where at least 3 samples have it and its share beats the largest such lift of all cells in 95 % of 200 permutations of the samples';

/** Return the kinds of names that a run has, labels first. @param {About} about @param {LayerFacts | null} layer @returns {Kind[]} */
function kinds(about, layer) {
  const attributed = layer?.grids.some(({ has }) => has.includes('attribution'));
  return [
    ...(about.labels ? [/** @type {Kind} */ ('labels')] : []),
    ...(attributed ? [/** @type {Kind} */ ('classes')] : []),
    'none',
  ];
}

/** Return the kind in the address, or the first that the run has. @param {import('../../state/address.js').State} state @param {About} about @param {LayerFacts | null} layer */
export function kindOf(state, about, layer) {
  const offered = kinds(about, layer);
  return offered.find((kind) => kind === state.query.names) ?? offered[0];
}

/** Return the menu, and a function that fills it. */
export function namesMenu() {
  /** @type {Kind} */
  let first = 'none';
  const select = h('select', {
    id: 'names',
    onchange: () => setQuery({ names: select.value === first ? null : select.value }),
  });
  const element = h(
    'label',
    { class: 'tool', for: 'names', title: RULE },
    h('span', { class: 'quiet tool-name' }, 'Names'),
    select,
  );
  const update = (
    /** @type {import('../../state/address.js').State} */ state,
    /** @type {About} */ about,
    /** @type {LayerFacts} */ layer,
  ) => {
    const offered = kinds(about, layer);
    first = offered[0];
    fill(select, ...offered.map((kind) => h('option', { value: kind }, kind)));
    select.value = kindOf(state, about, layer);
    element.hidden = offered.length < 2;
    return kindOf(state, about, layer);
  };
  return { element, update };
}
