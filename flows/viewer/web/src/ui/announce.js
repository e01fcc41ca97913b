// What screen readers announce: one live region, and the title of the document.

import { live } from '../data/client.js';
import { h } from './dom.js';

const region = h('div', { class: 'unseen', role: 'status', 'aria-live': 'polite' });
document.body.append(region);

/** Announce a text. @param {string} text */
export function say(text) {
  region.textContent = text;
}

/** Set the title of the document. @param {...string} parts the most specific first */
export function title(...parts) {
  document.title = [...parts.filter(Boolean), ...(live() ? [] : ['exported']), 'actlas'].join(' · ');
}
