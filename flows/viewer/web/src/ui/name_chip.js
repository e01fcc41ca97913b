// Chips of names that filter what is shown, and the button that opens the field that finds names.

import { h, SIGNS, sign } from './dom.js';

/** A name with a button that removes it; Delete on the button does too. @param {string} name @param {() => void} remove @param {{ before?: Node, count?: string, title?: string | null | false }} [more] */
export function nameChip(name, remove, { before, count, title } = {}) {
  const onkeydown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== 'Delete' && event.key !== 'Backspace') return;
    event.preventDefault();
    remove();
  };
  const attributes = { class: 'icon-button', 'aria-label': `Remove ${name}`, onclick: remove, onkeydown };
  return h(
    'span',
    { class: 'filter-chip', title },
    before,
    h('span', { class: 'filter-name' }, name),
    count && h('span', { class: 'num quiet' }, count),
    h('button', attributes, sign(SIGNS.close)),
  );
}

/** A button that leads to the search, or opens one in its own place. @param {string} words @param {string} title */
export const searchButton = (words, title, inPlace = false) =>
  h(
    'button',
    {
      class: 'link small',
      title,
      'data-keep': 'search',
      onclick: (/** @type {Event} */ event) =>
        dispatchEvent(new CustomEvent('searchnames', { detail: inPlace ? event.currentTarget : null })),
    },
    words,
  );
