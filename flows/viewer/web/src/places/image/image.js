// One image explained: what a layer sees at each position, what speaks for a class, and which positions belong together.

import { ask, live, picture, send } from '../../data/client.js';
import { labelAtlas } from '../../data/commands.js';
import { href } from '../../state/address.js';
import { layerOf } from '../../state/layer.js';
import { title } from '../../ui/announce.js';
import { atlasOfThese, command, fillAsync } from '../../ui/components.js';
import { fill, h } from '../../ui/dom.js';
import { percent } from '../../ui/format.js';
import { figureButton } from '../../ui/figure/save.js';
import { classParameters, Explanation } from './explanation.js';
import { classError } from './class_error.js';
import { imageFigure } from './figure.js';
import { timed } from '../../ui/waiting.js';
import { arrival, isFault, Pending, photoAlone } from './pending.js';
import { focusMemory, refresh } from './refresh.js';

/** @typedef {import('../../state/address.js').State} State */

const NO_UPLOADS =
  'This viewer was started with --no-uploads: it does not run the model. Start it without, and the image is taken apart here.';

export class ImagePlace {
  /** @param {{ root: HTMLElement, about: About }} parts @param {File} [own] the user's own picture */
  constructor({ root, about }, own) {
    this.root = root;
    this.about = about;
    this.own = own;
    this.ownAddress = own && URL.createObjectURL(own);
    /** @type {Map<string, Promise<any>>} */
    this.answers = new Map();
    this.abort = new AbortController();
    this.save = figureButton(async () => this.explanation && imageFigure(about, this.explanation, this.name));
    /** The file of the image. */
    this.name = own?.name ?? '';
    this.head = h('div');
    this.tools = h('div', { class: 'page-head image-tools' });
    this.body = h('div', { class: 'apart' });
    this.page = h('article', { class: 'page wide' }, this.head, this.tools, this.body);
    this.id = NaN;
    /** The current request: another image, layer or class cancels it. */
    this.request = '';
    /** The request whose answer is drawn. */
    this.drawn = '';
    /** The image and layer of the explanation. */
    this.subject = '';
    /** @type {Explanation | null} */
    this.explanation = null;
    /** @type {HTMLImageElement | null} */
    this.photo = null;
    /** Aborted with the place. */
    this.closing = new AbortController();
    /** Shown while the model works; it is loaded meanwhile. @type {Pending | null} */
    this.pending = this.#hasModel ? new Pending(this.closing.signal) : null;
    /** The current state, for answers that arrive late. @type {State | null} */
    this.state = null;
  }

