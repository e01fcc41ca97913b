import assert from 'node:assert/strict';
import { test } from 'node:test';
import { computing, modelLoaded, timed } from '../src/ui/waiting.js';

const after = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(() => resolve(ms), ms));

test('a time is told only where an earlier answer tells it', async () => {
  assert.equal(computing('links'), 'Computing on the model …');
  assert.equal(await timed('links', after(60)), 60); // that one loaded the model
  assert.equal(computing('links'), 'Computing on the model …');
  await timed('links', after(60));
  assert.equal(computing('links'), 'Computing on the model, about 1 s …');
  assert.equal(computing('explain'), 'Computing on the model …');
});

test('answers that were kept, and failures, tell nothing', async () => {
  modelLoaded();
  await timed('explain', Promise.resolve(1));
  await assert.rejects(timed('explain', Promise.reject(new Error('no'))));
  assert.equal(computing('explain'), 'Computing on the model …');
});
