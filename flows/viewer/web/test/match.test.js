import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bestMatches, fitRows, matches, MOST, unitIn } from '../src/data/match.js';

test('matches early in the name come first, then short names', () => {
  const names = ['Persian cat', 'wildcat', 'cat', 'catamaran', 'dog', 'Catalogue'];
  const order = bestMatches(names, 'CAT').map(({ name }) => name);
  assert.deepEqual(order, ['cat', 'catamaran', 'Catalogue', 'wildcat', 'Persian cat']);
});

test('matches carry their index', () => assert.equal(bestMatches(['a', 'b', 'ab'], 'b')[0].i, 1));

test('every word must be in the name, in any order', () => {
  const names = ['tiger cat', 'cat', 'Tiger, Panthera tigris', 'cat of a tiger'];
  assert.deepEqual(
    bestMatches(names, ' cat  TIGER ').map(({ name }) => name),
    ['cat of a tiger', 'tiger cat'],
  );
  assert.ok(matches('corn/IMG_12.jpg', '12 corn'));
  assert.ok(!matches('corn', 'corn maize'));
});

test('no name contains the text', () => assert.deepEqual(bestMatches(['a', 'b'], 'c'), []));

const rows = (/** @type {string} */ kind, /** @type {number} */ n) =>
  Array.from({ length: n }, (_, i) => `${kind}${i}`);
const kindsOf = (/** @type {string[]} */ list) => list.map((row) => row[0]).join('');

test('each kind gets its share of the list', () => {
  assert.equal(kindsOf(fitRows([rows('a', 9), rows('b', 9), rows('c', 9)])), 'aaaabbbbcccc');
});

test('room that a kind leaves goes to the others in order', () => {
  assert.equal(kindsOf(fitRows([rows('a', 9), rows('b', 1), rows('c', 9)])), 'aaaaaaabcccc');
  assert.equal(kindsOf(fitRows([rows('a', 0), rows('b', 20)])), 'b'.repeat(MOST));
});

test('rows keep their order', () => assert.deepEqual(fitRows([rows('a', 2), rows('b', 1)]), ['a0', 'a1', 'b0']));

test('a unit is read as people write it', () => {
  for (const text of ['36', 'unit 36', 'Unit #36', 'meet unit 36'])
    assert.deepEqual(unitIn(text), { unit: 36, layer: '' });
  for (const text of ['_blocks.10 36', '_blocks.10:36', '_blocks.10 : 36', 'unit 36 of _blocks.10', '36 _blocks.10'])
    assert.deepEqual(unitIn(text), { unit: 36, layer: '_blocks.10' });
  assert.deepEqual(unitIn('layer 4 36'), { unit: 36, layer: 'layer 4' });
  for (const text of ['', 'unit', '_blocks.10', 'cat', '3.5', '36b']) assert.equal(unitIn(text), null);
});
