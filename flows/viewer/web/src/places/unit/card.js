// The sections of a unit's page: its picture, values, labels, classes, similar units and strongest cells.

import { hasClassMap, live, picture } from '../../data/client.js';
import { href } from '../../state/address.js';
import { load } from '../../map/grid.js';
import { icon } from '../../map/sprites.js';
import { histogram, swing } from '../../ui/charts.js';
import { bars, chip, fillAsync, image, lacks, section } from '../../ui/components.js';
import { h } from '../../ui/dom.js';
import { many, number, percent, signed } from '../../ui/format.js';
import { byChance, within } from './chance.js';

/** @typedef {import('../../state/address.js').State} State */

/** Summarise a unit in one line. @param {Unit} unit @param {Card} card */
export function summary(unit, { labels, samples }) {
  const none = labels.counts.length ? 'No label stands out' : 'No labels to go by';
  const parts = [
    firesFor(unit, labels) || none,
    unit.positive.extreme === null ? 'never finite' : `at most ${number(unit.positive.extreme)} at any position`,
    samples && `above zero at ${percent(samples.above_zero)} of the sampled ones`,
  ];
  return `${parts.filter(Boolean).join('\u00a0· ')}.`;
}

/** Name the labels that stand out, with their numbers, and that of the strongest patch where it is another. @param {Unit} unit @param {Card['labels']} labels */
function firesFor({ positive: { patches } }, { stand_out: standing, patches: all }) {
  if (!standing.length) return '';
  const [first, ...others] = standing.slice(0, 3);
  const names = [
    `${first.name} (${first.count} of its ${all} strongest patches)`,
    ...others.map((row) => `${row.name} (${row.count})`),
  ];
  const strongest = patches[0]?.label;
  const other =
    strongest && !standing.some(({ name }) => name === strongest) ? `; the very strongest: ${strongest}` : '';
  return `Fires for ${names.join(', ')}${other}`;
}

/** Show the picture optimised to excite a unit. @param {Unit} unit @param {About} about */
export function synthetic({ layer, unit, gallery }, about) {
  if (!gallery) return lacks(about, 'gallery', 'This run has no pictures of its units yet.');
  const { best, patch, dead } = gallery;
  const ratio = patch && patch > 0 ? `, ${number((best ?? 0) / patch)} × its strongest patch` : '';
  const caption = dead ? 'Nothing excites this unit.' : `Synthetic: reaches ${number(best)}${ratio}.`;
  const words = `a picture optimised to excite unit ${unit} of ${layer}`;
  const shot = image(picture('synthetic', { layer, unit }), words, 224);
  return h('figure', {}, shot, h('figcaption', { class: 'quiet small' }, caption));
}

/** @param {State} state @param {Unit} unit @param {Card} answer @param {About} about */
export const card = (state, unit, answer, about) => [
  answer.samples && values(unit, answer.samples),
  answer.labels.counts.length > 0 && labels(state, answer),
  classes(state, answer, about),
  answer.alike.activation.length > 0 && similar(state, answer),
];

/** @param {Unit} unit @param {NonNullable<Card['samples']>} samples */
function values(unit, samples) {
  const moments = `Mean ${number(samples.mean)}, deviation ${number(samples.deviation)}`;
  const words = `${moments}, ${percent(samples.zeros)} exactly zero, of ${many(samples.count, 'sample')}.`;
  return section('Values', histogram(samples), h('p', { class: 'quiet small' }, words), ranges(unit, samples));
}

/** Tell the three ranges of a unit apart. @param {Unit} unit @param {NonNullable<Card['samples']>} samples */
function ranges({ positive, negative }, samples) {
  const shown = positive.patches.slice(0, Math.max(positive.pictures, 0)).map(({ value }) => value);
  const row = (
    /** @type {string} */ name,
    /** @type {string} */ what,
    /** @type {Maybe} */ low,
    /** @type {Maybe} */ high,
  ) => [
    h('dt', {}, name),
    h('dd', {}, h('span', { class: 'num' }, `${number(low)} to ${number(high)}`), h('span', { class: 'quiet' }, what)),
  ];
  return h(
    'dl',
    { class: 'facts ranges' },
    row('samples', 'positions drawn at random: the histogram', samples.least, samples.largest),
    row('all positions', 'every position of every image', negative.extreme, positive.extreme),
    shown.length > 0 && row('strongest patches', 'those shown above', shown.at(-1) ?? null, shown[0]),
  );
}

