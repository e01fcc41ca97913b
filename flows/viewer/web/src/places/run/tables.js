// The tables of a run: its provenance, layers and versions.

import { live } from '../../data/client.js';
import { href } from '../../state/address.js';
import { section } from '../../ui/components.js';
import { h } from '../../ui/dom.js';
import { count, day, number } from '../../ui/format.js';
import { explained } from '../../ui/term.js';

/** @typedef {import('../../state/address.js').State} State */

/** Settings that other rows show. */
const SHOWN = ['model', 'layers', 'images'];

/** @param {About} about @param {number} used */
export function provenance(about, used) {
  const row = (/** @type {string} */ name, /** @type {string} */ value) => [h('dt', {}, name), h('dd', {}, value)];
  const settings = Object.entries(about.config).filter(([name, value]) => !SHOWN.includes(name) && !isEmpty(value));
  return section(
    'What it is made of',
    h(
      'dl',
      { class: 'facts wide' },
      ...row('model', about.model),
      ...row('input', about.input ? about.input.join(' × ') : '–'),
      ...row('images', about.images),
      ...row('used', `${count(used)} of ${count(about.listed)}`),
      ...row('labels', count(about.labels)),
      ...row('classes', count(about.classes)),
      ...row('published', day(about.published)),
      h('dt', {}, 'sha256'),
      h('dd', {}, h('code', {}, about.sha256)),
      ...weights(about),
      ...(about.varying ? row('not fixed', about.varying) : []),
      ...(about.no_scores ? row('class scores', about.no_scores) : []),
      ...settings.flatMap(([name, value]) => row(name, Array.isArray(value) ? value.join(', ') : String(value))),
    ),
  );
}

/** @param {unknown} value */
const isEmpty = (value) => value === null || (typeof value === 'object' && !Object.keys(value).length);

/** @param {About} about */
function weights({ fingerprints }) {
  const last = Object.entries(fingerprints).at(-1);
  if (!last) return [];
  const [layer, hash] = last;
  const what = `a hash of all weights that ${layer} depends on, and of the preprocessing`;
  return [h('dt', {}, explained('weights', what)), h('dd', {}, h('code', {}, hash.slice(0, 32)), ` up to ${layer}`)];
}

/** @param {string} kind @param {string[]} names @param {(i: number) => boolean} numeric @param {HTMLElement[]} rows */
function table(kind, names, numeric, rows) {
  const heads = names.map((name, i) => h('th', { scope: 'col', class: numeric(i) ? 'num' : '' }, name));
  return h('table', { class: kind }, h('thead', {}, h('tr', {}, ...heads)), h('tbody', {}, ...rows));
}

/** List the published versions, null for a single one. @param {State} state @param {About} about */
export function versions(state, about) {
  if (about.history.length < 2) return null;
  const names = ['version', 'published', 'images', 'weights', 'what moved'];
  const rows = about.history.map((row) => versionRow(state, about, row));
  return section(
    'Versions',
    table('table versions', names, (i) => i === 2, rows),
  );
}

/** @param {State} state @param {About} about @param {About['history'][number]} row */
function versionRow(state, about, { version, published, images, weights: name }) {
  const current = version === about.version ? 'page' : null;
  const words = version < about.version ? 'since then' : 'until then';
  const compare = live() && !current && h('a', { href: compareHref(state, about, version) }, words);
  return h(
    'tr',
    {},
    h('td', {}, h('a', { href: href({ ...state, version }), 'aria-current': current }, `@ ${version}`)),
    h('td', {}, day(published)),
    h('td', { class: 'num' }, count(images)),
    h('td', { class: 'quiet' }, name ?? 'the model’s own'),
    h('td', {}, compare),
  );
}

/** @param {State} state @param {About} about @param {number} other */
function compareHref(state, about, other) {
  const [old, now] = [other, about.version].sort((a, b) => a - b);
  return href({ ...state, place: 'compare', version: old, other: `${about.name}@${now}`, what: '', query: {} });
}

/** @param {State} state @param {About} about */
export function layers(state, about) {
  const names = ['layer', 'units', 'positions', 'focus', 'cells'];
  const rows = about.layers.map((layer) => layerRow(state, layer));
  return section(
    'Layers',
    table('table', names, (i) => i > 0, rows),
  );
}

/** @param {State} state @param {LayerFacts} layer */
function layerRow(state, { name, units, height, width, focus, grids }) {
  const link = h('a', { href: href({ ...state, place: 'atlas', what: name, query: {} }) }, name);
  const num = { class: 'num' };
  return h(
    'tr',
    {},
    h('td', {}, link),
    h('td', num, count(units)),
    h('td', num, `${height} × ${width}`),
    h('td', num, focus ? `${number(focus)} px` : '–'),
    h('td', num, grids.map((grid) => count(grid.cells)).join(', ')),
  );
}
