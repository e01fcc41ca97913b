// The layer that a state is about, and the same state at another layer.

/** @typedef {import('./address.js').State} State */

/** What an address says beside the layer that can be said of another layer too, by place. @type {Partial<Record<State['place'], string[]>>} */
const KEPT = {
  atlas: ['view', 'order', 'class', 'side', 'intensity', 'shade'],
  units: ['sort', 'label', 'class'],
  image: ['class', 'against', 'show', 'mix', 'own', 'text'],
  compare: ['motion'],
};

/** Likeness to a unit and its shade are of one layer alone. */
const OF_A_UNIT = /^(sort=like|shade=unit):/;

/** The same at another layer; a unit has its like at none, so it leads to all units. @param {State} state @param {string} layer @returns {State} */
export function atLayer(state, layer) {
  const kept = Object.entries(state.query).filter(
    ([name, value]) => KEPT[state.place]?.includes(name) && !OF_A_UNIT.test(`${name}=${value}`),
  );
  const query = Object.fromEntries(kept);
  if (state.place === 'image') return { ...state, query: { ...query, layer } };
  return { ...state, place: state.place === 'unit' ? 'units' : state.place, what: layer, query };
}

/** The layer that a state is about. @param {State} state @param {About} about */
export function layerOf(state, about) {
  const named =
    state.place === 'unit'
      ? state.what.slice(0, state.what.lastIndexOf(':'))
      : state.place === 'image'
        ? state.query.layer
        : state.what;
  return about.layers.some((layer) => layer.name === named)
    ? named
    : (about.layers[Math.floor(about.layers.length / 2)]?.name ?? '');
}
