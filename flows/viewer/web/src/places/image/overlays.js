// The overlays of the photo: attribution, groups, icons, or the saliency of its pixels.

import { h } from '../../ui/dom.js';
import { setQuery } from '../../state/navigate.js';
import { colour } from '../../ui/theme.js';
import { drawIcon } from '../../map/sprites.js';

/** @typedef {import('../../ui/positions.js').Positions} Positions */

/** Return the names of the overlays in addresses, and their titles. @param {SaliencyMethod[]} methods @returns {[string, string][]} */
export const overlays = (methods) => [
  ['speaks', 'what speaks for it'],
  ['groups', 'groups of positions'],
  ['icons', 'icons'],
  ...methods.map(({ name, title }) => /** @type {[string, string]} */ ([name, `saliency: ${title}`])),
];

/** How many blocks a side of a saliency map is divided into for hatching: single pixels are too small. */
const BLOCKS = 28;
const FAINT = 0.08;
export const HUES = [250, 50, 150, 330, 95, 200, 15, 290];

/** Return a menu of overlays and a slider of the opacity. @param {[string, string][]} offered @param {(mix: number) => void} changed */
export function overlayControls(offered, changed) {
  const select = h(
    'select',
    {
      id: 'laid',
      'data-keep': 'laid',
      onchange: () => setQuery({ show: select.value === 'speaks' ? null : select.value }),
    },
    ...offered.map(([value, words]) => h('option', { value }, words)),
  );
  const slider = h('input', {
    type: 'range',
    id: 'mix',
    min: 0,
    max: 100,
    'data-keep': 'mix',
    'aria-label': 'opacity of the overlay',
    oninput: () => changed(Number(slider.value)),
    onchange: () => setQuery({ mix: slider.value === '70' ? null : slider.value }, { replace: true, quiet: true }),
  });
  const element = h(
    'div',
    { class: 'laid' },
    h('label', { class: 'tool', for: 'laid' }, h('span', { class: 'quiet' }, 'Overlay'), select),
    h('span', { class: 'slider' }, h('span', { class: 'quiet small' }, 'photo'), slider),
  );
  return { element, select, slider };
}

/** Draw a saliency map with the strength as opacity. @param {Salient} saliency */
export function heatMap({ map, rows, cols, signed }) {
  const canvas = h('canvas', { width: cols, height: rows });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const data = context.createImageData(cols, rows);
  const names = signed ? ['--for', '--against'] : ['--against', '--for'];
  const [positive, negative] = names.map((name) => rgb(colour(name)));
  bytesOf(map).forEach((value, i) =>
    data.data.set([...(value < 0 ? negative : positive), Math.min(255, Math.abs(value) * 2)], 4 * i),
  );
  context.putImageData(data, 0, 0);
  return canvas;
}

/** Draw the negative blocks of a signed saliency map as opacity. @param {Salient} saliency @returns {HTMLCanvasElement | null} */
export function negativeMask(saliency) {
  if (!saliency.signed) return null;
  const each = Math.max(1, Math.round(Math.max(saliency.rows, saliency.cols) / BLOCKS));
  const [rows, cols] = [Math.ceil(saliency.rows / each), Math.ceil(saliency.cols / each)];
  const sums = new Float32Array(rows * cols);
  bytesOf(saliency.map).forEach((value, i) => {
    const [y, x] = [Math.floor(i / saliency.cols), i % saliency.cols];
    sums[Math.floor(y / each) * cols + Math.floor(x / each)] += value;
  });
  const most = sums.reduce((largest, sum) => Math.max(largest, Math.abs(sum)), 1e-9);
  const canvas = h('canvas', { width: cols, height: rows });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const data = context.createImageData(cols, rows);
  sums.forEach((sum, i) => {
    data.data[4 * i + 3] = sum < -FAINT * most ? 255 * Math.min(1, 0.35 - 0.6 * (sum / most)) : 0;
  });
  context.putImageData(data, 0, 0);
  return canvas;
}

/** Decode signed bytes. @param {string} text in base64 */
const bytesOf = (text) => new Int8Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);

/** Return red, green and blue of a CSS colour. @param {string} words */
function rgb(words) {
  const context = /** @type {CanvasRenderingContext2D} */ (h('canvas', { width: 1, height: 1 }).getContext('2d'));
  context.fillStyle = words;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
}

/** Draw the nearest icon of each position, as they load. @param {Explained} explained @param {import('../../map/grid.js').Grid} grid @param {() => void} loaded */
export function iconMap(explained, grid, loaded) {
  const { rows, cols, cells } = explained.grid;
  const side = Math.max(12, Math.floor(560 / cols));
  const sheet = h('canvas', { width: cols * side, height: rows * side });
  const context = /** @type {CanvasRenderingContext2D} */ (sheet.getContext('2d'));
  cells?.forEach((line, y) =>
    line.forEach(([row, col], x) => {
      const i = grid.at(row, col);
      if (i < 0) return;
      const one = h('canvas', { width: side, height: side });
      drawIcon(one, grid, i, undefined, () => {
        context.drawImage(one, x * side, y * side);
        loaded();
      });
    }),
  );
  return sheet;
}

/** Colour each position by the group that holds most of it. @param {number[][][]} maps by group, each at most 1 */
export function groupMap(maps) {
  const [rows, cols] = [maps[0].length, maps[0][0].length];
  const canvas = h('canvas', { width: cols, height: rows });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < cols; x++) {
      const best = maps.reduce((most, map, k) => (map[y][x] > maps[most][y][x] ? k : most), 0);
      context.globalAlpha = Math.min(1, 0.15 + maps[best][y][x]);
      context.fillStyle = hue(best);
      context.fillRect(x, y, 1, 1);
    }
  }
  return canvas;
}

/** @param {number} k */
export const hue = (k) => `oklch(0.68 0.15 ${HUES[k % HUES.length]})`;
