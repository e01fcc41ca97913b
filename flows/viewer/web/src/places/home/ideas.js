// Six things to try on a run, each a link with a sentence: chosen by what the run has, and on what stands out in it.

import { ask } from '../../data/client.js';
import { drawnGrid } from '../../map/thumbnail.js';
import { href } from '../../state/address.js';
import { fillAsync, section } from '../../ui/components.js';
import { h } from '../../ui/dom.js';
import { count } from '../../ui/format.js';
import { withTerms } from '../../ui/term.js';

const MOST = 6;

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {{ name: string, sentence: string, state: Partial<State> }} Idea */
/** @typedef {{ about: About, layer: LayerFacts, grid: number }} Subject */

/** List what to try on a run that has an atlas. @param {About} about */
export function ideas(about) {
  const drawn = about.layers.filter(drawnGrid);
  const layer = drawn[Math.floor(drawn.length / 2)];
  if (!layer) return null;
  const subject = { about, layer, grid: /** @type {GridFacts} */ (drawnGrid(layer)).grid };
  const list = h('div');
  fillAsync(
    list,
    () => chosen(subject),
    (found) => h('ol', { class: 'ideas' }, ...found.map((idea) => row(about, idea))),
    [0, 160],
  );
  return section('Six things to try', list);
}

/** @param {About} about @param {Idea} idea */
function row({ name }, { name: words, sentence, state }) {
  const address = href({ place: 'run', version: null, what: '', query: {}, ...state, name: state.name ?? name });
  return h('li', {}, h('a', { href: address }, words), h('p', { class: 'quiet small' }, ...withTerms(sentence)));
}

/** @param {Subject} subject @returns {Promise<Idea[]>} */
async function chosen(subject) {
  const makers = [cell, speaks, against, unit, image, compare, shade, gallery, trust];
  const made = await Promise.all(makers.map((make) => make(subject)));
  return made.filter((idea) => idea !== null).slice(0, MOST);
}

/** The cell with most samples of a label that stands out there, or the fullest. @param {Subject} subject @returns {Promise<Idea>} */
async function cell({ about, layer, grid }) {
  const place = { layer: layer.name, grid };
  const [cells, names] = await Promise.all([ask('cells', place, about), ask('names', place, about)]);
  const marks = /** @type {CellNames} */ (names).labels?.cells.map(([first]) => first ?? null) ?? [];
  const i = largest(marks.map((mark) => mark?.[1] ?? 0)) ?? largest(/** @type {CellColumns} */ (cells).count) ?? 0;
  const label = marks[i] ? `, and where the photos of “${names.labels.names[marks[i][0]]}” gather` : '';
  return {
    name: 'Open a cell',
    sentence: `A picture of what the layer sees in one region of the map${label}; beside it, the real patches it was made from.`,
    state: { place: 'atlas', what: layer.name, query: { grid: String(grid), cell: `${cells.row[i]},${cells.col[i]}` } },
  };
}

/** The classes that are the first of most samples, with their names. @param {Subject} subject @returns {Promise<{ of: number, name: string }[]>} */
async function leading({ about, layer, grid }) {
  if (about.missing.attribution) return [];
  const place = { layer: layer.name, grid };
  const [cells, details] = await Promise.all([ask('cells', place, about), ask('details', place, about)]);
  /** @type {Map<number, number>} */
  const led = new Map();
  /** @type {CellDetails['classes']} */ (details.classes)?.forEach((rows, i) => {
    for (const [of, , share] of rows) led.set(of, (led.get(of) ?? 0) + share * cells.count[i]);
  });
  const sorted = [...led].filter(([, samples]) => samples > 0).sort((a, b) => b[1] - a[1]);
  return sorted.map(([of]) => ({ of, name: String(details.names?.[of] ?? of).split(',')[0] }));
}

