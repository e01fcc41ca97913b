// Words that explain themselves: pressing one shows its entry of the glossary below it.

import { openedRun } from '../data/client.js';
import { entryOf, marked } from '../data/glossary.js';
import { here } from '../state/address.js';
import { layerOf } from '../state/layer.js';
import { say } from './announce.js';
import { h } from './dom.js';
import { realFidelity } from './real_fidelity.js';

/** The width of an explanation, and its distance from the edges of the page, in pixels. */
const WIDE = 340;
const EDGE = 8;

/** Return a word of the glossary that shows its entry when it is pressed; the words alone where the glossary has none. @param {string} word @param {import('./dom.js').Child} [words] */
export function term(word, words = word) {
  const entry = entryOf(word);
  if (!entry) return words;
  return pressed(words, `${entry.meaning}.`, (close) => {
    const all = () => {
      close();
      dispatchEvent(new CustomEvent('explainword', { detail: entry.word }));
    };
    const more = h('button', { class: 'link small', type: 'button', onclick: all }, 'All words');
    return [h('b', {}, entry.word), ...meaningOf(entry), more];
  });
}

/** Return a word that shows a sentence about it when it is pressed. @param {string} word @param {string} sentence */
export const explained = (word, sentence) =>
  pressed(word, `${sentence}.`, () => [h('b', {}, word), h('span', { class: 'term-line term-plain' }, `${sentence}.`)]);

/** Return a text in which the words of the glossary explain themselves. @param {string} text */
export const withTerms = (text) => marked(text).map((part) => (part.term ? term(part.text) : part.text));

/** Return words that show what is drawn, below them, when they are pressed. @param {import('./dom.js').Child} words @param {string} title shown on hover @param {(close: () => void) => HTMLElement[]} draw */
function pressed(words, title, draw) {
  const box = h('span', { class: 'term-box', role: 'note', popover: 'auto' });
  const button = h('button', { class: 'term', type: 'button', title }, words);
  button.popoverTargetElement = box;
  let closing = new AbortController();
  box.addEventListener('beforetoggle', (event) => {
    closing.abort();
    if (/** @type {ToggleEvent} */ (event).newState !== 'open') return;
    closing = new AbortController();
    box.replaceChildren(...draw(() => box.hidePopover()));
    say(String(box.querySelector('.term-plain')?.textContent));
    follow(box, button, closing.signal);
  });
  return h('span', { class: 'term-place' }, button, box);
}

/** Keep an explanation at its word while the page scrolls; end it once the word is out of sight. @param {HTMLElement} box @param {HTMLElement} button @param {AbortSignal} closing */
function follow(box, button, closing) {
  const move = () => {
    const word = button.getBoundingClientRect();
    if (word.bottom < 0 || word.top > innerHeight) box.hidePopover();
    else place(box, word);
  };
  place(box, button.getBoundingClientRect());
  document.addEventListener('scroll', move, { capture: true, passive: true, signal: closing });
}

/** Return the lines of an entry: in plain words, what real patches reach, and the formula. @param {import('../data/glossary.js').Word} entry @returns {HTMLElement[]} */
export function meaningOf({ word, meaning, formula }) {
  const lines = [h('span', { class: 'term-line term-plain' }, `${meaning}.`)];
  if (word === 'fidelity') lines.push(reached());
  if (formula) lines.push(h('span', { class: 'term-line quiet' }, `Formula: ${formula}.`));
  return lines;
}

/** Say what fidelity the patches of the layer on show reach, once it is measured. */
function reached() {
  const line = h('span', { class: 'term-line', hidden: true });
  const place = gridOnShow();
  const tell = (/** @type {string} */ words) => {
    line.textContent = words;
    line.hidden = !words;
  };
  if (place) realFidelity(place.layer, place.grid).then(tell, () => {});
  return line;
}

/** Return the layer on show and the grid in the address, or its last one with icons. */
function gridOnShow() {
  const about = openedRun();
  const state = here();
  const layer = about?.layers.find(({ name }) => name === layerOf(state, about));
  const grids = layer?.grids.filter(({ has }) => has.includes('icons')) ?? [];
  const grid = grids.find(({ grid }) => String(grid) === state.query.grid) ?? grids.at(-1);
  return layer && grid ? { layer: layer.name, grid: grid.grid } : null;
}

/** Place an explanation below its word, or above it where there is more room. @param {HTMLElement} box @param {DOMRect} word */
function place(box, word) {
  const [wide, tall] = [document.documentElement.clientWidth, document.documentElement.clientHeight];
  const below = word.bottom < tall * 0.6;
  box.style.left = `${Math.max(EDGE, Math.min(word.left, wide - WIDE - EDGE))}px`;
  box.style.top = below ? `${word.bottom + 4}px` : 'auto';
  box.style.bottom = below ? 'auto' : `${tall - word.top + 4}px`;
  box.style.maxHeight = `${(below ? tall - word.bottom : word.top) - 2 * EDGE}px`;
}
