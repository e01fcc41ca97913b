import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePosition, part, span } from '../src/data/positions.js';

/** Starts of 3 blocks over 7 positions, and their end, as the answer has them. */
const STARTS = [0, 2, 4, 7];

test('a position lies in the block that holds it', () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 6].map((position) => part(STARTS, 3, position)),
    [0, 0, 1, 1, 2, 2, 2],
  );
});

test('a block is named by its positions', () => {
  assert.deepEqual(
    [0, 1, 2].map((block) => span(STARTS, 3, block, 7)),
    ['0–1', '2–3', '4–6'],
  );
  assert.equal(span([0, 1, 2], 2, 1, 2), '1');
});

test('a position is one of the layer', () => {
  assert.deepEqual(parsePosition('2,21', 28, 28), [2, 21]);
  assert.equal(parsePosition('2,21', 14, 14), null);
});
