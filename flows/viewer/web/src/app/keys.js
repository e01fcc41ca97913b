// Keyboard shortcuts of the whole page, and the list of all shortcuts.

import { typing } from '../ui/keyboard.js';

/** @type {[string, string][]} */
export const KEYS = [
  ['/', 'search: a class, a unit, a label, a file'],
  ['?', 'this help'],
  ['Esc', 'close, go back to the map, show all of it again'],
  ['Delete', 'on a chip over the map: remove it'],
  ['← ↑ → ↓', 'on the map: walk from cell to cell; on a unit: the previous or next unit'],
  ['Enter', 'on the map: open the cell'],
  ['+ −', 'zoom in and out'],
  ['0', 'the whole map'],
  ['[ ]', 'a shallower or a deeper layer'],
  ['l', 'the map as a list'],
  ['t', 'light or dark'],
];

/** Listen for the keys of a table. @param {Record<string, (event: KeyboardEvent) => void>} table */
export function listenForKeys(table) {
  addEventListener('keydown', (event) => {
    const modified = event.ctrlKey || event.metaKey || event.altKey;
    if (modified || event.defaultPrevented || document.querySelector('dialog[open]')) return;
    if (typing(event.target) && event.key !== 'Escape') return;
    // Escape closes an explanation first, which the browser does.
    if (event.key === 'Escape' && document.querySelector(':popover-open')) return;
    const act = table[event.key];
    if (act) {
      event.preventDefault();
      act(event);
    }
  });
}
