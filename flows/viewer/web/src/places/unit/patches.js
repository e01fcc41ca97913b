// The patches of a unit: its extremes on one side, or examples over its range.

import { live, picture } from '../../data/client.js';
import { href } from '../../state/address.js';
import { command, drawsItself, image, isLatest, lacks } from '../../ui/components.js';
import { h } from '../../ui/dom.js';
import { count, many, number, percent } from '../../ui/format.js';
import { gradients } from './gradients.js';

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {{ image_id: number, y: number, x: number }} Position */

/** Return the address of a position in its image. @param {State} state @param {string} layer @param {Position} position */
export function positionHref(state, layer, { image_id: id, y, x }) {
  return href({ ...state, place: 'image', what: String(id), query: { layer, at: `${y},${x}` } });
}

/** Show the extreme patches of one side. @param {State} state @param {Unit} unit @param {'positive' | 'negative'} name @param {About} about @param {AbortSignal} signal */
export function sidePatches(state, unit, name, about, signal) {
  const side = unit[name];
  const ranks = new Set(name === 'positive' ? (unit.gradients?.ranks ?? []) : []);
  const patches = side.patches.slice(0, Math.max(side.pictures, 0));
  const rows = patches.map((patch) => extreme(state, unit, name, patch, ranks.has(patch.rank)));
  const list = h('ol', { class: 'shots' }, ...fold(patches, rows));
  const method = ranks.size ? (unit.gradients?.method ?? null) : null;
  return [
    side.note && h('p', { class: 'note' }, `${side.note}.`),
    list,
    !rows.length && h('p', { class: 'quiet' }, 'No patch was stored.'),
    gradients(list, { layer: unit.layer, unit: unit.unit, side: name }, method, about, signal),
    name === 'positive' && !unit.gradients && offersGradients(about) && saveGradients(about),
  ];
}

/** Fold near-duplicates into the strongest of them, whose count unfolds them. @param {Patch[]} patches @param {HTMLElement[]} rows */
function fold(patches, rows) {
  const rowOf = new Map(patches.map(({ rank }, i) => [rank, rows[i]]));
  return patches.flatMap(({ rank, same_as: first }, i) => {
    if (first !== null && rowOf.has(first)) return [];
    const same = patches.filter((patch) => patch.same_as === rank).map((patch) => rows[patches.indexOf(patch)]);
    if (same.length) rows[i].append(unfold(same));
    return [rows[i], ...same];
  });
}

/** A button that shows the near-duplicates of a patch, or hides them. @param {HTMLElement[]} same */
function unfold(same) {
  const words = many(same.length, 'near-duplicate');
  const show = (/** @type {boolean} */ open) => {
    for (const row of same) row.hidden = !open;
    button.setAttribute('aria-expanded', String(open));
  };
  const onclick = () => show(button.getAttribute('aria-expanded') === 'false');
  const attributes = { class: 'link fold small', title: `${words}: nearly the same picture in other images`, onclick };
  const button = h('button', attributes, `+ ${count(same.length)} alike`);
  for (const row of same) row.classList.add('folded');
  show(false);
  return button;
}

/** @param {About} about */
const offersGradients = (about) => about.missing.gradients && isLatest(about) && !drawsItself(about, 'gradients');

/** @param {About} about */
const saveGradients = (about) =>
  h(
    'details',
    { class: 'small' },
    h('summary', {}, 'Save these with the run'),
    lacks(about, 'gradients', 'This run has no stored gradients.'),
  );

/** @param {State} state @param {Unit} unit @param {'positive' | 'negative'} side @param {Patch} patch @param {boolean} hasGradient */
function extreme(state, { layer, unit }, side, patch, hasGradient) {
  const { rank, label, value } = patch;
  const words = `${label || 'no label'}, ${number(value)}`;
  const address = positionHref(state, layer, patch);
  const shot = image(picture('patch', { layer, unit, sign: side, rank }), words);
  const gradient = { class: 'gradient', src: picture('gradient', { layer, unit, rank }), alt: '', loading: 'lazy' };
  return h(
    'li',
    {},
    h('a', { href: address, title: words, 'data-patch': rank }, shot, hasGradient && h('img', gradient)),
    h('span', { class: 'num small' }, number(value)),
    h('span', { class: 'unit-label quiet small' }, label ?? ''),
  );
}

const NO_IMAGES =
  'Examples over its range are cut from the images, which exported files do not hold. The viewer shows them:';

/** Show examples from the top to the bottom of a unit's range. @param {State} state @param {Card} card @param {About} about @param {AbortSignal} signal */
export function rangePatches(state, card, about, signal) {
  if (!live()) return [h('p', { class: 'quiet' }, NO_IMAGES), command(about.commands.view)];
  if (!card.intervals.length) return h('p', { class: 'quiet' }, 'There are no samples.');
  const rows = card.intervals.map((_, part) => interval(state, card, part)).reverse();
  const list = h('ol', { class: 'range' }, ...rows);
  return [list, gradients(list, { layer: card.layer, unit: card.unit, side: 'range' }, null, about, signal)];
}

/** @param {State} state @param {Card} card @param {number} part */
function interval(state, { layer, unit, intervals }, part) {
  const { from, to, share, examples } = intervals[part];
  const first = intervals.slice(0, part).reduce((sum, one) => sum + one.examples.length, 0);
  const shots = examples.map((example, i) => {
    const { label, value } = example;
    const shot = image(picture('crop', { layer, unit, part, example: i }), `${label || 'no label'}, ${number(value)}`);
    const title = `${label ?? ''} ${number(value)}`;
    return h('a', { href: positionHref(state, layer, example), 'data-patch': first + i, title }, shot);
  });
  const range = `${number(from)} to ${number(to)}`;
  const name = h('span', { class: 'num small quiet range-name' }, range, h('br'), percent(share));
  return h('li', {}, name, h('span', { class: 'range-shots' }, ...shots));
}
