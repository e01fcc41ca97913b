import assert from 'node:assert/strict';
import { test } from 'node:test';
import { entryOf, marked, WORDS, wordsLike } from '../src/data/glossary.js';

const terms = (/** @type {string} */ text) =>
  marked(text)
    .filter(({ term }) => term)
    .map(({ text }) => text);

test('words are marked where they first occur, whatever their case, and nothing is lost', () => {
  const text = 'Fidelity of icons: a fidelity beside rank 3.';
  assert.deepEqual(terms(text), ['Fidelity', 'rank']);
  assert.equal(
    marked(text)
      .map(({ text }) => text)
      .join(''),
    text,
  );
  assert.ok(terms('coherence, contrast').every(entryOf));
});

test('parts of other words are not marked', () => {
  assert.deepEqual(terms('It ranks 74; frankly, contrasted.'), []);
  assert.deepEqual(marked(''), []);
});

test('each word that is marked has an entry', () => {
  assert.equal(terms('fidelity coherence rank contrast evidence attribution').length, 6);
  assert.ok(terms('fidelity coherence rank contrast evidence attribution').every(entryOf));
});

test('the word itself comes before those that contain it', () => {
  assert.equal(wordsLike('flat')[0], 'flat');
  assert.equal(wordsLike(' Name ')[0], 'name');
  assert.deepEqual(wordsLike('field receptive'), ['receptive field']);
  assert.equal(wordsLike('').length, WORDS.length);
});
