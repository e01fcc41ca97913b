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

/** A button that opens the search in its own place. @param {string} words @param {string} title @param {string} placeholder of the field @param {'' | 'images'} [only] the kind of names to find, '' for all */
export const searchButton = (words, title, placeholder, only = '') =>
  h(
    'button',
    {
      class: 'link small',
      title,
      'data-keep': 'search',
      'data-placeholder': placeholder,
      'data-only': only,
      onclick: (/** @type {Event} */ { currentTarget }) =>
        dispatchEvent(new CustomEvent('searchnames', { detail: currentTarget })),
    },
    words,
  );
