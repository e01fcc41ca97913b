// A comparison in words and numbers: the sentence over the maps, and the units, labels and cells below them.

import { href } from '../../state/address.js';
import { ask, picture } from '../../data/client.js';
import { h } from '../../ui/dom.js';
import { count, many, number, percent, signed } from '../../ui/format.js';
import { explained } from '../../ui/term.js';
import { bar, bars, face, image, section } from '../../ui/components.js';
import { arrowKeys } from '../../map/arrows.js';
import { icon } from '../../map/sprites.js';

const MOST = 12;
const LABELS = 8;

/** @typedef {import('../../map/grid.js').Grid} Grid */
/** @typedef {{ a: About, b: About, state: import('../../state/address.js').State }} Both */

/** @param {Moved} moved */
export function lead(moved) {
  if (moved.same_layout) {
    return `Nothing moved: both versions share the layout of ${moved.layer}, and its ${count(moved.samples)} samples.`;
  }
  const { median, noise_median: noise, beyond_noise: beyond } = moved.displacement;
  const against =
    noise === null || noise === undefined
      ? ''
      : `, where another seed alone moves them by ${far(noise)}; ${percent(beyond ?? 0)} moved beyond that noise`;
  return (
    `Of ${count(moved.samples)} shared samples, half moved by more than ${far(median)} of the map${against}. ` +
    `Half of the units changed by more than ${number(moved.drift.median)} (0 = not at all, 1 = unrelated).`
  );
}

/** @param {number | null | undefined} share */
const far = (share) =>
  share === null || share === undefined ? '–' : share < 0.1 ? `${(share * 100).toFixed(1)} %` : percent(share);

/** Whether it is known how much another seed alone would move. @param {Moved} moved */
export const measured = (moved) => moved.same_layout || (moved.displacement.noise_median ?? null) !== null;

/** Count the cells of a grid by their change. @param {Moved} moved @param {number} grid */
export function key(moved, grid) {
  const cells = moved.cells.find((one) => one.grid === grid);
  if (!cells) return [];
  const maybe = measured(moved) ? '' : 'maybe ';
  return [
    swatch('changed', `${count(cells.changed)} ${maybe}changed`, 'the mean activation has changed, or the labels have'),
    swatch('emptied', `${count(cells.emptied)} ${maybe}emptied`, 'filled before, empty now'),
    swatch('appeared', `${count(cells.appeared)} ${maybe}appeared`, 'filled now, empty before'),
    h('span', { class: 'quiet' }, `${count(cells.kept)} kept`),
    ...(moved.same_layout ? [] : arrowKeys(moved.displacement.noise_median !== null)),
  ];
}

/** @param {Mark} mark @param {string} words @param {string} title */
const swatch = (mark, words, title) =>
  h(
    'span',
    { class: 'key', title },
    h(
      'span',
      { class: `key-mark ${mark}`, 'aria-hidden': 'true' },
      { changed: '≠', emptied: '−', appeared: '+' }[mark],
    ),
    words,
  );

/** @param {Moved} moved @param {Both} both */
export function below(moved, both) {
  return h('div', { class: 'two' }, units(moved, both), labels(moved));
}

/** @param {Moved} moved @param {Both} both */
function units(moved, { a, b, state }) {
  const { drift, overlap, old_label: before, new_label: now } = moved.units;
  const order = drift
    .map((_, unit) => unit)
    .filter((unit) => drift[unit] !== null)
    .sort((x, y) => /** @type {number} */ (drift[y]) - /** @type {number} */ (drift[x]) || x - y);
  const most = Math.max(1e-9, drift[order[0]] ?? 0);
  const show = shower(moved.layer, a, b);
  const rows = order.slice(0, MOST).map((unit) =>
    h(
      'li',
      {},
      h(
        'a',
        {
          href: href({
            ...state,
            place: 'unit',
            name: b.name,
            version: b.version,
            what: `${moved.layer}:${unit}`,
            query: {},
          }),
        },
        show(unit, a),
        h('span', { class: 'quiet', 'aria-hidden': 'true' }, '→'),
        show(unit, b),
        h('span', { class: 'chip-name' }, String(unit)),
        h(
          'span',
          { class: 'drift-words small' },
          before[unit] === now[unit] ? (now[unit] ?? '') : `${before[unit] ?? 'no label'} → ${now[unit] ?? 'no label'}`,
          overlap[unit] === null
            ? null
            : h('span', { class: 'quiet' }, `${percent(overlap[unit] ?? 0)} of its strongest images stayed`),
        ),
        bar(/** @type {number} */ (drift[unit]) / most),
        h('span', { class: 'num' }, number(drift[unit])),
      ),
    ),
  );
  const dead = drift.filter((value) => value === null).length;
  const all = href({
    ...state,
    place: 'units',
    name: b.name,
    version: b.version,
    what: moved.layer,
    query: { sort: `drift:${a.name}@${a.version}` },
  });
  return section(
    'Units that drifted most',
    h('ol', { class: 'drifted' }, ...rows),
    h(
      'p',
      { class: 'small quiet' },
      '0: the same order of images, 1: none, 2: reversed. ',
      dead > 0 && `${many(dead, 'unit')} never fired in one of the two. `,
      h('a', { href: all }, 'All units by drift'),
    ),
  );
}

