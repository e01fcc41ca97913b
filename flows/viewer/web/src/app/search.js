// Search: a class, a unit or a label, from anywhere.

import { Combobox } from '../ui/combobox.js';
import { ask, live } from '../data/client.js';
import { likest, MOST, shared } from '../data/match.js';
import { h, SIGNS, sign } from '../ui/dom.js';
import { layerOf } from '../state/layer.js';
import { go, turn } from '../state/navigate.js';

/** @typedef {import('../ui/combobox.js').Found} Found */

export class Search {
  constructor() {
    this.box = new Combobox({
      id: 'found',
      label: 'found',
      none: 'Nothing is called that.',
      field: {
        'aria-label': 'Search: a class, a unit, a label, a file',
        placeholder: 'Class, unit, label, file',
        onfocus: () => this.box.look(),
      },
      find: (text) => (this.run && this.state ? matches(text, this.run, this.state) : null),
      taken: () => this.leave(),
    });
    this.element = h(
      'div',
      { class: 'search' },
      sign(SIGNS.search),
      this.box.input,
      h('kbd', { class: 'search-key', 'aria-hidden': 'true' }, '/'),
      this.box.list,
    );
    /** @type {About | null} */
    this.run = null;
    /** @type {import('../state/address.js').State | null} */
    this.state = null;
  }

  /** @param {About | null} about @param {import('../state/address.js').State} state */
  about(about, state) {
    this.run = about;
    this.state = state;
  }

  focus() {
    this.box.input.focus();
    this.box.input.select();
  }

  hasFocus() {
    return this.box.hasFocus();
  }

  leave() {
    this.box.shut();
    this.box.input.blur();
    /** @type {HTMLElement | null} */ (document.querySelector('.stage, main'))?.focus();
  }
}

/** @param {string} text @param {About} about @param {import('../state/address.js').State} state @returns {Promise<Found[]>} */
async function matches(text, about, state) {
  const layer = layerOf(state, about);
  const kinds = [units(text, about, layer, state)];
  const low = text.toLowerCase();
  const taken = state.place === 'image' && (state.what || state.query.own) && live() && about.uploads;
  const hits = about.classes ? likest((await ask('classes').catch(() => ({ names: [] }))).names, text) : [];
  if (taken)
    kinds.push(
      hits.slice(0, MOST).map(({ name, i }) => ({
        words: name,
        kind: 'class, in this image',
        act: () => turn({ class: String(i), against: null }),
      })),
    );
  if (!about.missing.attribution) {
    kinds.push(
      hits.slice(0, MOST).map(({ name, i }) => ({
        words: name,
        kind: 'class, on the map',
        act: () =>
          go({
            ...state,
            place: 'atlas',
            what: layer,
            query: { ...(state.place === 'atlas' ? state.query : {}), class: String(i), cell: '' },
          }),
      })),
    );
  }
  if (about.labels) {
    const { labels } = await ask('units', { layer }).catch(() => ({ labels: [] }));
    kinds.push(
      /** @type {string[]} */ (labels)
        .filter((label) => label.toLowerCase().includes(low))
        .slice(0, MOST)
        .map((label) => ({
          words: label,
          kind: 'label, among units',
          act: () => go({ ...state, place: 'units', what: layer, query: { label } }),
        })),
    );
  }
  if (live() && text.length > 1) {
    const { found: images } = /** @type {ImageList} */ (
      await ask('images', { start: 0, text }).catch(() => ({ found: [] }))
    );
    kinds.push(
      images.slice(0, MOST).map((image) => ({
        words: image.key,
        kind: 'image',
        act: () => go({ ...state, place: 'image', what: String(image.image_id), query: { layer } }),
      })),
    );
  }
  return shared(kinds);
}

/** @param {string} text @param {About} about @param {string} layer @param {import('../state/address.js').State} state @returns {Found[]} */
function units(text, about, layer, state) {
  const asked = /^(?:(.+):)?(\d{1,9})$/.exec(text);
  if (!asked) return [];
  return about.layers
    .filter(
      (known) => (asked[1] ? known.name.includes(asked[1]) : known.name === layer) && Number(asked[2]) < known.units,
    )
    .map((known) => ({
      words: `${known.name}:${Number(asked[2])}`,
      kind: 'unit',
      act: () => go({ ...state, place: 'unit', what: `${known.name}:${Number(asked[2])}`, query: {} }),
    }));
}
