// A list of the run's images, with thumbnails that load as they come into view.

import { ask, picture } from '../data/client.js';
import { savedScroll } from '../state/scroll_memory.js';
import { say } from './announce.js';
import { fillAsync, failed } from './components.js';
import { fill, h } from './dom.js';
import { count, many } from './format.js';

/** Return a summary and a list of the images with a text in their file or label. @param {string} text @param {(id: number) => string} link */
export function chooser(text, link) {
  const summary = h('p', { class: 'quiet small', role: 'status' });
  const body = h('div');
  const least = savedScroll()?.shown ?? 0;
  const draw = (/** @type {ImageList} */ list) => {
    const images = many(list.images, 'image');
    summary.textContent = text ? `${images} with “${text}” in file or label.` : `${images}.`;
    say(summary.textContent);
    return list.images ? gallery(list, text, link) : h('p', { class: 'quiet' }, 'No match.');
  };
  fillAsync(body, () => firstImages(text, least), draw, [0, 240]);
  return { summary, body };
}

/** Return the first images that match, at least as many as given. @param {string} text @param {number} least @returns {Promise<ImageList>} */
async function firstImages(text, least) {
  const list = /** @type {ImageList} */ (await ask('images', { start: 0, text }));
  let rows = list.found;
  while (rows.length < Math.min(least, list.images)) {
    const { found } = /** @type {ImageList} */ (await ask('images', { start: rows.length, text }));
    if (!found.length) break;
    rows = [...rows, ...found];
  }
  return { ...list, found: rows };
}

/** @param {ImageList} first @param {string} text @param {(id: number) => string} link */
function gallery(first, text, link) {
  const list = h('ul', { class: 'images' });
  const failure = h('div');
  const loadMore = async () => {
    if (more.disabled) return;
    more.disabled = true;
    fill(failure);
    try {
      add(await ask('images', { start: list.children.length, text }));
    } catch (error) {
      fill(failure, failed(error));
    }
    more.disabled = false;
  };
  const more = h('button', { class: 'button', onclick: loadMore }, 'More images');
  const add = (/** @type {ImageList} */ { images, found }) => {
    list.append(...found.map((row) => item(row, link)));
    more.hidden = list.children.length >= images;
    fill(more, `More of ${count(images - list.children.length)}`);
  };
  add(first);
  return [list, more, failure];
}

/** @param {ImageList['found'][number]} row @param {(id: number) => string} link */
function item({ image_id: id, key, label }, link) {
  const thumbnail = h('img', { src: picture('thumbnail', { id }), alt: '', loading: 'lazy', decoding: 'async' });
  return h(
    'li',
    {},
    h(
      'a',
      { href: link(id), title: key },
      h('span', { class: 'image-shot' }, thumbnail),
      h('span', { class: 'image-name small' }, key.split('/').at(-1)),
      h('span', { class: 'image-name small quiet' }, label ?? 'no label'),
    ),
  );
}
