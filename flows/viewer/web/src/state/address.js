// One address per state: where one is, read from the address bar and written to it.

import { host } from '../data/transport.js';

/**
 * @typedef {object} State
 * @property {'home' | 'atlas' | 'units' | 'unit' | 'image' | 'run' | 'compare' | 'api' | 'lost'} place
 * @property {string} name
 * @property {number | null} version
 * @property {string} what  a layer, LAYER:UNIT or an image's id
 * @property {string} [other]  the NAME@VERSION that is compared with
 * @property {Record<string, string>} query
 */

const PLACES = ['atlas', 'units', 'unit', 'image', 'run'];

/** What a run may be called, and its version. */
const RUN = /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}(@[1-9]\d{0,8})?$/;

/** Opened from a disk or exported: the address stands after `#`. */
export const hashed = () => location.protocol === 'file:' || host !== null || 'ACTLAS' in window;

/** @returns {State} */
export function here() {
  if (!hashed()) return parse(location.pathname + location.search);
  return parse(location.hash.slice(1) || '/');
}

/**
 * What an address says. A run may be called as a place of ours is: `/api` alone is the interface, and what follows `/compare/` is
 * two runs unless it is the name of a place; with a place or a version after it the word is a run's name: `/api/atlas`, `/compare@2`.
 * @param {string} address
 * @returns {State}
 */
export function parse(address) {
  const [path, search = ''] = split(address, '?');
  const query = Object.fromEntries(new URLSearchParams(search));
  const raw = path.split('/').filter(Boolean);
  const parts = raw.map(decoded);
  const state = (/** @type {Partial<State>} */ more) =>
    /** @type {State} */ ({ place: 'lost', name: '', version: null, what: '', query, ...more });
  if (!parts.length) return state({ place: 'home' });
  if (parts.length === 1 && parts[0] === 'api') return state({ place: 'api' });
  if (parts[0] === 'compare' && parts.length > 1 && !PLACES.includes(parts[1]))
    return compared(raw[1], parts[2] ?? '', state);
  const [name, version] = split(parts[0], '@');
  const place = parts[1] ?? 'atlas';
  const known =
    PLACES.includes(place) && parts.length <= 3 && (version === undefined || /^[1-9]\d{0,8}$/.test(version));
  if (!known) return state({ place: 'lost', name });
  return state({
    place: /** @type {State['place']} */ (place),
    name,
    version: version ? Number(version) : null,
    what: parts[2] ?? '',
  });
}

/**
 * Two runs are parted by the first `..` that has a run's name on both sides. Where a name has `..` itself, or ends in a dot, `format`
 * writes its dots as `%2E`, which part nothing.
 * @param {string} both as it stands in the address
 * @param {string} what
 * @param {(more: Partial<State>) => State} state
 */
function compared(both, what, state) {
  for (let at = both.indexOf('..'); at >= 0; at = both.indexOf('..', at + 1)) {
    const [a, other] = [decoded(both.slice(0, at)), decoded(both.slice(at + 2))];
    if (RUN.test(a) && RUN.test(other)) return state({ place: 'compare', ...versionOf(a), other, what });
  }
  return state({});
}

/** A run as one of two in an address. @param {string} run */
const undotted = (run) => (/\.\.|\.(@|$)/.test(run) ? run.replaceAll('.', '%2E') : run);

/** @param {State} state */
export function format(state) {
  const run = state.version ? `${state.name}@${state.version}` : state.name;
  const search = new URLSearchParams(Object.entries(state.query).filter(([, value]) => value !== ''))
    .toString()
    .replaceAll('%2C', ',')
    .replaceAll('%3A', ':')
    .replaceAll('%40', '@');
  let path = '/';
  if (state.place === 'api') path = '/api';
  else if (state.place === 'compare') {
    path = `/compare/${undotted(run)}..${undotted(state.other ?? '')}${state.what ? `/${encodeURIComponent(state.what)}` : ''}`;
  } else if (state.place !== 'home') {
    path = `/${run}/${state.place}${state.what ? `/${encodeURIComponent(state.what).replaceAll('%3A', ':')}` : ''}`;
  }
  return search ? `${path}?${search}` : path;
}

/** What a link to a state leads to. @param {State} state */
export const href = (state) => (hashed() ? `#${format(state)}` : format(state));

/** Name and version of `NAME[@VERSION]`. @param {string} text */
export function versionOf(text) {
  const [name, version] = split(text, '@');
  return { name, version: version && /^[1-9]\d{0,8}$/.test(version) ? Number(version) : null };
}

/** The run and version that are shown: of two that are compared, the later. @param {State} state */
export const seen = (state) =>
  state.place === 'compare' ? versionOf(state.other ?? '') : { name: state.name, version: state.version };

/** Unit and layer of `LAYER:UNIT`. @param {string} what */
export function unitOf(what) {
  const at = what.lastIndexOf(':');
  return { layer: what.slice(0, at), unit: Number(what.slice(at + 1)) };
}

/** Is what stands for a unit in an address one of a run? @param {string} what `LAYER:UNIT` @param {About} about */
export function isUnit(what, about) {
  const { layer, unit } = unitOf(what);
  return /:\d{1,9}$/.test(what) && about.layers.some((known) => known.name === layer && unit < known.units);
}

/** The units one came by, as `trail` has them. @param {State} state @param {About} about */
export const trailOf = (state, about) => (state.query.trail ?? '').split('~').filter((what) => isUnit(what, about));

/** @param {string} text @param {string} at @returns {[string, string | undefined]} */
function split(text, at) {
  const place = text.indexOf(at);
  return place < 0 ? [text, undefined] : [text.slice(0, place), text.slice(place + at.length)];
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
