// The map as a table of cells, for screen readers and for looking things up.

import { fill, h } from '../../ui/dom.js';
import { count, number } from '../../ui/format.js';
import { setQuery } from '../../state/navigate.js';
import { cellLink, relink } from '../../ui/components.js';
import { icon } from '../../map/sprites.js';

/** @typedef {import('../../map/grid.js').Grid} Grid */
/** @typedef {import('../../state/address.js').State} State */

const PAGE = 60;

/** @type {Record<string, (grid: Grid, i: number) => number>} */
const ORDERS = {
  samples: (grid, i) => -grid.columns.count[i],
  place: (grid, i) => grid.columns.row[i] * grid.size + grid.columns.col[i],
  coherence: (grid, i) => grid.columns.coherence?.[i] ?? Infinity,
  fidelity: (grid, i) => -(grid.columns.cosine?.[i] ?? -1),
};

/** What a sorted list starts with. @type {Record<string, string>} */
const FIRST = {
  samples: 'most samples first',
  coherence: 'least coherent first',
  fidelity: 'best icons first',
  class: 'strongest evidence for the class first',
};

export class CellList {
  constructor() {
    this.element = h('div', { class: 'list', hidden: true });
    this.shown = PAGE;
    /** The values that the rows were made from. @type {unknown[]} */
    this.inputs = [];
    /** @type {Grid | null} */
    this.grid = null;
  }

  /** Show the cells. Rows are redrawn only if their values changed: the focus and their number stay. @param {Grid} grid @param {State} state @param {Float32Array | null} share */
  show(grid, state, share) {
    const usual = share ? 'class' : 'samples';
    const order = names(share).includes(state.query.order) ? state.query.order : usual;
    const inputs = [grid, grid.detailed, share ? state.query.class : null, order];
    if (grid !== this.grid) this.shown = PAGE;
    this.grid = grid;
    if (inputs.some((part, k) => part !== this.inputs[k])) {
      this.inputs = inputs;
      this.#draw(grid, state, share, order, usual);
    }
    relink(this.element, state);
    for (const row of this.element.querySelectorAll('tbody tr')) {
      const open = row.querySelector('a')?.dataset.cell === `${grid.size} ${state.query.cell}`;
      if (open) row.setAttribute('aria-current', 'true');
      else row.removeAttribute('aria-current');
    }
  }

  /** @param {Grid} grid @param {State} state @param {Float32Array | null} share @param {string} order @param {string} usual */
  #draw(grid, state, share, order, usual) {
    const value =
      order === 'class' ? (/** @type {Grid} */ _, /** @type {number} */ i) => -(share?.[i] ?? 0) : ORDERS[order];
    const rows = Array.from({ length: grid.length }, (_, i) => i).sort(
      (a, b) => value(grid, a) - value(grid, b) || a - b,
    );
    const heads = ['', ...names(share)].map((name) => {
      if (!name) return h('th', { scope: 'col' }, h('span', { class: 'unseen' }, 'icon'));
      const button = h(
        'button',
        { class: 'sort', title: FIRST[name], onclick: () => setQuery({ order: name === usual ? null : name }) },
        name === 'place' ? 'row, col' : name,
      );
      return h(
        'th',
        {
          scope: 'col',
          'data-order': name,
          class: name === 'place' ? '' : 'num',
          'aria-sort': name === order ? 'ascending' : 'none',
        },
        button,
      );
    });
    const lines = (/** @type {number} */ from) => rows.slice(from, this.shown).map((i) => line(grid, i, state, share));
    const body = h('tbody', {}, ...lines(0));
    const more = h(
      'button',
      {
        class: 'button',
        onclick: () => {
          const from = this.shown;
          this.shown += PAGE;
          const added = lines(from);
          body.append(...added);
          more.hidden = this.shown >= rows.length;
          if (more.hidden) added[0].querySelector('a')?.focus();
        },
      },
      'More cells',
    );
    more.hidden = this.shown >= rows.length;
    const focused = sameAs(this.element.contains(document.activeElement) ? document.activeElement : null);
    fill(
      this.element,
      h(
        'table',
        { class: 'table' },
        h(
          'caption',
          { class: 'unseen' },
          [`Cells of ${grid.layer.name}, grid ${grid.size}`, FIRST[order]].filter(Boolean).join(', '),
        ),
        h('thead', {}, h('tr', {}, ...heads, h('th', { scope: 'col' }, 'mostly'))),
        body,
      ),
      more,
    );
    if (focused) /** @type {HTMLElement | null} */ (this.element.querySelector(focused))?.focus();
  }
}

/** Return the columns that sort the list. @param {Float32Array | null} share */
const names = (share) => [...Object.keys(ORDERS), ...(share ? ['class'] : [])];

/** Return a selector that finds a control's counterpart among new rows. @param {Element | null} control */
function sameAs(control) {
  const head = control?.closest('th');
  if (head) return `th[data-order="${head.dataset.order}"] button`;
  return control instanceof HTMLElement && control.dataset.cell ? `a[data-cell="${control.dataset.cell}"]` : null;
}

/** @param {Grid} grid @param {number} i @param {State} state @param {Float32Array | null} share */
function line(grid, i, state, share) {
  const { row, col, count: counts, coherence, cosine } = grid.columns;
  const words = grid
    .words(i, 2)
    .map((word) => `${word.name.split(',')[0]} ${word.value}`)
    .join(', ');
  return h(
    'tr',
    {},
    h('td', {}, grid.facts.icon > 0 && icon(grid, i, 40, '')),
    h('td', { class: 'num' }, count(counts[i])),
    h('td', {}, cellLink(state, grid.layer.name, grid.size, row[i], col[i], {}, `${row[i]}, ${col[i]}`)),
    h('td', { class: 'num' }, coherence ? number(coherence[i]) : '–'),
    h('td', { class: 'num' }, cosine ? number(cosine[i]) : '–'),
    share && h('td', { class: 'num' }, number(share[i])),
    h('td', { class: 'quiet' }, words),
  );
}
