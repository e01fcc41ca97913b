// Help: keys, glossary, and how far to trust a picture.

import glossary from '../generated/glossary.json';
import { href } from '../state/address.js';
import { live } from '../data/client.js';
import { h, SIGNS, sign } from '../ui/dom.js';
import { KEYS } from './keys.js';

/** @type {[string, string][]} */
const WORDS = glossary.map(({ word, meaning }) => [word, meaning]);

/** @type {HTMLDialogElement | null} */
let open = null;

/** @param {About | null} about */
export function openHelp(about) {
  if (open) return;
  const close = h(
    'button',
    { class: 'icon-button', 'aria-label': 'Close', title: 'Close (Esc)', onclick: () => dialog.close() },
    sign(SIGNS.close),
  );
  const dialog = h(
    'dialog',
    { class: 'help', 'aria-labelledby': 'help-title' },
    h(
      'header',
      { class: 'panel-head' },
      h('h1', { id: 'help-title', class: 'panel-title' }, 'How to read this'),
      close,
    ),
    h(
      'div',
      { class: 'help-body' },
      h(
        'section',
        {},
        h('h2', {}, 'How far to trust a picture'),
        h(
          'p',
          {},
          'The pictures of cells and units are optimised, not photos: each shows one of many inputs that excite the model most. ',
          'Look at the real patches beside them. Where a picture and its patches disagree, trust the patches.',
        ),
        about &&
          h(
            'p',
            {},
            `These were made from ${about.listed.toLocaleString('en')} images with ${about.model}, recipe “${String(about.config.recipe ?? 'fast')}”, layout “${String(about.config.layout ?? 'umap')}”. `,
            'Neighbouring cells are similar; larger distances mean little.',
          ),
      ),
      h('section', {}, h('h2', {}, 'Words'), list(WORDS, false)),
      h('section', {}, h('h2', {}, 'Keys'), list(KEYS, true)),
      live() &&
        h(
          'section',
          {},
          h('h2', {}, 'For programs'),
          h(
            'p',
            {},
            'The data behind each view are available as JSON: ',
            h(
              'a',
              {
                href: href({ place: 'api', name: '', version: null, what: '', query: {} }),
                onclick: () => dialog.close(),
              },
              'the API',
            ),
            '.',
          ),
        ),
    ),
  );
  dialog.addEventListener('close', () => {
    dialog.remove();
    open = null;
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  open = dialog;
  dialog.showModal();
}

/** @param {[string, string][]} rows @param {boolean} keys */
function list(rows, keys) {
  return h(
    'dl',
    { class: 'words' },
    ...rows.flatMap(([word, words]) => [
      h('dt', {}, keys ? word.split(' ').map((key) => h('kbd', {}, key)) : word),
      h('dd', {}, words),
    ]),
  );
}
