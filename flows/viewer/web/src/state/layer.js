// The layer that a state is about, and the same state at another layer or place.

import { isUnit, unitOf } from './address.js';
import { placeOf } from './places.js';

/** @typedef {import('./address.js').State} State */

/** Parameters that refer to a unit of one layer and do not apply to another. */
const OF_A_UNIT = /^(sort=like|shade=unit):/;

/** Return the same state at another layer. A unit has no counterpart there, so it leads to all units. @param {State} state @param {string} layer @returns {State} */
export function atLayer(state, layer) {
  const { keeps, subject, parent } = placeOf(state.place);
  const entries = Object.entries(state.query).filter(([name]) => keeps.includes(name));
  const query = Object.fromEntries(entries.filter(([name, value]) => !OF_A_UNIT.test(`${name}=${value}`)));
  if (subject === 'image') return { ...state, query: { ...query, layer } };
  return { ...state, place: /** @type {State['place']} */ (parent ?? state.place), what: layer, query };
}

/** Return the state of another place of the same run, at the same layer. @param {State} state @param {string} name @param {About} about @returns {State} */
export function atPlace(state, name, about) {
  const layer = layerOf(state, about);
  const { subject, needs } = placeOf(name);
  const place = /** @type {State['place']} */ (name);
  if (subject === 'image') return { ...state, place, what: '', query: { layer } };
  const there = { ...state, place, what: subject === 'layer' ? layer : '', query: {} };
  if (needs !== 'runs') return there;
  const before = about.versions.filter((number) => number < about.version).at(-1) ?? about.version;
  return { ...there, version: before, other: `${about.name}@${about.version}` };
}

/** Return the layer that a state is about: the one in its address, or the middle one. @param {State} state @param {About} about */
export function layerOf(state, about) {
  const { subject } = placeOf(state.place);
  const name = subject === 'unit' ? unitOf(state.what).layer : subject === 'image' ? state.query.layer : state.what;
  if (about.layers.some((layer) => layer.name === name)) return name;
  return about.layers[Math.floor(about.layers.length / 2)]?.name ?? '';
}

/** Whether a run has what the address names after the place. @param {State} state @param {About} about */
export function hasSubject({ place, what }, about) {
  const { needs, subject } = placeOf(place);
  if (needs !== 'run') return true;
  if (subject === 'unit') return isUnit(what, about);
  if (!what || !subject) return true;
  if (subject === 'image') return /^\d{1,9}$/.test(what) && Number(what) < about.ids;
  return about.layers.some((layer) => layer.name === what);
}
