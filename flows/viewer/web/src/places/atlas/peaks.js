// The cells that have most of what is asked for, in words: each of them is a link that rings its cell on the map.

import { here } from '../../state/address.js';
import { cellLink } from '../../ui/components.js';
import { h } from '../../ui/dom.js';
import { count, percent, signed } from '../../ui/format.js';

/** @typedef {import('./answer.js').Answer} Answer */
/** A cell between words that end with its number. @typedef {{ words: string, cell: number, number: string }} Peak */

/** @param {Answer} answer @param {number} value */
const numberOf = ({ kind }, value) => (kind === 'label' ? percent(value) : signed(value));

/** Return the cells with most of what is asked for, of those that keep their colour. @param {Answer} answer @param {import('../../map/scene.js').Scene['way']} way @returns {Peak[]} */
export function peaks(answer, way) {
  const { parts, values, low, high } = answer;
  const [one, other] = parts;
  const [most, least] = [values.indexOf(high), values.indexOf(low)];
  if (other) {
    const peak = (/** @type {string} */ name, /** @type {number} */ cell, /** @type {number} */ value) =>
      value > 0 ? [{ words: `most for ${name} in`, cell, number: numberOf(answer, value) }] : [];
    return [...peak(one.name, most, high), ...peak(other.name, least, -low)];
  }
  const found = way !== 'against' && high > 0 ? [...highest(answer, most)] : [];
  if ((way === 'against' || way === 'both') && low < 0)
    found.push({ words: 'most against it in', cell: least, number: numberOf(answer, low) });
  return found;
}

/** The cell with most evidence for a class, and the one where the class ranks best: these may be two. @param {Answer} answer @param {number} most @returns {Peak[]} */
function highest(answer, most) {
  const { parts, values } = answer;
  const [{ ranks, classes }] = parts;
  const number = numberOf(answer, /** @type {number} */ (values[most]));
  if (!ranks) return [{ words: 'most in', cell: most, number }];
  const best = bestRanked(ranks, values, most);
  const rank = `rank ${count(ranks[most])}`;
  if (best === most)
    return [{ words: 'most evidence and best rank in', cell: most, number: `${number}, ${rank} of ${count(classes)}` }];
  return [
    { words: 'most evidence in', cell: most, number: `${number}, ${rank} of ${count(classes)}` },
    { words: 'best rank in', cell: best, number: count(ranks[best]) },
  ];
}

/** Return the cell where a class ranks best; of several, the one with most evidence. @param {number[]} ranks @param {(number | null)[]} values @param {number} most */
const bestRanked = (ranks, values, most) =>
  ranks.reduce((best, rank, i) => {
    if (values[i] === null || rank > ranks[best]) return best;
    return rank < ranks[best] || Number(values[i]) > Number(values[best]) ? i : best;
  }, most);

/** Write these cells as a sentence. @param {Answer} answer @param {import('../../map/scene.js').Scene} scene @param {(i: number) => void} ring a cell on the map, −1 for none */
export function peakLine(answer, scene, ring) {
  const { grid } = scene;
  const found = grid ? peaks(answer, scene.way) : [];
  if (!grid || !found.length) return null;
  const link = (/** @type {number} */ i) => {
    const [row, col] = [grid.columns.row[i], grid.columns.col[i]];
    const [on, off] = [() => ring(i), () => ring(-1)];
    const pointed = { onpointerenter: on, onfocus: on, onpointerleave: off, onblur: off, onclick: off };
    return cellLink(here(), grid.layer.name, grid.size, row, col, { class: 'peak', ...pointed }, `cell ${row},${col}`);
  };
  const parts = found.flatMap(({ words, cell, number }, k) => [
    `${k ? ', ' : ''}${!k && !answer.parts[1] ? words.replace(/^m/, 'M') : words} `,
    link(cell),
    ` (${number})`,
  ]);
  return h('span', {}, answer.parts[1] ? 'Difference: ' : '', ...parts, '.');
}