/** Return what draws a unit then and now in the same way: by its pictures where both have them, else by its strongest patch. @param {string} layer @param {About} a @param {About} b */
function shower(layer, a, b) {
  const drawn = [a, b].every((about) => about.layers.find(({ name }) => name === layer)?.has.includes('gallery'));
  return (/** @type {number} */ unit, /** @type {About} */ of) => {
    if (drawn) return face(layer, unit, 40, of);
    const patch = image(picture('patch', { layer, unit, sign: 'positive', rank: 0 }, of), '', 40);
    patch.classList.add('face');
    return patch;
  };
}

/** @param {Moved} moved */
function labels(moved) {
  const rows = moved.labels.filter((row) => row.shift).slice(0, LABELS);
  if (!rows.length) return null;
  const most = Math.max(...rows.map((row) => row.shift ?? 0), 1e-9);
  return section(
    'Labels whose samples moved together',
    bars(
      rows.map((row) => ({
        name: row.label,
        share: (row.shift ?? 0) / most,
        value: `${arrow(row)} ${far(row.shift)}`,
      })),
    ),
    h('p', { class: 'small quiet' }, 'The mean motion of a label’s samples, as a share of the map’s side.'),
  );
}

/** Return the direction of a motion as an arrow. @param {Moved['labels'][number]} row */
function arrow({ dx, dy }) {
  return '→↘↓↙←↖↑↗'[(Math.round(Math.atan2(dy ?? 0, dx ?? 0) / (Math.PI / 4)) + 8) % 8];
}

/** Describe a cell before and after. @param {Moved} moved @param {[Grid, Grid]} grids @param {number} row @param {number} col @param {Both} both */
export async function cellPanel(moved, grids, row, col, { a, b, state }) {
  const size = grids[0].size;
  const cells = moved.cells.find((one) => one.grid === size);
  const k = cells ? cells.row.findIndex((at, i) => at === row && cells.col[i] === col) : -1;
  const parts = await Promise.all(grids.map((grid, which) => half(grid, row, col, which ? b : a, state)));
  return [
    h('div', { class: 'halves' }, ...parts),
    cells && k >= 0
      ? h(
          'dl',
          { class: 'facts' },
          h('dt', {}, 'state'),
          h('dd', {}, ['kept', 'changed', 'appeared', 'emptied'][cells.state[k]]),
          h('dt', {}, 'shared samples'),
          h('dd', { class: 'num' }, `${count(cells.old_samples[k])} → ${count(cells.new_samples[k])}`),
          h('dt', {}, explained('stayed', 'the share of the samples in both, of those in either')),
          h('dd', { class: 'num' }, cells.stayed[k] === null ? '–' : percent(cells.stayed[k])),
          h('dt', {}, explained('cosine', 'of the old and the new mean vector of the cell; 1 = the same')),
          h('dd', { class: 'num' }, number(cells.cosine[k])),
          h(
            'dt',
            {},
            explained(
              'label change',
              'the total variation between the label mixes: 0 = the same, 1 = no label in common',
            ),
          ),
          h('dd', { class: 'num' }, number(cells.label_change[k])),
        )
      : null,
  ];
}

/** @param {Grid} grid @param {number} row @param {number} col @param {About} of @param {import('../../state/address.js').State} state */
async function half(grid, row, col, of, state) {
  const i = grid.at(row, col);
  const name = `${of.name}@${of.version}`;
  if (i < 0) return h('div', {}, h('h3', {}, name), h('p', { class: 'quiet small' }, 'No cell here.'));
  const place = { layer: grid.layer.name, grid: grid.size, row, col };
  const answer = /** @type {Cell} */ (await ask('cell', place, of));
  const to = href({
    ...state,
    place: 'atlas',
    name: of.name,
    version: of.version,
    what: place.layer,
    query: { grid: String(grid.size), cell: `${row},${col}` },
  });
  return h(
    'div',
    {},
    h('h3', {}, h('a', { href: to }, name)),
    grid.facts.icon > 0 && icon(grid, i, 148, `icon of cell ${row},${col} in ${name}`),
    h('p', { class: 'small' }, many(answer.count, 'sample')),
    h(
      'div',
      { class: 'patches small-patches' },
      ...answer.members.slice(0, 4).map((member, index) =>
        h('img', {
          src: picture('member', { ...place, index }, of),
          alt: member.label || 'no label',
          loading: 'lazy',
        }),
      ),
    ),
    h(
      'p',
      { class: 'quiet small' },
      answer.labels
        .slice(0, 3)
        .map((row) => `${row.label} ${percent(row.share)}`)
        .join(', '),
    ),
    h(
      'p',
      { class: 'quiet small' },
      answer.units
        .slice(0, 4)
        .map((row) => `${row.unit} ${signed(row.mean)}`)
        .join(' · '),
    ),
  );
}
