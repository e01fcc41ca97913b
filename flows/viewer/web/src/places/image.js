// One image of the run: the photo, the grid of positions, and where on the atlas each of them falls.

import { href } from '../address.js';
import { ask, picture } from '../data.js';
import { fill, h } from '../dom.js';
import { title } from '../live.js';
import { layerOf } from '../frame.js';
import { coming } from '../parts.js';

export class ImagePlace {
  /** @param {{ root: HTMLElement, about: About }} place */
  constructor({ root, about }) {
    this.root = root;
    this.about = about;
  }

  /** @param {import('../address.js').State} state */
  async update(state) {
    const id = Number(state.what);
    title(`image ${id}`, `${this.about.name}@${this.about.version}`);
    const page = h('article', { class: 'page wide' });
    fill(this.root, page);
    await coming(page, () => ask('image', { id }), (/** @type {ImageFacts} */ found) => this.#draw(state, found), [0, 48], [560, 420]);
  }

  /** @param {import('../address.js').State} state @param {ImageFacts} found */
  #draw(state, found) {
    const layer = /** @type {LayerFacts} */ (this.about.layers.find((known) => known.name === layerOf(state, this.about)));
    const gone = h('p', { class: 'note', hidden: true }, 'The image itself is no longer where it was when the run was made.');
    const photo = h('img', { src: picture('photo', { id: found.image_id }), alt: `${found.label || 'no label'}: ${found.key}`, onerror: () => { photo.hidden = true; gone.hidden = false; } });
    const size = found.width && found.height ? `${found.width} × ${found.height} px` : 'size not known';
    return [
      h('h1', { class: 'title' }, found.key),
      h('p', { class: 'lead' }, found.label ? h('a', { href: href({ ...state, place: 'units', what: layer.name, query: { label: found.label } }) }, found.label) : 'no label', ` · ${size} · image ${found.image_id}`),
      h('div', { class: 'photo' }, photo, gone),
      found.reason && h('p', { class: 'note' }, `This image was not used: ${found.reason}.`),
    ];
  }
}
