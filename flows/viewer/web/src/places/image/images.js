// All images of the run: choose one, or a picture of one's own, and it is taken apart.

import { here, href } from '../../state/address.js';
import { live } from '../../data/client.js';
import { fill, h } from '../../ui/dom.js';
import { taking } from '../../state/drop.js';
import { go, turn } from '../../state/navigate.js';
import { say, title } from '../../ui/announce.js';
import { failed } from '../../ui/components.js';
import { chooser } from '../../ui/image_chooser.js';
import { ImagePlace } from './image.js';
import { NOT_TAKEN, ownFile } from '../../ui/upload.js';

export class ImagesPlace {
  /** @param {{ root: HTMLElement, about: About }} place */
  constructor({ root, about }) {
    this.root = root;
    this.about = about;
    this.drawn = false;
    /** The name of a picture of one's own that the address has, and that is not here any more. */
    this.gone = '';
    /** The picture of one's own that the address names: it stands there by its name alone, and is gone once the page is left. @type {ImagePlace | null} */
    this.own = null;
    this.deaf = taking((file) => this.take(file));
  }

  /** @param {import('../../state/address.js').State} state */
  update(state) {
    if (state.query.own && this.own?.own?.name === state.query.own) {
      this.drawn = false;
      return this.own.update(state);
    }
    title('images', `${this.about.name}@${this.about.version}`);
    const gone = state.query.own ?? '';
    if (this.drawn && gone === this.gone) return;
    [this.drawn, this.gone] = [true, gone];
    const heading = h('h1', { class: 'title' }, 'Images');
    if (!live()) {
      return fill(
        this.root,
        h(
          'div',
          { class: 'page' },
          heading,
          h(
            'p',
            {},
            `These are exported files without the images. To choose one and take it apart: actlas view ${this.about.name}`,
          ),
        ),
      );
    }
    const { layer } = state.query;
    const { field, told, body } = chooser(
      state.query.text ?? '',
      (id) => href({ ...state, what: String(id), query: layer ? { layer } : {} }),
      (text) => turn({ text: text || null }, { replace: true, quiet: true }),
    );
    const mine = ownFile((file) => this.take(file));
    const words = 'Choose one to take it apart: what each layer sees where, and what speaks for a class.';
    this.said = h('div');
    fill(
      this.root,
      h(
        'div',
        { class: 'page wide' },
        h('header', { class: 'page-head' }, heading, h('div', { class: 'tools' }, field)),
        h('p', {}, this.about.uploads ? `${words} Or drop a picture of yours anywhere on this page.` : words),
        gone &&
          this.about.uploads &&
          h('p', { class: 'note', role: 'status' }, `${gone} was not kept; choose it again.`),
        this.about.uploads && h('p', {}, mine.button, mine.field),
        this.said,
        told,
        body,
      ),
    );
    if (gone) say(`${gone} was not kept; choose it again.`);
  }

  /** @param {File} file */
  take(file) {
    if (!this.about.uploads) {
      if (this.said) fill(this.said, failed(NOT_TAKEN));
      return;
    }
    this.own?.close();
    this.own = new ImagePlace({ root: this.root, about: this.about }, file);
    const { query } = here();
    const { layer } = query;
    go({ what: '', query: query.own === file.name ? query : { ...(layer ? { layer } : {}), own: file.name } });
  }

  close() {
    this.deaf();
    this.own?.close();
  }
}
