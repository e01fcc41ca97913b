import assert from 'node:assert/strict';
import { test } from 'node:test';
import { questionOf, withName, withoutName } from '../src/state/question.js';

/** @param {Record<string, string>} query @param {Record<string, string>} change */
const changed = (query, change) =>
  Object.fromEntries(Object.entries({ ...query, ...change }).filter(([, value]) => value !== ''));

test('nothing is asked for without a class or label', () => {
  assert.equal(questionOf({}), null);
  assert.equal(questionOf({ against: '2' }), null);
});

test('the second of a kind stands against the first, and a third takes its place', () => {
  const one = changed({ grid: '4' }, withName({ grid: '4' }, 'class', '1'));
  const two = changed(one, withName(one, 'class', '2'));
  assert.deepEqual(two, { grid: '4', class: '1', against: '2' });
  assert.deepEqual(changed(two, withName(two, 'class', '3')), { grid: '4', class: '1', against: '3' });
});

test('a name of the other kind starts anew', () => {
  const two = { class: '1', against: '2', side: 'both' };
  assert.deepEqual(changed(two, withName(two, 'label', 'corn')), { label: 'corn' });
});

test('the same name is asked for once', () => assert.deepEqual(withName({ label: 'corn' }, 'label', 'corn'), {}));

test('without the first, the second takes its place', () => {
  const two = { label: 'corn', against: 'banana' };
  assert.deepEqual(changed(two, withoutName(two, 0)), { label: 'banana' });
  assert.deepEqual(changed(two, withoutName(two, 1)), { label: 'corn' });
  assert.deepEqual(changed({ label: 'corn', intensity: '40' }, withoutName({ label: 'corn' }, 0)), {});
});
