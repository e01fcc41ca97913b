import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CELL, cardRows, faults, offered, qualities, shades, sortable, sorted, UNIT } from '../src/data/metrics.js';

const HAS = ['cells', 'members', 'icons'];

/** A metric that one row adds. */
const PURITY = {
  name: 'purity',
  key: 'pure',
  words: 'purity of labels',
  unit: '1 = one label',
  stage: 'cells',
  answer: 'details',
  kind: 'number',
  best: 'high',
  orders: [{ name: 'impure', first: 'low', words: 'the most mixed first' }],
  shade: 'purity',
  card: true,
};
const WITH = [...CELL, PURITY];
const cell = /** @type {any} */ ({ count: 7, coherence: 0.5, icon: { cosine: 0.2, rank: 1 }, contrast: 0.3 });
const names = (/** @type {{ name: string }[]} */ metrics) => metrics.map(({ name }) => name);
const value = (/** @type {string} */ name, metrics = WITH, column = () => 0.9) =>
  cardRows(cell, column, HAS, metrics).find(({ metric }) => metric.name === name)?.value;

test('the rows that the page had before', () => {
  assert.deepEqual(names(sortable(HAS)), ['samples', 'coherence', 'fidelity']);
  assert.deepEqual(
    shades(HAS).map(({ shade }) => shade),
    ['density', 'coherence', 'fidelity'],
  );
  assert.deepEqual(names(qualities(HAS, CELL)), ['coherence', 'fidelity']);
  assert.deepEqual(names(faults(HAS, CELL)), ['weak']);
  const orders = sortable(['patches', 'gallery'], UNIT).flatMap((metric) => metric.orders);
  assert.deepEqual(names(orders), ['max', 'few', 'many', 'lift', 'ratio']);
});

test('a row adds a column with its order, a shade, a card row and a distribution', () => {
  const column = sortable(HAS, WITH).at(-1);
  assert.equal(column?.name, 'purity');
  assert.deepEqual(column?.orders, PURITY.orders);
  assert.equal(shades(HAS, WITH).at(-1)?.shade, 'purity');
  assert.equal(value('purity'), 0.9);
  assert.equal(qualities(HAS, WITH).at(-1)?.name, 'purity');
});

test('without the row there is none of it', () => {
  for (const metrics of [sortable(HAS), shades(HAS), qualities(HAS, CELL)]) assert(!names(metrics).includes('purity'));
  assert.equal(value('purity', CELL), undefined);
});

test('a row adds an order of units', () => {
  const row = { ...PURITY, answer: 'units', stage: 'patches' };
  assert.equal(sortable(['patches'], [...UNIT, row]).at(-1)?.orders[0].name, 'impure');
});

test('a run without its stage does not offer a metric', () => {
  assert(!names(sortable(['cells'])).includes('fidelity'));
  assert(!names(shades(['cells'])).includes('fidelity'));
  assert.deepEqual(
    cardRows(cell, () => 1, ['cells']).map(({ metric }) => metric.name),
    ['samples', 'coherence'],
  );
  assert.deepEqual(offered([], WITH), []);
});

test('a metric of one cell has no column, order or shade', () => {
  const row = { ...PURITY, answer: 'cell' };
  for (const find of [sortable, shades, qualities]) assert(!names(find(HAS, [...CELL, row])).includes('purity'));
  assert.equal(value('contrast'), 0.3);
});

test('a card reads the answer about the cell, and a column only for what that lacks', () => {
  assert.equal(value('samples'), 7);
  assert.equal(value('fidelity'), 0.2);
  const unloaded = /** @type {any} */ (() => undefined);
  assert.equal(value('purity', WITH, unloaded), undefined);
});

test('values are sorted from either end, the missing ones last', () => {
  assert.deepEqual(sorted(5, [2, null, 3, 1, 3], 'high'), [2, 4, 0, 3, 1]);
  assert.deepEqual(sorted(5, [2, null, 3, 1], 'low'), [3, 0, 2, 1, 4]);
});
