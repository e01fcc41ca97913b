// What the search finds, and what each match does at the place on show: the first does what the place is about.

import { ask, hasClassMap, live } from '../data/client.js';
import { bestMatches, fitRows, matches as contains, MOST } from '../data/match.js';
import { questionOf, withName } from '../state/question.js';
import { layerOf } from '../state/layer.js';
import { go, setQuery } from '../state/navigate.js';

/** @typedef {import('../ui/combobox.js').Option} Option */
/** @typedef {import('../state/address.js').State} State */
/** @typedef {import('../state/question.js').Kind} Kind */
/** Where a search starts. @typedef {{ about: About, layer: string, state: State }} Here */
/** One use of a match. @typedef {{ kind: string, act: (value: string) => void }} Use */

const short = (/** @type {string} */ name) => name.split(',')[0];

/** @param {string} text @param {About} about @param {State} state @returns {Promise<Option[]>} */
export async function matches(text, about, state) {
  const here = { about, layer: layerOf(state, about), state };
  const [classes, labels, images] = await Promise.all([
    about.classes ? findClasses(text, here) : [],
    about.labels ? findLabels(text, here) : [],
    live() && text.length > 1 ? findImages(text, here) : [],
  ]);
  const named = [...findUnits(text, here), ...classes, ...labels];
  return fitRows(isGallery(state) ? [...images, ...named] : [...named, ...images]);
}

/** Whether the place lists the images. @param {State} state */
const isGallery = ({ place, what, query }) => place === 'image' && !what && !query.own;

/** Return a list of options for each use. @param {{ words: string, value: string }[]} rows @param {(Use | false)[]} uses @returns {Option[][]} */
const forEach = (rows, uses) =>
  uses.map((use) =>
    use ? rows.map(({ words, value }) => ({ words, kind: use.kind, act: () => use.act(value) })) : [],
  );

/** @param {string} text @param {Here} here @returns {Option[][]} */
function findUnits(text, { about, layer, state }) {
  const [, name, digits] = /^(?:(.+):)?(\d{1,9})$/.exec(text) ?? [];
  if (!digits) return [];
  const unit = Number(digits);
  const inLayer = (/** @type {LayerFacts} */ facts) => (name ? facts.name.includes(name) : facts.name === layer);
  const found = about.layers.filter((facts) => inLayer(facts) && unit < facts.units);
  const rows = found.map((facts) => ({ words: `${facts.name}:${unit}`, value: `${facts.name}:${unit}` }));
  const open = { kind: 'unit', act: (/** @type {string} */ what) => go({ ...state, place: 'unit', what, query: {} }) };
  const like = { kind: 'unit, and those like it', act: () => setQuery({ sort: `like:${unit}`, class: '', label: '' }) };
  const here = rows.filter(({ value }) => value === `${layer}:${unit}`);
  return [...forEach(rows, [open]), ...forEach(here, [state.place === 'units' && live() && like])];
}

/** @param {string} text @param {Here} here @returns {Promise<Option[][]>} */
async function findClasses(text, { about, layer, state }) {
  const { names } = /** @type {Classes} */ (await ask('classes').catch(() => ({ names: [] })));
  const rows = bestMatches(names, text)
    .slice(0, MOST)
    .map(({ name, i }) => ({ words: name, value: String(i) }));
  const mapped = rows.filter(({ value }) => hasClassMap(Number(value)));
  const image = state.what || state.query.own;
  const inImage = state.place === 'image' && Boolean(image) && live() && about.uploads;
  const among = state.place === 'units' && !about.missing.attribution;
  return [
    ...forEach(rows, [
      inImage && { kind: 'class, in this image', act: (of) => setQuery({ class: of, against: '' }) },
      inImage && { kind: 'class, to compare with', act: (against) => setQuery({ against }) },
    ]),
    ...forEach(mapped, [
      among && { kind: 'class, among units', act: (of) => setQuery({ class: of, label: '', sort: '' }) },
      !about.missing.attribution && onMap('class', state, layer, names),
    ]),
  ];
}

/** Show a class or label on the map, against the one that is shown. @param {Kind} kind @param {State} state @param {string} layer @param {string[]} names of the classes @returns {Use} */
function onMap(kind, state, layer, names) {
  const query = state.place === 'atlas' ? state.query : {};
  const question = questionOf(query);
  const first = question?.kind === kind ? question.values[0] : '';
  const name = kind === 'class' ? short(names[Number(first)] || first) : first;
  return {
    kind: first ? `${kind}, against ${name}` : `${kind}, on the map`,
    act: (value) =>
      go({ ...state, place: 'atlas', what: layer, query: { ...query, ...withName(query, kind, value), cell: '' } }),
  };
}

/** @param {string} text @param {Here} here @returns {Promise<Option[][]>} */
async function findLabels(text, { about, layer, state }) {
  const grid = about.layers.find(({ name }) => name === layer)?.grids[0]?.grid;
  const none = /** @type {any} */ ({ labels: [] });
  const [tally, units] = await Promise.all([
    grid ? /** @type {Promise<Tally>} */ (ask('tally', { layer, grid })).catch(() => none) : none,
    /** @type {Promise<UnitColumns>} */ (ask('units', { layer })).catch(() => none),
  ]);
  const fitting = (/** @type {string[]} */ labels) =>
    labels
      .filter((label) => contains(label, text))
      .slice(0, MOST)
      .map((label) => ({ words: label, value: label }));
  const all = fitting(/** @type {Tally} */ (tally).labels.map(([, label]) => label));
  const among = {
    kind: 'label, among units',
    act: (/** @type {string} */ label) => go({ ...state, place: 'units', what: layer, query: { label } }),
  };
  const options = [forEach(all, [onMap('label', state, layer, [])]), forEach(fitting(units.labels), [among])];
  return (state.place === 'units' ? options.reverse() : options).flat();
}

/** @param {string} text @param {Here} here @returns {Promise<Option[][]>} */
async function findImages(text, { about, layer, state }) {
  const request = ask('images', { start: 0, text }).catch(() => ({ images: 0, found: [] }));
  const { images, found } = /** @type {ImageList} */ (await request);
  const rows = found.slice(0, MOST).map(({ key, image_id: id }) => ({ words: key, value: String(id) }));
  const query = state.place === 'atlas' ? { ...state.query, cell: '' } : {};
  const open = (/** @type {string} */ what) => go({ ...state, place: 'image', what, query: { layer } });
  const locate = (/** @type {string} */ id) =>
    go({ ...state, place: 'atlas', what: layer, query: { ...query, locate: id } });
  const list = () => go({ ...state, place: 'image', what: '', query: { text, layer } });
  const uses = [
    { kind: 'image', act: open },
    state.place === 'atlas' && about.uploads && { kind: 'image, on the map', act: locate },
  ];
  const all = images > 1 ? [{ words: `“${text}” in file or label`, kind: `all ${images} images`, act: list }] : [];
  const options = [...forEach(rows, uses), all];
  return isGallery(state) ? options.reverse() : options;
}
