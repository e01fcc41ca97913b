import assert from 'node:assert/strict';
import { test } from 'node:test';
import { count, day, many, number, percent, signed } from '../src/ui/format.js';

/** @param {string} name @param {(value: any) => string} act @param {[unknown, string][]} pairs */
function check(name, act, pairs) {
  for (const [value, text] of pairs) test(`${name}(${value}) is ${text}`, () => assert.equal(act(value), text));
}

check('count', count, [
  [0, '0'],
  [1234567, '1,234,567'],
]);
check('number', number, [
  [null, '–'],
  [undefined, '–'],
  [0, '0'],
  [3, '3'],
  [-3, '−3'],
  [1234.5, '1,235'],
  [-1234.4, '−1,234'],
  [123.45, '123'],
  [12.345, '12.3'],
  [1.2345, '1.23'],
  [-0.5, '−0.50'],
  [0.0036, '0.0036'],
  [0.00012345, '1.2e−4'],
]);
check('signed', signed, [
  [2.5, '+2.50'],
  [-2.5, '−2.50'],
  [0, '0'],
  [null, '–'],
]);
check('percent', percent, [
  [0, '0\u00a0%'],
  [0.001, '<\u00a01\u00a0%'],
  [0.5, '50\u00a0%'],
  [0.999, '>\u00a099\u00a0%'],
  [1, '100\u00a0%'],
]);
check('day', day, [['2025-03-04T12:00:00Z', '4 March 2025']]);

test('many counts with the right form of the noun', () => {
  assert.equal(many(1, 'image'), '1 image');
  assert.equal(many(0, 'image'), '0 images');
  assert.equal(many(2, 'axis', 'axes'), '2 axes');
});
