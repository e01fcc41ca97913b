// The rail: the layers of the run, each with a thumbnail of its atlas.

import { href } from '../state/address.js';
import { atLayer, layerOf } from '../state/layer.js';
import { placeOf } from '../state/places.js';
import { fill, h } from '../ui/dom.js';
import { drawThumbnail } from '../map/thumbnail.js';
import { count, many } from '../ui/format.js';

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
  const square = h('span', { class: 'rail-picture' });
  drawThumbnail(square, layer);
  return square;
}
