// The cells of a grid by what is asked for: the attribution to a class, or the share of samples with a label.

import { ask } from '../../data/client.js';
import { questionOf } from '../../state/question.js';
import { extremes } from '../../map/grid.js';
import { count, percent, signed } from '../../ui/format.js';

/** @typedef {import('../../map/grid.js').Grid} Grid */
/** @typedef {import('../../state/question.js').Kind} Kind */
/**
 * @typedef {object} Part  one class or label
 * @property {string} name
 * @property {string} of  the name as commands take it
 * @property {number} samples  that have the label, or the class as strongest
 * @property {(number | null)[]} values  by cell: null within chance, or where there is no attribution
 * @property {(i: number) => string} words  describe a cell
 * @property {number} of_all  samples of the grid
 * @property {number[]} [ranks]  of a class by cell, 1 for the strongest
 * @property {number} classes  of the model, which are ranked
 * @property {boolean} leaning  whether cells lean towards a class that is the strongest of no sample
 */
/**
 * @typedef {object} Answer
 * @property {Kind} kind
 * @property {Part[]} parts  one or two
 * @property {(number | null)[]} values  by cell; of two, the first less the second
 * @property {number} low
 * @property {number} high
 */

/** Load what the address asks for, null for nothing. @param {Grid} grid @param {Record<string, string>} query @param {number} classes of the model @returns {Promise<Answer | null>} */
export async function answerOf(grid, query, classes) {
  const question = questionOf(query);
  if (!question) return null;
  const load = (/** @type {string} */ value) =>
    question.kind === 'class' ? classPart(grid, value, classes) : labelPart(grid, value);
  const parts = await Promise.all(question.values.map(load));
  const values = parts[1] ? parts[0].values.map((value, i) => difference(value, parts[1].values[i])) : parts[0].values;
  const [low, high] = extremes(values.some((value) => value !== null) ? values : [0]);
  return { kind: question.kind, parts, values, low, high };
}

/** @param {number | null} a @param {number | null} b */
const difference = (a, b) => (a === null && b === null ? null : (a ?? 0) - (b ?? 0));

/** The samples of a grid by label and by strongest class. @param {Grid} grid @returns {Promise<Tally>} */
export const tallyOf = (grid) => ask('tally', { layer: grid.layer.name, grid: grid.size });

/** @param {Grid} grid @param {string} of @param {number} classes @returns {Promise<Part>} */
async function classPart(grid, of, classes) {
  const place = { layer: grid.layer.name, grid: grid.size, of };
  const [map, tally] = await Promise.all([/** @type {Promise<ClassMap>} */ (ask('class', place)), tallyOf(grid)]);
  const name = map.name.split(',')[0];
  const samples = tally.classes.find(([number]) => number === map.class)?.[2] ?? 0;
  const words = (/** @type {number} */ i) =>
    `${name} ${signed(map.mean[i])} (rank ${count(map.rank[i])} of ${count(classes)})`;
  const leaning = !samples && map.mean.some((value) => (value ?? 0) > 0);
  const facts = { name, of: map.name, samples, of_all: grid.facts.samples };
  return { ...facts, values: map.mean, words, ranks: map.rank, classes, leaning };
}

/** @param {Grid} grid @param {string} label @returns {Promise<Part>} */
async function labelPart(grid, label) {
  const [number, name, samples] = (await tallyOf(grid)).labels.find(([, one]) => one === label) ?? [-1, label, 0];
  if (number < 0) throw new Error(`No sample of ${grid.layer.name} has the label “${label}”.`);
  const place = { layer: grid.layer.name, grid: grid.size, number };
  const { cells } = /** @type {LabelMap} */ (await ask('label', place));
  const found = new Map(cells.map(([cell, n, out]) => [cell, { n, out }]));
  const share = (/** @type {number} */ i) => (found.get(i)?.n ?? 0) / grid.columns.count[i];
  const values = grid.columns.count.map((_, i) => (found.get(i)?.out ? share(i) : null));
  const words = (/** @type {number} */ i) => {
    const chance = found.get(i)?.out ? '' : ', within chance';
    return `${name}: ${percent(share(i))} (${count(found.get(i)?.n ?? 0)} of ${count(grid.columns.count[i])} samples${chance})`;
  };
  return { name, of: name, samples, of_all: grid.facts.samples, values, words, classes: 0, leaning: false };
}
