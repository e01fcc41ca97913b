// Hatching of negative values, so that the sign can be read without the colour.

import { h } from './dom.js';
import { colour } from './theme.js';

const APART = 6;
const WIDE = 1.1;

/** @type {Map<string, HTMLCanvasElement>} */
const tiles = new Map();

/** Return a pattern of fine diagonal lines that continues from square to square. @param {CanvasRenderingContext2D} context */
export function hatching(context) {
  const dots = devicePixelRatio || 1;
  const tone = colour('--paper');
  const side = Math.round(APART * dots);
  const tile = tiles.get(`${tone} ${side}`) ?? drawTile(side, WIDE * dots, tone);
  tiles.set(`${tone} ${side}`, tile);
  const pattern = /** @type {CanvasPattern} */ (context.createPattern(tile, 'repeat'));
  pattern.setTransform(new DOMMatrix().scale(1 / dots));
  return pattern;
}

/** @param {number} side @param {number} width @param {string} tone */
function drawTile(side, width, tone) {
  const tile = h('canvas', { width: side, height: side });
  const context = /** @type {CanvasRenderingContext2D} */ (tile.getContext('2d'));
  context.strokeStyle = tone;
  context.lineWidth = width;
  context.beginPath();
  for (const at of [-side, 0, side]) {
    context.moveTo(at - 1, side + 1);
    context.lineTo(at + side + 1, -1);
  }
  context.stroke();
  return tile;
}

/** A small hatched square for a legend. */
export const hatched = () => h('span', { class: 'signs-in against', 'aria-hidden': 'true' });

/** A legend of the two signs. */
export const signs = () =>
  h(
    'span',
    { class: 'signs' },
    h('span', { class: 'signs-in for', 'aria-hidden': 'true' }),
    'for',
    hatched(),
    'against, hatched',
  );
