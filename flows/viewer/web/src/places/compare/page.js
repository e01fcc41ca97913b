// The layout of a comparison: the header with both runs, the notes and the two maps.

import { live } from '../../data/client.js';
import { actlas, versionName } from '../../data/commands.js';
import { here, href } from '../../state/address.js';
import { atLayer } from '../../state/layer.js';
import { go, setQuery } from '../../state/navigate.js';
import { command } from '../../ui/components.js';
import { h } from '../../ui/dom.js';
import { pick } from './pick.js';
import { below, lead, measured } from './summary.js';

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {import('./side.js').Side} Side */

const APART =
  'These two were laid out separately: a place on one map means nothing on the other. Motion is drawn on the older map, after aligning the newer layout with it.';

/** @param {State} state @param {About} a @param {About} b */
export function header(state, a, b) {
  const swap = {
    class: 'icon-button',
    title: 'Swap',
    'aria-label': 'Swap the two',
    onclick: () => go({ name: b.name, version: b.version, other: `${a.name}@${a.version}` }),
  };
  const pair = h(
    'div',
    { class: 'pair' },
    pick(a, 'before', (name, version) => go({ name, version })),
    h('button', swap, '⇄'),
    pick(b, 'after', (name, version) => go({ other: `${name}@${version}` })),
  );
  const shared = b.layers.filter((layer) => a.layers.some(({ name }) => name === layer.name));
  const links = shared.map(({ name }) => {
    const current = name === state.what ? 'true' : null;
    return h('a', { href: href(atLayer(state, name)), 'aria-current': current }, name);
  });
  return h('div', { class: 'page-head' }, pair, h('nav', { class: 'steps-layers', 'aria-label': 'layers' }, ...links));
}

/** Explain why nothing is compared, null if something can be. @param {About} a @param {About} b */
export function obstacle(a, b) {
  if (!live()) {
    const words = 'These are exported files of one version. The viewer compares it with another:';
    return h('div', { class: 'section quiet' }, h('p', {}, words), command(b.commands.view));
  }
  if (a.name !== b.name || a.tag !== b.tag) return null;
  const words = 'You are comparing a version with itself. Pick another above.';
  const more =
    'Or make one: train the model on, and run it again under the same name, with its file in place of NEW-WEIGHTS.pt.';
  const { update } = b.commands;
  return h('div', { class: 'section' }, h('p', {}, words), update && [h('p', {}, more), command(update)]);
}

/** Return the controls over the two maps. */
export function controls() {
  const grid = h('select', { id: 'grid', onchange: () => setQuery({ grid: grid.value || null, cell: null }) });
  const arrows = h('input', {
    type: 'checkbox',
    id: 'arrows',
    onchange: () => setQuery({ motion: arrows.checked ? null : 'off' }),
  });
  const counts = h('div', { class: 'keys small', role: 'status' });
  const element = h(
    'div',
    { class: 'tools compare-tools' },
    h('label', { class: 'tool', for: 'grid' }, h('span', { class: 'quiet tool-name' }, 'Grid'), grid),
    h('label', { class: 'tool', for: 'arrows' }, arrows, 'Motion'),
    counts,
  );
  return { element, grid, arrows, counts };
}

/** @param {Moved} moved @param {[Side, Side]} sides @param {HTMLElement} tools */
export function comparison(moved, sides, tools) {
  const [a, b] = sides.map((side) => side.about);
  return [
    h('p', { class: 'lead' }, lead(moved)),
    !measured(moved) && unmeasured(a, b),
    !moved.same_frame && h('p', { class: 'note' }, APART),
    tools,
    h('div', { class: 'sides' }, ...sides.map((side) => figure(side, moved.layer))),
    below(moved, { a, b, state: here() }),
  ];
}

/** @param {About} a @param {About} b */
function unmeasured(a, b) {
  const words = 'We don’t yet know how much of this is chance (another random seed). Measure it:';
  const remedy = command(actlas(b, 'compare', versionName(a), versionName(b)));
  return h('div', { class: 'missing' }, h('p', {}, words), remedy);
}

/** @param {Side} side @param {string} layer */
function figure({ about: { name, version }, element }, layer) {
  const address = href({ ...here(), place: 'atlas', name, version, what: layer, query: {} });
  const caption = h('figcaption', { class: 'small' }, h('a', { href: address }, `${name} @ ${version}`));
  return h('figure', {}, caption, element);
}
