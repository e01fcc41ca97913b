// The images of the run: choose one to explain, or a picture from the user's disk.

import { live, loadModel } from '../../data/client.js';
import { here, href } from '../../state/address.js';
import { onDrop } from '../../state/drop.js';
import { go, setQuery } from '../../state/navigate.js';
import { say, title } from '../../ui/announce.js';
import { command, failed } from '../../ui/components.js';
import { fill, h } from '../../ui/dom.js';
import { chooser } from '../../ui/image_chooser.js';
import { nameChip, searchButton } from '../../ui/name_chip.js';
import { fileField, NO_UPLOADS } from '../../ui/upload.js';
import { ImagePlace } from './image.js';

const WORDS = 'Choose one to take it apart: what each layer sees where, and what speaks for a class.';

export class ImagesPlace {
  /** @param {{ root: HTMLElement, about: About }} parts */
  constructor({ root, about }) {
    this.root = root;
    this.about = about;
    this.drawn = false;
    /** The file in the address that is no longer here. */
    this.missing = '';
    /** The text that the listed images have in file or label. */
    this.text = '';
    /** The user's own picture. The address holds its name only, so leaving the page loses it. @type {ImagePlace | null} */
    this.own = null;
    this.stopDrops = onDrop((file) => this.open(file));
    this.closing = new AbortController();
    // The model is loaded while the user chooses.
    if (live() && about.uploads) loadModel(this.closing.signal).catch(() => {});
  }

  /** @param {import('../../state/address.js').State} state */
  update(state) {
    const { own = '' } = state.query;
    if (own && this.own?.own?.name === own) {
      this.drawn = false;
      return this.own.update(state);
    }
    title('images', `${this.about.name}@${this.about.version}`);
    const { text = '' } = state.query;
    if (this.drawn && own === this.missing && text === this.text) return;
    [this.drawn, this.missing, this.text] = [true, own, text];
    const heading = h('h1', { class: 'title' }, 'Images');
    if (live()) return this.#draw(state, heading);
    const reason = 'These are exported files without the images. The viewer shows them, and takes them apart:';
    fill(this.root, h('div', { class: 'page' }, heading, h('p', {}, reason), command(this.about.commands.view)));
  }

  /** @param {import('../../state/address.js').State} state @param {HTMLElement} heading */
  #draw(state, heading) {
    const { layer, text = '' } = state.query;
    const { uploads } = this.about;
    const images = chooser(text, (id) => href({ ...state, what: String(id), query: layer ? { layer } : {} }));
    const field = searchButton('By file or label …', 'Find images by their file or label', 'File or label', 'images');
    const file = fileField((chosen) => this.open(chosen));
    const lost = this.missing && `${this.missing} was not kept; choose it again.`;
    this.failure = h('div');
    fill(
      this.root,
      h(
        'div',
        { class: 'page wide' },
        h('header', { class: 'page-head' }, heading, h('div', { class: 'tools' }, field)),
        h('p', {}, uploads ? `${WORDS} Or drop a picture of yours anywhere on this page.` : WORDS),
        lost && uploads && h('p', { class: 'note', role: 'status' }, lost),
        uploads && h('p', {}, file.button, file.field),
        this.failure,
        text &&
          h(
            'p',
            {},
            nameChip(text, () => setQuery({ text: null })),
          ),
        images.summary,
        images.body,
      ),
    );
    if (lost) say(lost);
  }

  /** Explain a picture from the user's disk. @param {File} file */
  open(file) {
    if (!this.about.uploads) {
      if (this.failure) fill(this.failure, failed(NO_UPLOADS));
      return;
    }
    this.own?.close();
    this.own = new ImagePlace({ root: this.root, about: this.about }, file);
    const { query } = here();
    const { layer } = query;
    go({ what: '', query: query.own === file.name ? query : { ...(layer ? { layer } : {}), own: file.name } });
  }

  close() {
    this.stopDrops();
    this.closing.abort();
    this.own?.close();
  }
}
