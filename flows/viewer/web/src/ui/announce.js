// What a reader of screens hears: one polite region, and the title of the document.

import { h } from './dom.js';

const region = h('div', { class: 'unseen', role: 'status', 'aria-live': 'polite' });
document.body.append(region);

/** @param {string} text */
export function say(text) {
  region.textContent = text;
}

/** @param {...string} parts the innermost first */
export function title(...parts) {
  document.title = [...parts.filter(Boolean), 'actlas'].join(' · ');
}
