import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyOf, packOf } from '../src/data/packing.js';

const ABOUT = /** @type {any} */ ({
  layers: [
    { name: 'conv1', index: 0 },
    { name: 'a/b', index: 1 },
  ],
});

test('a key has the number of the layer and escapes the rest', () => {
  assert.equal(keyOf('cell', { layer: 'a/b', grid: 20, row: 3, col: 4 }, ABOUT), 'cell/1/20/3/4');
  assert.equal(keyOf('images', { start: 0, text: 'a/b' }, ABOUT), 'images/0/a%2Fb');
  assert.equal(keyOf('libraries', {}, ABOUT), 'libraries');
});

test('a layer that the run does not have has no number', () => {
  assert.equal(keyOf('units', { layer: 'conv9' }, ABOUT), 'units/none');
  assert.equal(keyOf('units', { layer: 'conv1' }, null), 'units/none');
});

/** @type {[string, string][]} */
const PACKS = [
  ['unit/0/7', 'unit/0/7'],
  ['card/0/7', 'unit/0/7'],
  ['map/0/20/7', 'unit/0/7'],
  ['labels/0/20', 'cells/0/20'],
  ['details/0/20', 'cells/0/20'],
  ['cells/0/20', 'cells/0/20'],
  ['image/499', 'images/0'],
  ['image/500', 'images/1'],
  ['class/0/20/3', 'class/0/20/3'],
];

for (const [key, pack] of PACKS) test(`${key} is in ${pack}`, () => assert.equal(packOf(key), pack));
