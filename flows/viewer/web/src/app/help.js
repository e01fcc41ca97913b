// Help: keys, glossary, and how far to trust a picture.

import { entryOf, WORDS } from '../data/glossary.js';
import { href } from '../state/address.js';
import { live } from '../data/client.js';
import { h, SIGNS, sign } from '../ui/dom.js';
import { meaningOf } from '../ui/term.js';
import { KEYS } from './keys.js';

/** @type {HTMLDialogElement | null} */
let open = null;

/** Open the help, at a word of the glossary if one is given. @param {About | null} about @param {string} [word] */
export function openHelp(about, word = '') {
  if (open?.open) return;
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
      h('section', {}, h('h2', {}, 'Words'), words(word)),
      h('section', {}, h('h2', {}, 'Keys'), keys()),
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
  const sought = /** @type {HTMLElement | null} */ (dialog.querySelector('.sought'));
  sought?.focus();
  sought?.scrollIntoView({ block: 'start' });
}

/** The words of the glossary; the one that is sought is marked. @param {string} sought */
const words = (sought) =>
  h(
    'dl',
    { class: 'words' },
    ...WORDS.flatMap((entry) => [
      h('dt', entry === entryOf(sought) ? { class: 'sought', tabindex: -1 } : {}, entry.word),
      h('dd', {}, ...meaningOf(entry)),
    ]),
  );

const keys = () =>
  h(
    'dl',
    { class: 'words' },
    ...KEYS.flatMap(([names, words]) => [
      h('dt', {}, ...names.split(' ').map((key) => h('kbd', {}, key))),
      h('dd', {}, words),
    ]),
  );
