// A run's maps: a picture of the atlas of each layer, which opens it.

import { drawnGrid, drawThumbnail } from '../../map/thumbnail.js';
import { href } from '../../state/address.js';
import { fill, h } from '../../ui/dom.js';
import { count, many } from '../../ui/format.js';

/** What each square shows, to draw it again in another theme. @type {WeakMap<Element, () => void>} */
const drawings = new WeakMap();

/** @param {About} about */
export function maps(about) {
  return h('ul', { class: 'maps' }, ...about.layers.map((layer) => h('li', {}, map(about, layer))));
}

/** @param {About} about @param {LayerFacts} layer */
function map(about, layer) {
  const address = href({ place: 'atlas', name: about.name, version: null, what: layer.name, query: {} });
  const square = h('span', { class: 'map-picture' });
  const draw = () => {
    fill(square);
    drawThumbnail(square, layer, { of: about, large: true });
  };
  drawings.set(square, draw);
  draw();
  const cells = drawnGrid(layer)?.cells;
  const facts = `${many(layer.units, 'unit')}, ${cells ? `${count(cells)} cells` : 'no atlas yet'}`;
  const words = h('span', { class: 'map-words' }, h('b', {}, layer.name), h('span', { class: 'quiet small' }, facts));
  return h('a', { class: 'run-map', href: address, title: `Open the atlas of ${layer.name}` }, square, words);
}

/** Draw the maps on a page again. @param {Element} root */
export function paint(root) {
  for (const square of root.querySelectorAll('.map-picture')) drawings.get(square)?.();
}
