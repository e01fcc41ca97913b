// The card beside the pointer: a cell's enlarged icon, its samples and its fidelity.

import { fill, h, s } from '../ui/dom.js';
import { many } from '../ui/format.js';
import { bars } from '../ui/components.js';
import { drawIcon } from './sprites.js';

const SIDE = 220;

/** What the numbers of a cell's classes are. @type {[string, string]} */
export const CLASS_HEADS = ['evidence', 'strongest in'];

export class Card {
  /** @param {HTMLElement} parent */
  constructor(parent) {
    this.canvas = h('canvas', { width: SIDE * 2, height: SIDE * 2, class: 'card-icon' });
    this.words = h('div', { class: 'card-words' });
    this.mark = h('span', { hidden: true }, ' · flat');
    /** The cell it describes, −1 while hidden. */
    this.cell = -1;
    this.element = h('div', { class: 'card', 'aria-hidden': 'true', hidden: true }, this.canvas, this.words);
    this.parent = parent;
    parent.append(this.element);
  }

  /** @param {import('./grid.js').Grid} grid @param {number} i @param {{ x: number, y: number, side: number }} square @param {(canvas: HTMLCanvasElement) => void} meanwhile @param {{ name?: string, asked?: string }} [more] the name on the cell in full, and about what is asked for */
  show(grid, i, square, meanwhile, more = {}) {
    this.grid = grid;
    this.cell = i;
    this.mark.hidden = true;
    if (grid.facts.icon) drawIcon(this.canvas, grid, i, meanwhile);
    this.canvas.hidden = !grid.facts.icon;
    this.#describe(grid, i, more);
    this.element.hidden = false;
    this.#place(square);
    if (!grid.detailed)
      grid.loadDetails().then(
        () => {
          if (this.cell === i && this.grid === grid) {
            this.#describe(grid, i, more);
            this.#place(square);
          }
        },
        () => {},
      );
  }

  /** @param {import('./grid.js').Grid} grid @param {number} i @param {{ name?: string, asked?: string }} more */
  #describe(grid, i, { name, asked }) {
    const { columns } = grid;
    const words = grid.words(i);
    fill(
      this.words,
      h(
        'div',
        { class: 'card-line' },
        h('b', {}, `Cell ${columns.row[i]},${columns.col[i]}`),
        h('span', {}, many(columns.count[i], 'sample'), this.mark),
        columns.cosine && ring(columns.cosine[i], !!columns.weak?.[i], 'fidelity '),
      ),
      name && h('p', { class: 'card-name' }, name),
      asked && h('p', { class: 'card-asked' }, asked),
      words.length > 0 &&
        bars(
          words.map((word) => ({
            name: word.name.split(',')[0],
            share: word.part,
            value: word.value,
            other: word.other,
          })),
          { heads: words[0].other ? CLASS_HEADS : null },
        ),
    );
  }

  /** Show that the cell's patches are flat. */
  showFlat() {
    this.mark.hidden = false;
  }

  hide() {
    this.cell = -1;
    this.element.hidden = true;
  }

  /** Place the card beside the cell, on the side with room. @param {{ x: number, y: number, side: number }} square */
  #place({ x, y, side }) {
    const room = this.parent.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const right = x + side + 14;
    const left = right + width + 8 < room.width ? right : Math.max(8, x - width - 14);
    const top = Math.min(Math.max(8, y + side / 2 - height / 2), Math.max(8, room.height - height - 8));
    this.element.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }
}

/** Draw a cell's fidelity as a ring that fills. @param {number | null} cosine @param {boolean} [weak] @param {string} [before] words before the number */
export function ring(cosine, weak = false, before = '') {
  const part = Math.max(0, Math.min(1, cosine ?? 0));
  const round = 2 * Math.PI * 6;
  return h(
    'span',
    { class: `ring${weak ? ' weak' : ''}` },
    s(
      'svg',
      { viewBox: '0 0 16 16', width: 16, height: 16, 'aria-hidden': 'true' },
      s('circle', { cx: 8, cy: 8, r: 6, class: 'ring-all' }),
      s('circle', {
        cx: 8,
        cy: 8,
        r: 6,
        class: 'ring-part',
        'stroke-dasharray': `${part * round} ${round}`,
        transform: 'rotate(-90 8 8)',
      }),
    ),
    h('span', { class: 'num' }, `${before}${cosine === null ? '–' : cosine.toFixed(2)}`),
    weak && ' weak',
  );
}
