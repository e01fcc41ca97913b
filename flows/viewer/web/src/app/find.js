// What the search finds, and what each match does at the place on show: the first does what the place is about.

import { ask, hasClassMap, live } from '../data/client.js';
import { entryOf, wordsLike } from '../data/glossary.js';
import { bestMatches, fitRows, matches as contains, MOST, unitIn } from '../data/match.js';
import { questionOf, withName } from '../state/question.js';
import { layerOf } from '../state/layer.js';
import { go, setQuery } from '../state/navigate.js';

/** @typedef {import('../ui/combobox.js').Option} Option */
/** @typedef {import('../state/address.js').State} State */
/** @typedef {import('../state/question.js').Kind} Kind */
/** The kind of names to find, '' for all. @typedef {'' | 'images'} Only */
/** Where a search starts. @typedef {{ about: About, layer: string, state: State }} Here */
/** One use of a match. @typedef {{ kind: string, act: (value: string) => void }} Use */

const short = (/** @type {string} */ name) => name.split(',')[0];

/** Find what has a name; for an empty text the most frequent classes and labels. @param {string} text @param {About} about @param {State} state @param {Only} [only] @returns {Promise<Option[]>} */
export async function matches(text, about, state, only = '') {
  const here = { about, layer: layerOf(state, about), state };
  if (only === 'images') return fitRows(await findImages(text, here, only));
  const [classes, labels, images] = await Promise.all([
    about.classes ? findClasses(text, here) : [],
    about.labels ? findLabels(text, here) : [],
    live() && text.length > 1 ? findImages(text, here, only) : [],
  ]);
  const named = [...findUnits(text, here), ...classes, ...labels];
  const words = findWords(text);
  const others = entryOf(text) ? [words, ...named] : [...named, words];
  return fitRows(isGallery(state) ? [...images, ...others] : [...others, ...images]);
}

/** Whether the place lists the images. @param {State} state */
const isGallery = ({ place, what, query }) => place === 'image' && !what && !query.own;

/** Return a list of options for each use. @param {{ words: string, value: string }[]} rows @param {(Use | false)[]} uses @returns {Option[][]} */
const forEach = (rows, uses) =>
  uses.map((use) =>
    use ? rows.map(({ words, value }) => ({ words, kind: use.kind, act: () => use.act(value) })) : [],
  );

/** Find words of the glossary, which open the help. @param {string} text @returns {Option[]} */
function findWords(text) {
  if (text.length < 2) return [];
  const explain = (/** @type {string} */ detail) => dispatchEvent(new CustomEvent('explainword', { detail }));
  return wordsLike(text).map((words) => ({ words, kind: 'word, explained', act: () => explain(words) }));
}

/** Find the unit of a number, that of the layer on show first. @param {string} text @param {Here} here @returns {Option[][]} */
function findUnits(text, { about, layer, state }) {
  const sought = unitIn(text);
  if (!sought) return [];
  const { unit, layer: words } = sought;
  const found = about.layers.filter((facts) => unit < facts.units && contains(facts.name, words));
  const rows = found
    .sort((a, b) => Number(b.name === layer) - Number(a.name === layer))
    .map((facts) => ({ words: `${facts.name}:${unit}`, value: `${facts.name}:${unit}` }));
  const open = { kind: 'unit', act: (/** @type {string} */ what) => go({ ...state, place: 'unit', what, query: {} }) };
  const like = { kind: 'unit, and those like it', act: () => setQuery({ sort: `like:${unit}`, class: '', label: '' }) };
  const here = rows.filter(({ value }) => value === `${layer}:${unit}`);
  return [...forEach(rows, [open]), ...forEach(here, [state.place === 'units' && live() && like])];
}

/** @param {string} text @param {Here} here @returns {Promise<Option[][]>} */
async function findClasses(text, { about, layer, state }) {
  const { names } = /** @type {Classes} */ (await ask('classes', {}, about).catch(() => ({ names: [] })));
  const best = text ? bestMatches(names, text) : await frequentClasses(about, layer);
  const rows = best.slice(0, MOST).map(({ name, i }) => ({ words: name, value: String(i) }));
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

/** Return the classes that are the strongest of most samples. @param {About} about @param {string} layer */
async function frequentClasses(about, layer) {
  const { classes } = await tallyOf(about, layer);
  return classes.map(([i, name]) => ({ i, name }));
}

/** @param {About} about @param {string} layer @returns {Promise<Pick<Tally, 'classes' | 'labels'>>} */
async function tallyOf(about, layer) {
  const grid = about.layers.find(({ name }) => name === layer)?.grids[0]?.grid;
  const none = { classes: [], labels: [] };
  return grid ? ask('tally', { layer, grid }, about).catch(() => none) : none;
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
  const [tally, units] = await Promise.all([
    tallyOf(about, layer),
    /** @type {Promise<UnitColumns>} */ (ask('units', { layer }, about)).catch(
      () => /** @type {any} */ ({ labels: [] }),
    ),
  ]);
  const fitting = (/** @type {string[]} */ labels) =>
    labels
      .filter((label) => contains(label, text))
      .slice(0, MOST)
      .map((label) => ({ words: label, value: label }));
  const all = fitting(tally.labels.map(([, label]) => label));
  const among = {
    kind: 'label, among units',
    act: (/** @type {string} */ label) => go({ ...state, place: 'units', what: layer, query: { label } }),
  };
  const elsewhere = text || state.place === 'units' ? fitting(units.labels) : [];
  const options = [forEach(all, [onMap('label', state, layer, [])]), forEach(elsewhere, [among])];
  return (state.place === 'units' ? options.reverse() : options).flat();
}

/** Find images. Where only images are sought on the map, they are located there. @param {string} text @param {Here} here @param {Only} only @returns {Promise<Option[][]>} */
async function findImages(text, { about, layer, state }, only) {
  if (!text) return [];
  const request = ask('images', { start: 0, text }, about).catch(() => ({ images: 0, found: [] }));
  const { images, found } = /** @type {ImageList} */ (await request);
  const rows = found.slice(0, MOST).map(({ key, image_id: id }) => ({ words: key, value: String(id) }));
  const open = (/** @type {string} */ what) => go({ ...state, place: 'image', what, query: { layer } });
  const locate = (/** @type {string} */ id) =>
    go({ ...state, place: 'atlas', what: layer, query: { ...state.query, cell: '', locate: id } });
  const list = () => go({ ...state, place: 'image', what: '', query: { text, layer } });
  const onMap = only === 'images' && state.place === 'atlas';
  const use = onMap ? { kind: 'image, on the map', act: locate } : { kind: 'image', act: open };
  const all = images > 1 ? [{ words: `“${text}” in file or label`, kind: `all ${images} images`, act: list }] : [];
  const options = [...forEach(rows, [use]), all];
  return isGallery(state) ? options.reverse() : options;
}
