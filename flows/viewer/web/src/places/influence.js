// What drives a unit and what it drives: rows with pictures, strongest first, one click each.

import { href } from '../address.js';
import { h } from '../dom.js';
import { percent, signed } from '../format.js';
import { face, missing, section } from '../parts.js';
import { swing } from './unit.js';

const MOST = 8;
const TRAIL = 6;

/** @param {import('../address.js').State} state @param {Card} card @param {About} about */
export function influence(state, card, about) {
  if (!card.drives && !card.driven) {
    if (about.missing.influence) return section('Influence', missing('This run has no influence yet.', about.missing.influence));
    return section('Influence', h('p', { class: 'quiet' }, 'No other layer’s units are among those that this one drives, or is driven by, most.'));
  }
  return h('div', { class: 'two' },
    card.driven && side(state, card, `Driven by units of ${card.driven.layer}`, card.driven.layer, card.driven),
    card.drives?.later_layer && side(state, card, `Drives units of ${card.drives.later_layer}`, card.drives.later_layer, card.drives));
}

/** @param {import('../address.js').State} state @param {Card} card @param {string} words @param {string | null} layer @param {Pick<Effects, 'exciting' | 'inhibiting'>} effects */
function side(state, card, words, layer, effects) {
  const rows = [...effects.exciting, ...effects.inhibiting].sort((a, b) => Math.abs(b.influence) - Math.abs(a.influence)).slice(0, MOST);
  const most = Math.max(...rows.map((row) => Math.abs(row.influence)), 1e-12);
  const way = [...(state.query.trail ?? '').split('~').filter(Boolean), `${card.layer}:${card.unit}`].slice(-TRAIL).join('~');
  return section(words, h('ul', { class: 'links' }, ...rows.map((row) =>
    h('li', {}, h('a', { href: href({ ...state, place: 'unit', what: `${layer}:${row.unit}`, query: { trail: way } }),
      title: `${row.influence < 0 ? 'inhibits' : 'excites'}; the same sign on ${percent(row.agreement)} of the patches` },
    face(String(layer), row.unit, 40), h('span', { class: 'chip-name' }, String(row.unit)), swing(row.influence / most), h('span', { class: 'num' }, signed(row.influence)))))));
}
