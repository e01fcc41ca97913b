// The mosaic of an image: the nearest atlas icon at each position, larger for a stronger activation.

import { h } from '../../ui/dom.js';
import { icon } from '../../map/sprites.js';
import { moveBy } from '../../ui/positions.js';

export const MOSAIC = 420;

export class Mosaic {
  /**
   * @param {Explained} explained
   * @param {import('../../map/grid.js').Grid} grid
   * @param {(y: number, x: number) => void} show
   * @param {{ side?: number, words?: string }} [options] words: its name; with one, arrow keys walk its positions and the current one stays marked
   */
  constructor(explained, grid, show, { side = MOSAIC, words } = {}) {
    const { rows, cols, cells } = explained.grid;
    const wide = Math.floor(side / cols);
    const named = words && {
      tabindex: 0,
      role: 'application',
      'aria-label': `${words}. Arrow keys walk the ${rows} × ${cols} positions.`,
      'data-keep': 'mosaic',
    };
    this.element = h('div', { class: 'mosaic-in', ...(named || { 'aria-hidden': 'true' }) });
    this.element.style.gridTemplateColumns = `repeat(${cols}, ${wide}px)`;
    this.at = { y: -1, x: -1 };
    /** The position under the pointer. */
    this.pointed = '';
    this.element.addEventListener('pointerleave', () => (this.pointed = ''));
    this.marks = !!words;
    this.cols = cols;
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < cols; x++) {
        const cell = /** @type {[number, number][][]} */ (cells)[y][x];
        const i = grid.at(cell[0], cell[1]);
        const place = h('span', { class: 'mosaic-place', onpointermove: () => this.#point(y, x, show) });
        place.style.width = place.style.height = `${wide}px`;
        if (i >= 0) place.append(icon(grid, i, Math.max(4, Math.round((wide - 1) * explained.grid.side[y][x])), ''));
        this.element.append(place);
      }
    }
    if (words)
      this.element.addEventListener('keydown', (event) => {
        const next = moveBy(event.key, this.at, rows, cols);
        if (!next) return;
        event.preventDefault();
        event.stopPropagation();
        this.#go(...next, show);
      });
  }

  /** Show the position that the pointer moves to: where it only rests while the mosaic is drawn, it asks for nothing. @param {number} y @param {number} x @param {(y: number, x: number) => void} show */
  #point(y, x, show) {
    if (this.pointed === `${y},${x}`) return;
    this.pointed = `${y},${x}`;
    this.#go(y, x, show);
  }

  /** @param {number} y @param {number} x @param {(y: number, x: number) => void} show */
  #go(y, x, show) {
    this.mark(y, x);
    show(y, x);
  }

  /** @param {number} y @param {number} x */
  mark(y, x) {
    if (this.marks && this.at.y >= 0) this.element.children[this.at.y * this.cols + this.at.x].classList.remove('at');
    this.at = { y, x };
    if (this.marks) this.element.children[y * this.cols + x].classList.add('at');
  }
}
