// The images of the run, to choose one from: small, by file or label, loaded as they come into view.

import { been } from '../state/scroll_memory.js';
import { ask, picture } from '../data/client.js';
import { fill, h } from './dom.js';
import { count, many } from './format.js';
import { say } from './announce.js';
import { coming, failed } from './components.js';

const PATIENCE = 200;

/**
 * A field and what it finds.
 * @param {string} text
 * @param {(id: number) => string} link
 * @param {(text: string) => void} [typed]
 */
export function chooser(text, link, typed) {
  const told = h('p', { class: 'quiet small', role: 'status' });
  const body = h('div');
  const least = been()?.shown ?? 0;
  let timer = 0;
  const field = h('input', {
    type: 'search',
    class: 'field',
    value: text,
    placeholder: 'File or label',
    'aria-label': 'Only images whose file or label has this',
    maxlength: 200,
    spellcheck: 'false',
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        typed?.(field.value.trim());
        show(field.value.trim());
      }, PATIENCE);
    },
  });
  const show = (/** @type {string} */ wanted) =>
    coming(
      body,
      () => asked(wanted, least),
      (/** @type {ImageList} */ found) => {
        told.textContent = wanted
          ? `${many(found.images, 'image')} with “${wanted}” in file or label.`
          : `${many(found.images, 'image')}.`;
        say(told.textContent);
        return found.images ? shelves(found, wanted, link) : h('p', { class: 'quiet' }, 'No image is called that.');
      },
      [0, 240],
    );
  show(text);
  return { field, told, body };
}

/** The first images, and as many more as are wanted. @param {string} text @param {number} least */
async function asked(text, least) {
  let all = /** @type {ImageList} */ (await ask('images', { start: 0, text }));
  while (all.found.length < Math.min(least, all.images)) {
    const { found } = /** @type {ImageList} */ (await ask('images', { start: all.found.length, text }));
    if (!found.length) break;
    all = { ...all, found: [...all.found, ...found] };
  }
  return all;
}

/** @param {ImageList} first @param {string} text @param {(id: number) => string} link */
function shelves(first, text, link) {
  const list = h('ul', { class: 'images' });
  const wrong = h('div');
  const more = h(
    'button',
    {
      class: 'button',
      onclick: async () => {
        if (more.disabled) return;
        more.disabled = true;
        fill(wrong);
        try {
          add(await ask('images', { start: list.children.length, text }));
        } catch (error) {
          fill(wrong, failed(error));
        }
        more.disabled = false;
      },
    },
    'More images',
  );
  const add = (/** @type {ImageList} */ found) => {
    list.append(
      ...found.found.map((row) =>
        h(
          'li',
          {},
          h(
            'a',
            { href: link(row.image_id), title: row.key },
            h(
              'span',
              { class: 'image-shot' },
              h('img', {
                src: picture('thumbnail', { id: row.image_id }),
                alt: '',
                loading: 'lazy',
                decoding: 'async',
              }),
            ),
            h('span', { class: 'image-name small' }, row.key.split('/').at(-1)),
            h('span', { class: 'image-name small quiet' }, row.label ?? 'no label'),
          ),
        ),
      ),
    );
    more.hidden = list.children.length >= found.images;
    fill(more, `More of ${count(found.images - list.children.length)}`);
  };
  add(first);
  return [list, more, wrong];
}