/** @param {State} state @param {Card} card */
function labels(state, { layer, labels: { counts, patches, stand_out: standing } }) {
  const most = Math.max(1, ...counts.map((row) => row.patches));
  const place = new Map(standing.map(({ name }, i) => [name, i]));
  const order = (/** @type {{ label: string }} */ { label }) => place.get(label) ?? standing.length;
  const ordered = [...counts].sort((a, b) => order(a) - order(b)).slice(0, 6);
  const rows = ordered.map(({ label, patches: n }) => ({
    name: label,
    share: n / most,
    value: String(n),
    quiet: !place.has(label),
    href: place.has(label) ? href({ ...state, place: 'units', what: layer, query: { label } }) : '',
  }));
  const rule = standing.length
    ? 'The labels that stand out come first; those in grey are no more frequent here than chance explains.'
    : 'No label stands out: none is more frequent here than chance explains.';
  return section(
    `Labels of its ${patches} strongest patches`,
    bars(rows, { kind: 'plain' }),
    h('p', { class: 'quiet small' }, rule),
  );
}

/** @param {State} state @param {Card} card @param {About} about */
function classes(state, card, about) {
  if (!card.classes) {
    if (!about.classes) return null;
    return section('Classes it speaks for', lacks(about, 'attribution', 'This run has no class attribution.'));
  }
  const { bound } = card.classes;
  const rows = [...card.classes.for.slice(0, 4), ...card.classes.against.slice(0, 2)];
  const items = rows.map((row) => {
    const value = h('span', { class: 'num' }, signed(row.correlation));
    const attributes = { class: within(row.correlation, bound) ? 'quiet within' : '' };
    return h('li', attributes, classLink(state, card.layer, row), swing(row.correlation), value);
  });
  return section(
    'Classes it speaks for, and against',
    h('ul', { class: 'bars signed' }, ...items),
    h('p', { class: 'quiet small' }, byChance(card.classes)),
  );
}

/** Link a class to its map, if there is one. @param {State} state @param {string} layer @param {{ class: number, name: string }} row */
function classLink(state, layer, row) {
  const name = row.name.split(',')[0];
  const attributes = { class: 'bars-name' };
  if (!hasClassMap(row.class)) {
    return h('span', { ...attributes, title: 'These files hold no map of this class' }, name);
  }
  const address = href({ ...state, place: 'atlas', what: layer, query: { class: String(row.class) } });
  return h('a', { ...attributes, href: address }, name);
}

/** @param {State} state @param {Card} card */
function similar(state, { layer, unit, alike }) {
  const chips = alike.activation
    .slice(0, 6)
    .map((row) => chip(state, layer, row.unit, h('span', { class: 'num quiet' }, number(row.cosine))));
  const all = href({ ...state, place: 'units', what: layer, query: { sort: `like:${unit}` } });
  return h(
    'section',
    { class: 'section alike' },
    h('h2', {}, 'Similar units'),
    h('div', { class: 'chips' }, ...chips),
    live() && h('p', { class: 'small' }, h('a', { href: all }, 'All units by similarity')),
  );
}

/** Show the cells where a unit is strongest. @param {State} state @param {LayerFacts} facts @param {Unit} unit */
export function strongestCells(state, facts, unit) {
  if (!unit.cells) return null;
  const box = h('div', { class: 'near' });
  fillAsync(
    box,
    () => cellLinks(state, facts, unit),
    (links) => links,
    [0, 72],
  );
  const shade = href({ ...state, place: 'atlas', what: unit.layer, query: { shade: `unit:${unit.unit}` } });
  const link = h('a', { href: shade }, 'Colour the atlas by this unit');
  return section('Where on the atlas it is strong', box, h('p', { class: 'small' }, link));
}

/** @param {State} state @param {LayerFacts} facts @param {Unit} unit */
async function cellLinks(state, facts, { layer, unit, cells }) {
  const gridFacts = facts.grids.find((one) => one.grid === cells?.grid);
  const grid = await load(facts, /** @type {GridFacts} */ (gridFacts));
  return (cells?.strongest ?? []).map(({ row, col, mean }) => {
    const i = grid.at(row, col);
    const query = { grid: String(grid.size), cell: `${row},${col}`, shade: `unit:${unit}` };
    const address = href({ ...state, place: 'atlas', what: layer, query });
    const words = `cell ${row},${col}: mean ${number(mean)}`;
    const content = i >= 0 && grid.facts.icon > 0 ? icon(grid, i, 72, '') : `${row},${col}`;
    return h('a', { href: address, title: words, 'aria-label': words }, content);
  });
}
