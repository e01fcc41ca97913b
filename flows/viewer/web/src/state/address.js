// One address per state of the page, read from the address bar and written to it.

import { host } from '../data/transport.js';
import { FIRST, isRunPlace, PLACES, placeOf } from './places.js';

/**
 * @typedef {object} State
 * @property {import('./places.js').PlaceName} place
 * @property {string} name
 * @property {number | null} version
 * @property {string} what  a layer, LAYER:UNIT or an image's id
 * @property {string} [other]  the NAME@VERSION to compare with
 * @property {Record<string, string>} query
 */

const VERSION = /^[1-9]\d{0,8}$/;

/** NAME or NAME@VERSION. */
const RUN = /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}(@[1-9]\d{0,8})?$/;

/** Whether addresses stand after `#`: in files opened from a disk, exports and notebooks. */
export const hashed = () => location.protocol === 'file:' || host !== null || 'ACTLAS' in window;

/** @returns {State} */
export function here() {
  if (!hashed()) return parse(location.pathname + location.search);
  return parse(location.hash.slice(1) || '/');
}

/**
 * Parse an address. A run may have the name of a place: `/api` alone is the interface, and two runs follow `/compare/` unless
 * the next word names a place; with a place or a version after it the word is a run's name: `/api/atlas`, `/compare@2`.
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
  const fixed = PLACES.find((place) => place.path === `/${parts.join('/')}`);
  if (fixed) return state({ place: /** @type {State['place']} */ (fixed.name) });
  const pair = PLACES.find((place) => place.needs === 'runs' && place.name === parts[0]);
  if (pair && parts.length > 1 && !isRunPlace(parts[1])) return state(parsePair(pair.name, raw[1], parts[2] ?? ''));
  const [name, version] = split(parts[0], '@');
  const place = parts[1] ?? FIRST;
  const known = isRunPlace(place) && parts.length <= 3 && (version === undefined || VERSION.test(version));
  if (!known) return state({ name });
  const number = version ? Number(version) : null;
  return state({ place: /** @type {State['place']} */ (place), name, version: number, what: parts[2] ?? '' });
}

/**
 * Split two runs at the first `..` that has a run's name on both sides. `format` writes the dots of a name that contains `..`
 * or ends in a dot as `%2E`, which splits nothing.
 * @param {string} place
 * @param {string} both as it stands in the address
 * @param {string} what
 * @returns {Partial<State>}
 */
function parsePair(place, both, what) {
  for (let at = both.indexOf('..'); at >= 0; at = both.indexOf('..', at + 1)) {
    const [a, other] = [decoded(both.slice(0, at)), decoded(both.slice(at + 2))];
    if (RUN.test(a) && RUN.test(other)) {
      return { place: /** @type {State['place']} */ (place), ...versionOf(a), other, what };
    }
  }
  return {};
}

/** Escape the dots of a run's name that would split a pair. @param {string} run */
const undotted = (run) => (/\.\.|\.(@|$)/.test(run) ? run.replaceAll('.', '%2E') : run);

/** Write the address of a state. @param {State} state */
export function format(state) {
  const entries = Object.entries(state.query).filter(([, value]) => value !== '');
  const search = readable(new URLSearchParams(entries).toString());
  const { name, needs, path = '' } = placeOf(state.place);
  if (path) return search ? `${path}?${search}` : path;
  const run = state.version ? `${state.name}@${state.version}` : state.name;
  const start = needs === 'runs' ? `/${name}/${undotted(run)}..${undotted(state.other ?? '')}` : `/${run}/${name}`;
  const full = state.what ? `${start}/${readable(encodeURIComponent(state.what))}` : start;
  return search ? `${full}?${search}` : full;
}

/** Undo the escapes that addresses do not need. @param {string} text */
const readable = (text) => text.replaceAll('%2C', ',').replaceAll('%3A', ':').replaceAll('%40', '@');

/** Return the address of a state, as links need it. @param {State} state */
export const href = (state) => (hashed() ? `#${format(state)}` : format(state));

/** Split `NAME[@VERSION]`. @param {string} text */
export function versionOf(text) {
  const [name, version] = split(text, '@');
  return { name, version: version && VERSION.test(version) ? Number(version) : null };
}

/** Return the run on show and its version: the later one of two in comparison. @param {State} state */
export const runOf = ({ place, name, version, other }) =>
  placeOf(place).needs === 'runs' ? versionOf(other ?? '') : { name, version };

/** Split `LAYER:UNIT`. @param {string} what */
export function unitOf(what) {
  const at = what.lastIndexOf(':');
  return { layer: what.slice(0, at), unit: Number(what.slice(at + 1)) };
}

/** Whether a run has a unit. @param {string} what `LAYER:UNIT` @param {About} about */
export function isUnit(what, about) {
  const { layer, unit } = unitOf(what);
  return /:\d{1,9}$/.test(what) && about.layers.some((known) => known.name === layer && unit < known.units);
}

/** Return the units that led here, from the `trail` parameter. @param {State} state @param {About} about */
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
