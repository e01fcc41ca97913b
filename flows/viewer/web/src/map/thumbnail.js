// A small picture of a layer's atlas, cut from the tiles of its coarsest grid.

import { picture } from '../data/client.js';
import { h } from '../ui/dom.js';
import { colour, theme } from '../ui/theme.js';
import { load } from './grid.js';
import { paper } from './overlay.js';

/** The levels of the pyramid whose whole map is one tile, and four. */
const SMALL = 8;
const LARGE = 9;

/** Return the coarsest grid of a layer that has tiles. @param {LayerFacts} layer */
export const drawnGrid = (layer) => layer.grids.find((grid) => grid.has.includes('tiles'));

/**
 * Draw a layer's atlas into an element, which is square. Without tiles it stays empty.
 * @param {HTMLElement} square
 * @param {LayerFacts} layer
 * @param {{ of?: About, large?: boolean }} [options]  `of` is the run, where it is not the open one
 */
export function drawThumbnail(square, layer, { of, large = false } = {}) {
  const facts = drawnGrid(layer);
  if (!facts) return;
  const whole = facts.grid * (facts.icon + 1);
  const top = Math.ceil(Math.log2(whole));
  const level = Math.min(large ? LARGE : SMALL, top);
  const side = Math.ceil(whole / 2 ** (top - level));
  const across = Math.ceil(side / facts.tile);
  for (let y = 0; y < across; y++) {
    for (let x = 0; x < across; x++) square.append(tile({ layer, facts, level, side, x, y }, of));
  }
  // A small one shows its gaps in the light: covering them takes the cells of every layer, and the first view is to be small.
  if (large || theme() === 'dark') cover(square, layer, facts, side, of);
}

/**
 * @param {{ layer: LayerFacts, facts: GridFacts, level: number, side: number, x: number, y: number }} place
 * @param {About} [of]
 */
function tile({ layer, facts, level, side, x, y }, of) {
  const src = picture('tile', { layer: layer.name, grid: facts.grid, level, x, y }, of);
  const image = h('img', { src, alt: '', loading: 'lazy' });
  const part = (/** @type {number} */ n) => `${(100 * n) / side}%`;
  image.style.left = part(x * facts.tile);
  image.style.top = part(y * facts.tile);
  image.style.width = part(Math.min(facts.tile, side - x * facts.tile));
  image.style.height = part(Math.min(facts.tile, side - y * facts.tile));
  return image;
}

/** Cover what is between a picture's icons in the colour of the page. @param {HTMLElement} square @param {LayerFacts} layer @param {GridFacts} facts @param {number} side @param {About} [of] */
async function cover(square, layer, facts, side, of) {
  const canvas = h('canvas', { width: side, height: side, 'aria-hidden': 'true' });
  square.append(canvas);
  const grid = await load(layer, facts, of).catch(() => null);
  if (!grid) return canvas.remove();
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.scale(side, side);
  context.fillStyle = colour('--paper');
  context.fill(paper(grid, grid.fullest), 'evenodd');
}