/** @param {Subject} subject @returns {Promise<Idea | null>} */
async function against(subject) {
  const [first, second] = await leading(subject);
  if (!second) return null;
  const query = { class: String(first.of), against: String(second.of) };
  return {
    name: `Two classes on one map: ${first.name} against ${second.name}`,
    sentence: 'A solid frame is more for the first, a dashed one more for the second.',
    state: { place: 'atlas', what: subject.layer.name, query },
  };
}

/** @param {Subject} subject @returns {Promise<Idea | null>} */
async function speaks(subject) {
  const [first] = await leading(subject);
  if (!first) return null;
  const { of, name } = first;
  return {
    name: `Find “${name}” on the map`,
    sentence:
      'What speaks for a class keeps its colour, all else fades. Any of the model’s classes can be named in the search.',
    state: { place: 'atlas', what: subject.layer.name, query: { class: String(of) } },
  };
}

/** The unit with most patches of a label that stands out in it. @param {Subject} subject */
async function unitOf({ about, layer }) {
  const { top, labels } = /** @type {UnitColumns} */ (await ask('units', { layer: layer.name }, about));
  const unit = largest(top.map(([first]) => first?.[1] ?? 0)) ?? 0;
  const [label, patches] = top[unit]?.[0] ?? [-1, 0];
  return { unit, label: labels[label] ?? '', patches };
}

/** @param {Subject} subject @returns {Promise<Idea | null>} */
async function unit(subject) {
  const { unit: number, label, patches } = await unitOf(subject);
  const often = label ? `Of its strongest patches, ${count(patches)} show “${label}”: ` : '';
  return {
    name: `Meet unit ${number} of ${subject.layer.name}`,
    sentence: `${often}the picture that excites it most, its strongest patches, and the units that drive it.`,
    state: { place: 'unit', what: `${subject.layer.name}:${number}` },
  };
}

/** The image of that unit's strongest patch. @param {Subject} subject @returns {Promise<Idea | null>} */
async function image(subject) {
  const { about, layer } = subject;
  if (!about.uploads) return null;
  const { unit: number } = await unitOf(subject);
  const { positive } = /** @type {Unit} */ (await ask('unit', { layer: layer.name, unit: number }, about));
  const id = positive.patches[0]?.image_id;
  if (id === undefined) return null;
  return {
    name: 'Take a photo apart',
    sentence:
      'What the layer sees at each place of a photo, and which of it speaks for the model’s answer. Drop a photo of your own there, too.',
    state: { place: 'image', what: String(id), query: { layer: layer.name } },
  };
}

/** @param {Subject} subject @returns {Promise<Idea | null>} */
async function compare({ about, layer }) {
  const before = about.versions.filter((version) => version < about.version).at(-1);
  if (!before) return null;
  return {
    name: `Compare version ${before} with ${about.version}`,
    sentence: 'Both maps side by side: what moved, which cells changed, and which units drifted.',
    state: { place: 'compare', version: before, other: `${about.name}@${about.version}`, what: layer.name },
  };
}

/** @param {Subject} subject @returns {Promise<Idea | null>} */
async function shade({ layer }) {
  return {
    name: 'See how well the pictures fit',
    sentence:
      'Each picture is framed by its fidelity: how much the layer’s response to it is like the mean of its cell.',
    state: { place: 'atlas', what: layer.name, query: { shade: 'fidelity' } },
  };
}

/** @param {Subject} subject @returns {Promise<Idea | null>} */
async function gallery({ layer }) {
  return {
    name: `Look through the units of ${layer.name}`,
    sentence: 'All of them on one page, to sort and to filter by label.',
    state: { place: 'units', what: layer.name },
  };
}

/** @returns {Promise<Idea | null>} */
async function trust() {
  return {
    name: 'Read what the run was made of',
    sentence: 'Its images, its model and settings, and how far to trust its pictures.',
    state: { place: 'run' },
  };
}

/** Return the index of the largest number above zero, null if there is none. @param {number[]} numbers */
function largest(numbers) {
  const most = numbers.reduce((high, value) => Math.max(high, value), 0);
  return most > 0 ? numbers.indexOf(most) : null;
}
