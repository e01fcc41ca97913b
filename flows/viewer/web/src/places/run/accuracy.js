// How often the model's first class is an image's label, and which labels it takes for what.

import { ask } from '../../data/client.js';
import { fillAsync, section } from '../../ui/components.js';
import { h } from '../../ui/dom.js';
import { count, percent } from '../../ui/format.js';

/** Show the accuracy over the run's images, where it is known or can't be. */
export function accuracy() {
  const box = h('div');
  fillAsync(box, () => ask('accuracy'), shown);
  return box;
}

/** @param {Accuracy | null} answer */
function shown(answer) {
  if (!answer) return [];
  if (answer.reason) return section('Labels and first classes', h('p', {}, `Accuracy unknown: ${answer.reason}.`));
  const { images, first, first_five: five, low, high } = answer;
  const of = `${count(first)} of ${count(images)}`;
  const words = `The model's first class is the label of ${of} labelled images: ${percent(first / images)}`;
  return section(
    'Labels and first classes',
    h(
      'p',
      {},
      `${words} (95 %: ${percent(low)} to ${percent(high)}). For ${count(five)} the label is among the first five.`,
    ),
    answer.confused.length > 0 && confused(answer.confused),
    h('p', { class: 'quiet small' }, `${joined(answer.by)}${notCounted(answer.unclear)}`),
  );
}

/** @param {string} by */
const joined = (by) =>
  `Labels and classes are joined by ${by}${by === 'numbers' ? ', which is assumed, since every label is a number' : ''}.`;

/** @param {string[]} labels */
const notCounted = (labels) =>
  labels.length ? ` Not counted, as several classes have the name: ${labels.join(', ')}.` : '';

/** @param {Accuracy['confused']} rows */
function confused(rows) {
  const heads = ['label', 'taken for', 'images'].map((name, i) =>
    h('th', { scope: 'col', class: i === 2 ? 'num' : '' }, name),
  );
  const body = rows.map((row) =>
    h('tr', {}, h('td', {}, row.label), h('td', {}, row.choice), h('td', { class: 'num' }, count(row.images))),
  );
  return h('table', { class: 'table' }, h('thead', {}, h('tr', {}, ...heads)), h('tbody', {}, ...body));
}
