// What lies over the photo: what speaks for the class, groups, icons, or the saliency of its pixels, and how much of it.

import { h } from '../../ui/dom.js';
import { turn } from '../../state/navigate.js';
import { colour } from '../../ui/theme.js';
import { drawIcon } from '../../map/sprites.js';

/** @typedef {import('../../ui/positions.js').Positions} Positions */

/** @type {[string, string][]} */
export const SHOWN = [
  ['speaks', 'what speaks for it'],
  ['groups', 'groups of positions'],
  ['icons', 'icons'],
  ['gradient', 'saliency: gradient'],
  ['gradient-x-input', 'saliency: gradient × input'],
  ['smoothgrad', 'saliency: SmoothGrad'],
  ['integrated-gradients', 'saliency: integrated gradients'],
  ['grad-cam', 'saliency: Grad-CAM'],
  ['guided-backprop', 'saliency: guided backpropagation'],
  ['deconvnet', 'saliency: deconvnet'],
];
/** Into how many parts a side of a saliency map is taken together, to be hatched: single pixels are too small to be. */
const TOGETHER = 28;
const FAINT = 0.08;
export const HUES = [250, 50, 150, 330, 95, 200, 15, 290];

/** The choice of what is laid over, and the slider from photo to it. @param {(mix: number) => void} mixed */
export function choice(mixed) {
  const select = h(
    'select',
    {
      id: 'laid',
      'data-keep': 'laid',
      onchange: () => turn({ show: select.value === 'speaks' ? null : select.value }),
    },
    ...SHOWN.map(([value, words]) => h('option', { value }, words)),
  );
  const slider = h('input', {
    type: 'range',
    id: 'mix',
    min: 0,
    max: 100,
    'data-keep': 'mix',
    'aria-label': 'from the photo to what is laid over it',
    oninput: () => mixed(Number(slider.value)),
    onchange: () => turn({ mix: slider.value === '70' ? null : slider.value }, { replace: true, quiet: true }),
  });
  const element = h(
    'div',
    { class: 'laid' },
    h('label', { class: 'tool', for: 'laid' }, h('span', { class: 'quiet' }, 'Over it'), select),
    h('span', { class: 'slider' }, h('span', { class: 'quiet small' }, 'photo'), slider),
  );
  return { element, select, slider };
}

/** A saliency map as a picture with the strength as its opacity. @param {Salient} found */
export function heat(found) {
  const bytes = Uint8Array.from(atob(found.map), (letter) => letter.charCodeAt(0));
  const values = new Int8Array(bytes.buffer);
  const canvas = h('canvas', { width: found.cols, height: found.rows });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const data = context.createImageData(found.cols, found.rows);
  const [positive, negative] = [
    rgb(colour(found.signed ? '--for' : '--against')),
    rgb(colour(found.signed ? '--against' : '--for')),
  ];
  values.forEach((value, i) =>
    data.data.set([...(value < 0 ? negative : positive), Math.min(255, Math.abs(value) * 2)], 4 * i),
  );
  context.putImageData(data, 0, 0);
  return canvas;
}

/** Where a signed saliency map is against rather than for, over some pixels together: a picture of that alone, as opacity. @param {Salient} found @returns {HTMLCanvasElement | null} */
export function againstOf(found) {
  if (!found.signed) return null;
  const values = new Int8Array(Uint8Array.from(atob(found.map), (letter) => letter.charCodeAt(0)).buffer);
  const each = Math.max(1, Math.round(Math.max(found.rows, found.cols) / TOGETHER));
  const [rows, cols] = [Math.ceil(found.rows / each), Math.ceil(found.cols / each)];
  const sums = new Float32Array(rows * cols);
  values.forEach((value, i) => {
    sums[Math.floor(Math.floor(i / found.cols) / each) * cols + Math.floor((i % found.cols) / each)] += value;
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

/** A colour of the page as red, green and blue. @param {string} words */
function rgb(words) {
  const context = /** @type {CanvasRenderingContext2D} */ (h('canvas', { width: 1, height: 1 }).getContext('2d'));
  context.fillStyle = words;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
}

/** The icons of all positions as one picture, drawn as they arrive. @param {Explained} found @param {import('../../map/grid.js').Grid} grid @param {() => void} arrived */
export function icons(found, grid, arrived) {
  const { rows, cols, cells } = found.grid;
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
        arrived();
      });
    }),
  );
  return sheet;
}

/** Each position in the colour of the group that holds most of it. @param {number[][][]} maps by group, each at most 1 */
export function grouped(maps) {
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
