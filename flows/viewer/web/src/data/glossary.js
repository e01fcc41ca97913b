// The words that the page explains, from the rows of flows/glossary.py, and where they stand in a text.

import rows from '../generated/glossary.json' with { type: 'json' };
import { matches } from './match.js';

/** @typedef {{ word: string, meaning: string, formula: string }} Word */

/** @type {Word[]} */
export const WORDS = rows;

/** The words of a sentence that explain themselves: the other ones are too common to mark each of them. */
const MARKED = ['fidelity', 'coherence', 'rank', 'contrast', 'evidence', 'attribution'];

const MARK = new RegExp(`\\b(?:${MARKED.join('|')})\\b`, 'gi');

/** @param {string} word */
export const entryOf = (word) => WORDS.find((entry) => entry.word === word.toLowerCase());

/** Return the words of the glossary that contain each word of a text, the one that equals it first. @param {string} text */
export function wordsLike(text) {
  const found = WORDS.map(({ word }) => word).filter((word) => matches(word, text));
  const same = (/** @type {string} */ word) => Number(word === text.trim().toLowerCase());
  return found.sort((a, b) => same(b) - same(a));
}

/** Split a text at the words that explain themselves, each where it occurs first. @param {string} text @returns {{ text: string, term: boolean }[]} */
export function marked(text) {
  const seen = new Set();
  const parts = [];
  let last = 0;
  for (const { 0: word, index } of text.matchAll(MARK)) {
    if (seen.has(word.toLowerCase())) continue;
    seen.add(word.toLowerCase());
    parts.push({ text: text.slice(last, index), term: false }, { text: word, term: true });
    last = index + word.length;
  }
  return [...parts, { text: text.slice(last), term: false }].filter((part) => part.text);
}
