// Chips of names that filter what is shown, and the way to the one field that finds names.

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

/** A button that leads to the search. @param {string} words @param {string} title */
export const searchButton = (words, title) =>
  h(
    'button',
    {
      class: 'link small',
      title: `${title} (/)`,
      'data-keep': 'search',
      onclick: () => dispatchEvent(new Event('searchnames')),
    },
    words,
  );
