// One image, taken apart: what a layer sees at each position, what speaks for a class, and which positions belong together.

import { href } from '../../state/address.js';
import { ask, live, picture, send } from '../../data/client.js';
import { fill, h } from '../../ui/dom.js';
import { layerOf } from '../../state/layer.js';
import { turn } from '../../state/navigate.js';
import { title } from '../../ui/announce.js';
import { coming, failed } from '../../ui/components.js';
import { Apart, asked } from './explanation.js';
import { holding, renew } from './renew.js';

/** @typedef {import('../../state/address.js').State} State */

/** @type {[number, number][]} */
const SHAPES = [
  [560, 420],
  [0, 120],
];

export class ImagePlace {
  /** @param {{ root: HTMLElement, about: About }} place @param {File} [own] a picture that is none of the run's */
  constructor({ root, about }, own) {
    this.root = root;
    this.about = about;
    this.own = own;
    this.shot = own && URL.createObjectURL(own);
    /** @type {Map<string, Promise<any>>} */
    this.asked = new Map();
    this.leaving = new AbortController();
    this.head = h('div');
    this.tools = h('div', { class: 'page-head image-tools' });
    this.apart = h('div', { class: 'apart' });
    this.page = h('article', { class: 'page wide' }, this.head, this.tools, this.apart);
    /** The image that is shown. */
    this.id = NaN;
    /** What is being asked of the model: another image, layer or class gives up what is on its way. */
    this.question = '';
    /** The image and the layer of what is drawn. */
    this.of = '';
    /** @type {Apart | null} */
    this.taken = null;
    /** The question whose answer is drawn. */
    this.drawn = '';
    /** @type {HTMLImageElement | null} */
    this.photo = null;
    /** Where one is now: what comes late is drawn as it is then. @type {State | null} */
    this.state = null;
  }

  /** @param {State} state */
  async update(state) {
    this.state = state;
    const id = Number(state.what);
    const layer = /** @type {LayerFacts} */ (
      this.about.layers.find((known) => known.name === layerOf(state, this.about))
    );
    title(this.own?.name ?? `image ${id}`, `${this.about.name}@${this.about.version}`);
    if (!this.page.isConnected) fill(this.root, this.page);
    const coming = id === this.id ? null : this.#another(state, id, layer);
    this.#steps(state, layer);
    if (live() && this.about.uploads) await this.#ask(state, id, layer);
    await coming;
  }

