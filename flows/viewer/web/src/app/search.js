// Search: classes, units, labels and images, from anywhere.

import { ask, live } from '../data/client.js';
import { bestMatches, fitRows, matches as contains, MOST } from '../data/match.js';
import { layerOf } from '../state/layer.js';
import { go, setQuery } from '../state/navigate.js';
import { Combobox } from '../ui/combobox.js';
import { h, SIGNS, sign } from '../ui/dom.js';

/** @typedef {import('../ui/combobox.js').Option} Option */
/** @typedef {import('../state/address.js').State} State */

export class Search {
  constructor() {
    this.box = new Combobox({
      id: 'found',
      label: 'found',
      none: 'No match.',
      field: {
        'aria-label': 'Search: a class, a unit, a label, a file',
        placeholder: 'Class, unit, label, file',
        onfocus: () => this.box.search(),
      },
      find: (text) => (this.run && this.state ? matches(text, this.run, this.state) : null),
      chosen: () => this.leave(),
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
    /** @type {State | null} */
    this.state = null;
  }

  /** @param {About | null} about @param {State} state */
  update(about, state) {
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
    this.box.close();
    this.box.input.blur();
    /** @type {HTMLElement | null} */ (document.querySelector('.stage, main'))?.focus();
  }
}

/** @param {string} text @param {About} about @param {State} state @returns {Promise<Option[]>} */
async function matches(text, about, state) {
  const layer = layerOf(state, about);
  return fitRows([
    units(text, about, layer, state),
    ...(await classes(text, about, layer, state)),
    about.labels ? await labels(text, layer, state) : [],
    live() && text.length > 1 ? await images(text, layer, state) : [],
  ]);
}

/** @param {string} text @param {About} about @param {string} layer @param {State} state @returns {Option[]} */
function units(text, about, layer, state) {
  const [, name, digits] = /^(?:(.+):)?(\d{1,9})$/.exec(text) ?? [];
  if (!digits) return [];
  const unit = Number(digits);
  const inLayer = (/** @type {LayerFacts} */ facts) => (name ? facts.name.includes(name) : facts.name === layer);
  return about.layers
    .filter((facts) => inLayer(facts) && unit < facts.units)
    .map((facts) => `${facts.name}:${unit}`)
    .map((what) => ({ words: what, kind: 'unit', act: () => go({ ...state, place: 'unit', what, query: {} }) }));
}

/** Return matching classes twice: for the image on show, and for the map. @param {string} text @param {About} about @param {string} layer @param {State} state @returns {Promise<Option[][]>} */
async function classes(text, about, layer, state) {
  if (!about.classes) return [];
  const { names } = await ask('classes').catch(() => ({ names: [] }));
  const rows = bestMatches(names, text).slice(0, MOST);
  const inImage = state.place === 'image' && (state.what || state.query.own) && live() && about.uploads;
  const query = state.place === 'atlas' ? state.query : {};
  const option = (/** @type {string} */ kind, /** @type {(of: string) => void} */ act) =>
    rows.map(({ name, i }) => ({ words: name, kind, act: () => act(String(i)) }));
  return [
    inImage ? option('class, in this image', (of) => setQuery({ class: of, against: null })) : [],
    about.missing.attribution
      ? []
      : option('class, on the map', (of) =>
          go({ ...state, place: 'atlas', what: layer, query: { ...query, class: of, cell: '' } }),
        ),
  ];
}

/** @param {string} text @param {string} layer @param {State} state @returns {Promise<Option[]>} */
async function labels(text, layer, state) {
  const answer = /** @type {{ labels: string[] }} */ (await ask('units', { layer }).catch(() => ({ labels: [] })));
  const rows = answer.labels.filter((label) => contains(label, text)).slice(0, MOST);
  return rows.map((label) => ({
    words: label,
    kind: 'label, among units',
    act: () => go({ ...state, place: 'units', what: layer, query: { label } }),
  }));
}

/** @param {string} text @param {string} layer @param {State} state @returns {Promise<Option[]>} */
async function images(text, layer, state) {
  const request = ask('images', { start: 0, text }).catch(() => ({ found: [] }));
  const { found } = /** @type {ImageList} */ (await request);
  return found.slice(0, MOST).map(({ key, image_id: id }) => ({
    words: key,
    kind: 'image',
    act: () => go({ ...state, place: 'image', what: String(id), query: { layer } }),
  }));
}
