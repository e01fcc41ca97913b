// All images of the run: choose one, and it is taken apart.

import { href } from '../../address.js';
import { live } from '../../data.js';
import { fill, h } from '../../dom.js';
import { turn } from '../../go.js';
import { title } from '../../live.js';
import { chooser } from './choose.js';

export class ImagesPlace {
  /** @param {{ root: HTMLElement, about: About }} place */
  constructor({ root, about }) {
    this.root = root;
    this.about = about;
    this.drawn = false;
  }

  /** @param {import('../../address.js').State} state */
  update(state) {
    title('images', `${this.about.name}@${this.about.version}`);
    if (this.drawn) return;
    this.drawn = true;
    const heading = h('h1', { class: 'title' }, 'Images');
    if (!live()) {
      return fill(this.root, h('div', { class: 'page' }, heading, h('p', {}, `These are exported files without the images. To choose one and take it apart: actlas view ${this.about.name}`)));
    }
    const { layer } = state.query;
    const { field, told, body } = chooser(state.query.text ?? '', (id) => href({ ...state, what: String(id), query: layer ? { layer } : {} }), (text) => turn({ text: text || null }, { replace: true, quiet: true }));
    fill(this.root, h('div', { class: 'page wide' },
      h('header', { class: 'page-head' }, heading, h('div', { class: 'tools' }, field)),
      h('p', {}, 'Choose one to take it apart: what each layer sees where, and what speaks for a class.'), told, body));
  }
}
