// Links from one layer to a later one: arrows between two mosaics, and the units that drive the later ones.

import { h, s } from '../../ui/dom.js';
import { number, signed } from '../../ui/format.js';
import { chip, face, missing } from '../../ui/components.js';
import { swing } from '../../ui/charts.js';
import { Mosaic } from './mosaic.js';
import { parsePosition } from '../../data/positions.js';

const SIDE = 320;
const BETWEEN = 140;
const MOST = 4;

/** The share of the strongest effect below which no arrow is drawn. */
const LEAST = 0.01;

/** @typedef {import('../../map/grid.js').Grid} Grid */

/**
 * @param {import('../../state/address.js').State} state its `from` is the first position
 * @param {[Explained, Grid | null]} from
 * @param {[Explained, Grid | null]} to
 * @param {Linked} links
 * @param {(y: number, x: number) => void} moved
 */
export function layerLinks(state, [explained, grid], [later, above], links, moved) {
  const lines = s('svg', { class: 'links-lines', viewBox: `0 0 ${2 * SIDE + BETWEEN} ${SIDE}`, 'aria-hidden': 'true' });
  const words = h('p', { class: 'quiet small', role: 'status' });
  const parts = [links.positions.length, links.positions[0].length];
  const sizes = [sizeOf(explained), sizeOf(later)];
  const show = (/** @type {number} */ y, /** @type {number} */ x) => {
    const [py, px] = [
      Math.floor((y / explained.grid.rows) * parts[0]),
      Math.floor((x / explained.grid.cols) * parts[1]),
    ];
    const strongest = ends(links.positions[py][px]);
    lines.replaceChildren(
      ...strongest.flatMap((end) => line(sizes, [(py + 0.5) / parts[0], (px + 0.5) / parts[1]], end)),
    );
    const effects = strongest.map(({ effect, y: row, x: col }) => {
      const verb = effect < 0 ? 'inhibits' : 'drives';
      return `${verb} ${row},${col} of ${links.to} by ${number(Math.abs(effect))}`;
    });
    words.textContent = `Position ${y},${x} of ${links.layer} ${effects.join(', ')}.`;
  };
  if (!grid || !above) return [missing('One of the two layers has no icons.', undefined)];
  const left = new Mosaic(
    explained,
    grid,
    (y, x) => {
      show(y, x);
      moved(y, x);
    },
    { side: SIDE, words: `What ${links.layer} sees, and what it moves in ${links.to}` },
  );
  const [y, x] = strongestPart(links.positions);
  const first = parsePosition(state.query.from, explained.grid.rows, explained.grid.cols) ?? [
    Math.floor((y / parts[0]) * explained.grid.rows),
    Math.floor((x / parts[1]) * explained.grid.cols),
  ];
  left.mark(first[0], first[1]);
  show(first[0], first[1]);
  return [
    h('p', { class: 'quiet small' }, lineKey('for'), 'drives', lineKey('against'), 'inhibits, dashed'),
    h('div', { class: 'two-mosaics' }, left.element, new Mosaic(later, above, () => {}, { side: SIDE }).element, lines),
    words,
    h(
      'p',
      { class: 'quiet small wide-only' },
      'Hover a position on the left, or walk there with the arrow keys: arrows lead to those on the right that it moves most.',
    ),
    h('h3', { class: 'quiet small' }, `Units of ${links.to} that speak most for the class, and what drives them here`),
    drivers(state, links),
  ];
}

/** @param {import('../../state/address.js').State} state @param {Linked} links */
function drivers(state, links) {
  const most = Math.max(...links.drivers.flatMap((row) => row.drivers.map((driver) => Math.abs(driver.effect))), 1e-9);
  return h(
    'ul',
    { class: 'drivers' },
    ...links.drivers.map((row) =>
      h(
        'li',
        {},
        h(
          'a',
          { class: 'driven', href: hrefOf(state, links.to, row.unit) },
          face(links.to, row.unit, 64),
          h('span', { class: 'chip-name' }, String(row.unit)),
        ),
        h(
          'ul',
          { class: 'links narrow' },
          ...row.drivers.map((driver) =>
            h(
              'li',
              { class: 'speaker' },
              chip(state, links.layer, driver.unit),
              swing(driver.effect / most),
              h('span', { class: 'num' }, signed(driver.effect)),
            ),
          ),
        ),
      ),
    ),
  );
}

/** @param {import('../../state/address.js').State} state @param {string} layer @param {number} unit */
const hrefOf = (state, layer, unit) => chip(state, layer, unit).href;

/** Return the positions that are moved most, up or down. @param {number[][]} effects */
function ends(effects) {
  return effects
    .flatMap((row, y) => row.map((effect, x) => ({ y, x, effect, rows: effects.length, cols: row.length })))
    .sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect))
    .slice(0, MOST)
    .filter((end, _, all) => Math.abs(end.effect) >= LEAST * Math.abs(all[0].effect));
}

/** @param {number[][][][]} positions */
function strongestPart(positions) {
  let best = [0, 0];
  let most = -1;
  positions.forEach((line, y) =>
    line.forEach((effects, x) => {
      const largest = Math.max(...effects.flat().map(Math.abs));
      if (largest > most) [best, most] = [[y, x], largest];
    }),
  );
  return best;
}

/** @param {'for' | 'against'} kind */
const lineKey = (kind) =>
  s(
    'svg',
    { class: 'line-key', viewBox: '0 0 30 12', width: 30, height: 12, 'aria-hidden': 'true' },
    s('path', { class: `link-line ${kind}`, d: 'M0 6H22' }),
    s('circle', { class: `link-end ${kind}`, cx: 25, cy: 6, r: 3.5 }),
  );

/** Return width and height of a mosaic, whose places are whole pixels. @param {Explained} explained */
function sizeOf({ grid: { rows, cols } }) {
  const wide = Math.floor(SIDE / cols);
  return { width: cols * wide, height: rows * wide };
}

/** @param {{ width: number, height: number }[]} sizes of both mosaics, left and right @param {[number, number]} from as parts of the left one @param {ReturnType<typeof ends>[number]} end */
function line([left, right], [y, x], end) {
  const start = [x * left.width, y * left.height];
  const stop = [
    2 * SIDE + BETWEEN - right.width + ((end.x + 0.5) / end.cols) * right.width,
    ((end.y + 0.5) / end.rows) * right.height,
  ];
  const middle = SIDE + BETWEEN / 2;
  const kind = end.effect < 0 ? 'against' : 'for';
  return [
    s('path', {
      class: `link-line ${kind}`,
      d: `M${start[0]} ${start[1]}C${middle} ${start[1]} ${middle} ${stop[1]} ${stop[0]} ${stop[1]}`,
    }),
    s('circle', { class: `link-end ${kind}`, cx: stop[0], cy: stop[1], r: 5 }),
  ];
}