  /** @param {State} state @param {number} id @param {LayerFacts} layer */
  async #another(state, id, layer) {
    this.id = id;
    this.photo = this.#photo(id);
    if (!live() || !this.about.uploads) {
      fill(
        this.apart,
        this.photo,
        h(
          'p',
          { class: 'quiet section' },
          live()
            ? 'This viewer was started with --no-uploads: it does not run the model. Start it without, and the image is taken apart here.'
            : `These are exported files without the model. To take the image apart: actlas view ${this.about.name}`,
        ),
      );
    } else fill(this.apart);
    if (this.own) fill(this.head, ...ownFacts(state, layer, this.own));
    else
      await coming(
        this.head,
        () => ask('image', { id }),
        (/** @type {ImageFacts} */ found) => facts(state, layer, found),
        [320, 36],
        [240, 24],
      );
  }

  /** @param {State} state @param {number} id @param {LayerFacts} layer */
  async #ask(state, id, layer) {
    const of = `${id} ${layer.name}`;
    const { class: named = '', against = '' } = state.query;
    const question = `${of} ${named} ${against}`;
    if (question === this.question) {
      if (this.drawn === question) this.taken?.update(state);
      return;
    }
    this.question = question;
    this.#giveUp();
    if (of !== this.of) this.taken?.dropped();
    await renew(
      this.apart,
      () => this.#explain(layer, asked(state), this.leaving.signal),
      (found) => this.#draw(question, of, layer, found),
      { sizes: SHAPES, wrong: (error, again) => this.#wrong(error, again) },
    );
  }

  /** @param {string} question @param {string} of @param {LayerFacts} layer @param {Explained} found */
  #draw(question, of, layer, found) {
    const state = /** @type {State} */ (this.state);
    this.drawn = question;
    if (this.taken && of === this.of) this.taken.turn(state, found);
    else {
      const hold = holding(this.apart);
      this.taken?.close();
      this.of = of;
      this.taken = new Apart(
        {
          about: this.about,
          layer,
          image: /** @type {HTMLImageElement} */ (this.photo),
          ask: (...what) => this.#explain(...what),
        },
        state,
        found,
      );
      fill(this.apart, this.taken.element);
      hold();
    }
    return [this.taken.element];
  }

  /** What is wrong with the classes that an address names, with the way out; or what else went wrong. @param {unknown} error @param {() => void} again */
  #wrong(error, again) {
    const words = error instanceof Error ? error.message : String(error);
    const { class: of = '', against = '' } = /** @type {State} */ (this.state).query;
    const out = (/** @type {string} */ line, /** @type {string} */ way, /** @type {Record<string, null>} */ change) =>
      h(
        'div',
        { class: 'failed', role: 'alert' },
        h('p', {}, line),
        h('button', { class: 'button', onclick: () => turn(change) }, way),
      );
    if ((of || against) && /is the class itself/.test(words))
      return out('A class cannot be held against itself.', 'Set it against nothing', { against: null });
    const unknown = [against, of].find((one) => one && words.includes(one.replace(/^class:/, ''))) ?? of;
    if (unknown && /no class names/.test(words))
      return out(
        `The classes of this run have no names: “${unknown}” is none of their numbers.`,
        'Show the strongest class',
        { class: null, against: null },
      );
    if (unknown && /has no class|write /.test(words))
      return out(
        `The model has no class “${unknown}”${/; nearest: /.test(words) ? `; nearest are ${words.split('; nearest: ')[1]}` : ''}.`,
        'Show the strongest class',
        { class: null, against: null },
      );
    return failed(error, again);
  }

  #giveUp() {
    this.leaving.abort();
    this.leaving = new AbortController();
  }

  /** It is not looked at any more, and a picture of one's own is let go. */
  close() {
    this.#giveUp();
    this.taken?.close();
    if (this.shot) URL.revokeObjectURL(this.shot);
  }

  /** @param {number} id */
  #photo(id) {
    const words = this.own ? 'the picture of yours' : `image ${id}`;
    const image = h('img', {
      src: this.shot ?? picture('photo', { id }),
      alt: words,
      class: 'photo-itself',
      onerror: () => image.replaceWith(h('p', { class: 'note' }, 'The image itself is not here.')),
    });
    return image;
  }

  /** @param {State} state @param {LayerFacts} layer */
  #steps(state, layer) {
    const hold = holding(this.tools);
    const layers = h(
      'nav',
      { class: 'steps-layers', 'aria-label': 'layers' },
      ...this.about.layers.map((known) =>
        h(
          'a',
          {
            href: href({ ...state, query: { ...state.query, layer: known.name, at: '', from: '' } }),
            'data-keep': known.name,
            'aria-current': known === layer ? 'true' : null,
          },
          known.name,
        ),
      ),
    );
    const { own } = this;
    const words = 'Locate on the atlas';
    const locate = own
      ? h(
          'button',
          { class: 'button flat', onclick: () => dispatchEvent(new CustomEvent('locateown', { detail: own })) },
          words,
        )
      : h(
          'a',
          {
            class: 'button flat',
            href: href({ ...state, place: 'atlas', what: layer.name, query: { locate: state.what } }),
          },
          words,
        );
    fill(this.tools, layers, live() && this.about.uploads && locate);
    hold();
  }

  /** @param {LayerFacts} layer @param {Record<string, string>} words @param {AbortSignal} leaving @returns {Promise<any>} */
  #explain(layer, words, leaving) {
    const key = JSON.stringify([this.id, layer.name, words]);
    const known = this.asked.get(key);
    if (known) return known;
    const found = send(
      'explain',
      { layer: layer.name, ...(this.own ? {} : { id: this.id }), ...words },
      this.own ?? new Blob([]),
      leaving,
    );
    const forget = () => {
      if (this.asked.get(key) === found) this.asked.delete(key);
    };
    this.asked.set(key, found);
    leaving.addEventListener('abort', forget);
    found.then(() => leaving.removeEventListener('abort', forget), forget);
    return found;
  }
}

/** @param {State} state @param {LayerFacts} layer @param {ImageFacts} found */
function facts(state, layer, found) {
  const size = found.width && found.height ? `${found.width} × ${found.height} px` : 'size not known';
  const label = found.label
    ? h('a', { href: href({ ...state, place: 'units', what: layer.name, query: { label: found.label } }) }, found.label)
    : 'no label';
  return [
    h('h1', { class: 'title' }, found.key),
    h('p', { class: 'lead' }, label, ` · ${size} · image ${found.image_id}`),
    found.reason && h('p', { class: 'note' }, `This image was not used: ${found.reason}.`),
  ];
}

/** What is known of a picture that is none of the run's. @param {State} state @param {LayerFacts} layer @param {File} own */
function ownFacts(state, layer, own) {
  return [
    h('h1', { class: 'title' }, own.name),
    h(
      'p',
      { class: 'lead' },
      'A picture of yours: it is looked at, and not kept. ',
      h('a', { href: href({ ...state, what: '', query: { layer: layer.name } }) }, 'All images of the run'),
    ),
  ];
}
