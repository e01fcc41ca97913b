// The keys that work everywhere, and the list of all of them.

import { typing } from '../ui/keyboard.js';

/** @type {[string, string][]} */
export const KEYS = [
  ['/', 'search: a class, a unit, a label, a file'],
  ['?', 'this help'],
  ['Esc', 'close, go back to the map'],
  ['← ↑ → ↓', 'on the map: walk from cell to cell; on a unit: the one before or after'],
  ['Enter', 'on the map: open the cell'],
  ['+ −', 'zoom in and out'],
  ['0', 'the whole map'],
  ['[ ]', 'a shallower or a deeper layer'],
  ['l', 'the map as a list'],
  ['t', 'light or dark'],
];

/** @param {Record<string, (event: KeyboardEvent) => void>} table  what each key does */
export function listen(table) {
  addEventListener('keydown', (event) => {
    if (
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      event.defaultPrevented ||
      document.querySelector('dialog[open]')
    )
      return;
    if (typing(event.target) && event.key !== 'Escape') return;
    const act = table[event.key];
    if (act) {
      event.preventDefault();
      act(event);
    }
  });
}
