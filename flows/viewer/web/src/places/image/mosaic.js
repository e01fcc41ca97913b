// What a layer sees at each position: the icon of the likest cell, as large as the activation is long.

import { h } from '../../dom.js';
import { icon } from '../atlas/sprites.js';

export const MOSAIC = 420;

/** @param {Explained} found @param {import('../atlas/grid.js').Grid} grid @param {(y: number, x: number) => void} show @param {number} [side] */
export function mosaic(found, grid, show, side = MOSAIC) {
  const { rows, cols, cells } = found.grid;
  const wide = Math.floor(side / cols);
  const box = h('div', { class: 'mosaic-in', 'aria-hidden': 'true' });
  box.style.gridTemplateColumns = `repeat(${cols}, ${wide}px)`;
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < cols; x++) {
      const cell = /** @type {[number, number][][]} */ (cells)[y][x];
      const i = grid.at(cell[0], cell[1]);
      const place = h('span', { class: 'mosaic-place', onpointerenter: () => show(y, x) });
      place.style.width = place.style.height = `${wide}px`;
      if (i >= 0) place.append(icon(grid, i, Math.max(4, Math.round((wide - 1) * found.grid.side[y][x])), ''));
      box.append(place);
    }
  }
  return box;
}