  /** Whether there is a model to ask. */
  get #hasModel() {
    return live() && this.about.uploads;
  }

  /** @param {State} state */
  async update(state) {
    this.state = state;
    const id = Number(state.what);
    const name = layerOf(state, this.about);
    const layer = /** @type {LayerFacts} */ (this.about.layers.find((facts) => facts.name === name));
    title(this.own?.name ?? `image ${id}`, `${this.about.name}@${this.about.version}`);
    if (!this.page.isConnected) fill(this.root, this.page);
    const head = id === this.id ? null : this.#changeImage(state, id, layer);
    this.#updateTools(state, layer);
    if (this.#hasModel) await this.#explain(state, id, layer);
    await head;
  }

  /** @param {State} state @param {number} id @param {LayerFacts} layer */
  async #changeImage(state, id, layer) {
    this.id = id;
    this.photo = this.#photo(id);
    const exported = 'These are exported files without the model. The viewer takes the image apart:';
    const words = h('p', { class: 'quiet' }, live() ? NO_UPLOADS : exported);
    const reason = h('div', { class: 'section' }, words, !live() && command(this.about.commands.view));
    fill(this.body, ...(this.#hasModel ? [] : [this.photo, reason]));
    if (this.own) return fill(this.head, ...ownFacts(state, layer, this.own));
    const draw = (/** @type {ImageFacts} */ answer) => {
      this.name = answer.key;
      return facts(state, layer, this.about, answer);
    };
    await fillAsync(this.head, () => ask('image', { id }), draw, [320, 36], [240, 24]);
  }

  /** @param {State} state @param {number} id @param {LayerFacts} layer */
  async #explain(state, id, layer) {
    const subject = `${id} ${layer.name}`;
    const { class: of = '', against = '' } = state.query;
    const request = `${subject} ${of} ${against}`;
    if (request === this.request) {
      if (this.drawn === request) this.explanation?.update(state);
      return;
    }
    this.request = request;
    this.#cancel();
    if (subject !== this.subject) this.explanation?.detach();
    await refresh(
      this.body,
      () => this.#askAboutPhoto(id, layer, state, this.abort.signal),
      (explained) => this.#draw(request, subject, layer, explained),
      {
        pending: () => this.#wait(),
        failed: (error, again) => this.#explainError(error, again),
      },
    );
  }

  /** @param {unknown} error @param {() => void} again */
  #explainError(error, again) {
    const { photo, pending, state } = this;
    if (photo && isFault(error)) return photoAlone(photo, error, pending?.loaded ?? false, again);
    return classError(error, again, /** @type {State} */ (state));
  }

  /** Show the photo while the model works. */
  #wait() {
    const photo = /** @type {HTMLImageElement} */ (this.photo);
    return /** @type {Pending} */ (this.pending).element(photo);
  }

  /** Ask the model once the photo is here. @param {number} id @param {LayerFacts} layer @param {State} state @param {AbortSignal} signal */
  async #askAboutPhoto(id, layer, state, signal) {
    if (!this.own) await arrival(/** @type {HTMLImageElement} */ (this.photo), picture('photo', { id }));
    return timed('explain', this.#ask(layer, classParameters(state), signal));
  }

  /** @param {string} request @param {string} subject @param {LayerFacts} layer @param {Explained} explained */
  #draw(request, subject, layer, explained) {
    const state = /** @type {State} */ (this.state);
    this.drawn = request;
    if (this.explanation && subject === this.subject) {
      this.explanation.changeClass(state, explained);
      return [this.explanation.element];
    }
    const refocus = focusMemory(this.body);
    this.explanation?.close();
    this.subject = subject;
    const image = /** @type {HTMLImageElement} */ (this.photo);
    /** @type {import('./explanation.js').Ask} */
    const askModel = (...parameters) => this.#ask(...parameters);
    this.explanation = new Explanation({ about: this.about, layer, image, ask: askModel }, state, explained);
    fill(this.body, this.explanation.element);
    refocus();
    return [this.explanation.element];
  }

  #cancel() {
    this.abort.abort();
    this.abort = new AbortController();
  }

  close() {
    this.#cancel();
    this.closing.abort();
    this.explanation?.close();
    if (this.ownAddress) URL.revokeObjectURL(this.ownAddress);
  }

  /** @param {number} id */
  #photo(id) {
    const image = h('img', {
      src: this.ownAddress ?? picture('photo', { id }),
      alt: this.own ? 'your picture' : `image ${id}`,
      class: 'photo-itself',
      onload: () => image.style.setProperty('--ratio', String(image.naturalWidth / image.naturalHeight)),
      onerror: () => this.#hasModel || image.replaceWith(h('p', { class: 'note' }, 'The image itself is not here.')),
    });
    return image;
  }

  /** @param {State} state @param {LayerFacts} layer */
  #updateTools(state, layer) {
    const refocus = focusMemory(this.tools);
    const links = this.about.layers.map((facts) => {
      const address = href({ ...state, query: { ...state.query, layer: facts.name, at: '', from: '' } });
      const current = facts === layer ? 'true' : null;
      return h('a', { href: address, 'data-keep': facts.name, 'aria-current': current }, facts.name);
    });
    const layers = h('nav', { class: 'steps-layers', 'aria-label': 'layers' }, ...links);
    const actions = this.#hasModel && h('div', { class: 'tools' }, this.save, this.#locateControl(state, layer));
    fill(this.tools, layers, actions);
    refocus();
  }

  /** @param {State} state @param {LayerFacts} layer */
  #locateControl(state, layer) {
    const { own } = this;
    const attributes = { class: 'button flat' };
    const words = 'Locate on the atlas';
    if (!own) {
      const address = href({ ...state, place: 'atlas', what: layer.name, query: { locate: state.what } });
      return h('a', { ...attributes, href: address }, words);
    }
    const locate = () => dispatchEvent(new CustomEvent('locateown', { detail: own }));
    return h('button', { ...attributes, onclick: locate }, words);
  }

  /** Ask the model, once for the same parameters. @param {LayerFacts} layer @param {Record<string, string>} parameters @param {AbortSignal} signal @returns {Promise<any>} */
  #ask(layer, parameters, signal) {
    const key = JSON.stringify([this.id, layer.name, parameters]);
    const known = this.answers.get(key);
    if (known) return known;
    /** @type {Record<string, number>} */
    const id = this.own ? {} : { id: this.id };
    const answer = send('explain', { layer: layer.name, ...id, ...parameters }, this.own ?? new Blob([]), signal);
    const forget = () => {
      if (this.answers.get(key) === answer) this.answers.delete(key);
    };
    this.answers.set(key, answer);
    signal.addEventListener('abort', forget);
    answer.then(() => signal.removeEventListener('abort', forget), forget);
    return answer;
  }
}

/** @param {State} state @param {LayerFacts} layer @param {About} about @param {ImageFacts} image */
function facts(state, layer, about, { image_id: id, key, label, width, height, reason, choices, label_rank: rank }) {
  const size = width && height ? `${width} × ${height} px` : 'size not known';
  const units = href({ ...state, place: 'units', what: layer.name, query: { label: label ?? '' } });
  return [
    h('h1', { class: 'title' }, key),
    h('p', { class: 'lead' }, label ? h('a', { href: units }, label) : 'no label', ` · ${size} · image ${id}`),
    choices.length > 0 && h('p', { class: 'quiet small' }, firstClasses(choices, rank)),
    label && atlasOfThese(labelAtlas(about, label), `Atlas of images labelled ${label}`),
    reason && h('p', { class: 'note' }, `This image was not used: ${reason}.`),
  ];
}

/** Say what the run holds of the model's classes for an image. @param {ImageFacts['choices']} choices @param {number | null} rank */
function firstClasses(choices, rank) {
  const words = choices.map(({ name, probability }) =>
    probability === null ? name : `${name} ${percent(probability)}`,
  );
  const place = rank === null ? '' : rank === 0 ? '; the first is its label' : `; number ${rank + 1} is its label`;
  return `First classes: ${words.join(', ')}${place}.`;
}

/** @param {State} state @param {LayerFacts} layer @param {File} own */
function ownFacts(state, layer, own) {
  const all = h('a', { href: href({ ...state, what: '', query: { layer: layer.name } }) }, 'All images of the run');
  return [
    h('h1', { class: 'title' }, own.name),
    h('p', { class: 'lead' }, 'Your own picture: it is looked at, and not kept. ', all),
  ];
}
