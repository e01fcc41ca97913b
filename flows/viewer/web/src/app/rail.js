// The rail: the layers of the run, each with a thumbnail of its atlas.

import { picture } from '../data/client.js';
import { href } from '../state/address.js';
import { atLayer, layerOf } from '../state/layer.js';
import { placeOf } from '../state/places.js';
import { fill, h } from '../ui/dom.js';
import { load } from '../map/grid.js';
import { paper } from '../map/overlay.js';
import { count, many } from '../ui/format.js';
import { colour, theme } from '../ui/theme.js';

/** The side of a thumbnail's cover in pixels. */
const SIDE = 96;

/** @typedef {import('../state/address.js').State} State */

/** Draws the rail again. */
let redraw = () => {};
addEventListener('themechange', () => redraw());

/** Show the layers, if the place has a rail. @param {HTMLElement} rail @param {State} state @param {About | null} about */
export function updateRail(rail, state, about) {
  redraw = () => updateRail(rail, state, about);
  rail.hidden = !about || !placeOf(state.place).rail;
  if (rail.hidden || !about) return;
  const current = layerOf(state, about);
  fill(rail, h('ol', {}, ...about.layers.map((layer) => item(layer, state, layer.name === current))));
  rail.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

/** @param {LayerFacts} layer @param {State} state @param {boolean} current */
function item(layer, state, current) {
  const cells = layer.grids.reduce((sum, grid) => sum + grid.cells, 0);
  const words = h(
    'span',
    { class: 'rail-words' },
    h('span', { class: 'rail-name' }, layer.name),
    h('span', { class: 'quiet small' }, `${many(layer.units, 'unit')}, ${layer.height} × ${layer.width}`),
    layer.grids.length > 0 && h('span', { class: 'quiet small' }, `${count(cells)} cells`),
  );
  const attributes = { href: href(atLayer(state, layer.name)), 'aria-current': current ? 'true' : null };
  return h('li', {}, h('a', attributes, thumbnail(layer), words));
}

/** Return a small picture of a layer's atlas. @param {LayerFacts} layer */
function thumbnail(layer) {
  const facts = layer.grids.find((grid) => grid.has.includes('tiles'));
  if (!facts) return h('span', { class: 'rail-picture' });
  const { grid, icon } = facts;
  const level = Math.min(8, Math.ceil(Math.log2(grid * (icon + 1))));
  const src = picture('tile', { layer: layer.name, grid, level, x: 0, y: 0 });
  const square = h('span', { class: 'rail-picture' }, h('img', { src, alt: '', loading: 'lazy' }));
  cover(square, layer, facts);
  return square;
}

/** The white between a picture's icons, covered in the dark theme's colour. @param {HTMLElement} square @param {LayerFacts} layer @param {GridFacts} facts */
async function cover(square, layer, facts) {
  if (theme() !== 'dark') return;
  const grid = await load(layer, facts).catch(() => null);
  if (!grid || theme() !== 'dark') return;
  const canvas = h('canvas', { width: SIDE, height: SIDE, 'aria-hidden': 'true' });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.scale(SIDE, SIDE);
  context.fillStyle = colour('--paper');
  context.fill(paper(grid, grid.fullest), 'evenodd');
  square.append(canvas);
}
