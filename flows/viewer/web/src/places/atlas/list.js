// The map as a table of cells, for screen readers and for looking things up.

import { sortable, sorted, valuesOf } from '../../data/metrics.js';
import { fill, h, SIGNS, sign } from '../../ui/dom.js';
import { percent, valueOfKind } from '../../ui/format.js';
import { setQuery } from '../../state/navigate.js';
import { cellLink, relink } from '../../ui/components.js';
import { icon } from '../../map/sprites.js';
import { entryOf } from '../../data/glossary.js';
import { term } from '../../ui/term.js';

/** @typedef {import('../../map/grid.js').Grid} Grid */
/** @typedef {import('../../map/grid.js').Kind} Kind */
/** @typedef {import('./answer.js').Answer} Answer */
/** @typedef {import('../../state/address.js').State} State */

const PAGE = 60;

/** @typedef {import('../../data/metrics.js').Order} Order */
/** @typedef {{ name: string, head: string, kind: string, orders: Order[], values: ArrayLike<number | null> | null }} Column */

const BY_PLACE = { name: 'place', first: 'low', words: '' };
const BY_ANSWER = { name: 'class', first: 'high', words: 'the most of what is asked for first' };
const BY_PARTS = [
  { name: 'first', first: 'high', words: '' },
  { name: 'second', first: 'high', words: '' },
];

export class CellList {
  constructor() {
    this.element = h('div', { class: 'list', hidden: true });
    this.shown = PAGE;
    /** The values that the rows were made from. @type {unknown[]} */
    this.inputs = [];
    /** @type {Grid | null} */
    this.grid = null;
  }

  /** Show the cells. Rows are redrawn only if their values changed: the focus and their number stay. @param {Grid} grid @param {State} state @param {Answer | null} answer @param {Kind} kind */
  show(grid, state, answer, kind) {
    const columns = columnsOf(grid, answer);
    const usual = answer ? BY_ANSWER : columns[0].orders[0];
    const order = columns.flatMap(({ orders }) => orders).find(({ name }) => name === state.query.order) ?? usual;
    const inputs = [grid, grid.detailed, grid.names, kind, answer, order.name];
    if (grid !== this.grid) this.shown = PAGE;
    this.grid = grid;
    if (inputs.some((part, k) => part !== this.inputs[k])) {
      this.inputs = inputs;
      this.#draw(grid, state, columns, order, usual, kind);
    }
    relink(this.element, state);
    for (const row of this.element.querySelectorAll('tbody tr')) {
      const open = row.querySelector('a')?.dataset.cell === `${grid.size} ${state.query.cell}`;
      if (open) row.setAttribute('aria-current', 'true');
      else row.removeAttribute('aria-current');
    }
  }

  /** @param {Grid} grid @param {State} state @param {Column[]} columns @param {Order} order @param {Order} usual @param {Kind} kind */
  #draw(grid, state, columns, order, usual, kind) {
    const by = columns.find(({ orders }) => orders.includes(order));
    const rows = sorted(grid.length, by?.values ?? [], order.first);
    const heads = columns.map((column) => head(column, order, usual));
    const lines = (/** @type {number} */ from) =>
      rows.slice(from, this.shown).map((i) => line(grid, i, state, columns, kind));
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
    const iconHead = h('th', { scope: 'col' }, h('span', { class: 'unseen' }, 'icon'));
    const focused = sameAs(this.element.contains(document.activeElement) ? document.activeElement : null);
    fill(
      this.element,
      h(
        'table',
        { class: 'table' },
        h(
          'caption',
          { class: 'unseen' },
          [`Cells of ${grid.layer.name}, grid ${grid.size}`, order.words].filter(Boolean).join(', '),
        ),
        h('thead', {}, h('tr', {}, iconHead, ...heads, h('th', { scope: 'col' }, 'stands out'))),
        body,
      ),
      more,
    );
    if (focused) /** @type {HTMLElement | null} */ (this.element.querySelector(focused))?.focus();
  }
}

/** Return the columns that sort the list: metrics, with the place after those of the map, and what is asked for. @param {Grid} grid @param {Answer | null} answer @returns {Column[]} */
function columnsOf(grid, answer) {
  const { row, col } = grid.columns;
  const metrics = sortable(grid.facts.has);
  const column = (/** @type {import('../../data/metrics.js').Metric} */ metric) => ({
    ...metric,
    head: metric.name,
    values: valuesOf(grid.columns, metric),
  });
  const places = row.map((y, i) => y * grid.size + col[i]);
  return [
    ...metrics.filter(({ answer }) => answer === 'cells').map(column),
    { name: 'place', head: 'row, col', kind: 'place', orders: [BY_PLACE], values: places },
    ...metrics.filter(({ answer }) => answer !== 'cells').map(column),
    ...(answer ? answerColumns(answer) : []),
  ];
}

/** Return a column for each name answer for, and of two for the difference. @param {Answer} answer @returns {Column[]} */
function answerColumns({ kind, parts, values }) {
  const unit = kind === 'label' ? 'share' : 'number';
  const [one, other] = parts;
  if (!other) return [{ name: 'class', head: one.name, kind: unit, orders: [BY_ANSWER], values }];
  const head = `${one.name} − ${other.name}`;
  const each = parts.map((part, k) => ({ head: part.name, values: part.values, order: BY_PARTS[k] }));
  return [
    { name: 'class', head, kind: unit, orders: [BY_ANSWER], values },
    ...each.map(({ head, values, order }) => ({ name: order.name, head, kind: unit, orders: [order], values })),
  ];
}

/** Draw the head of a column. Pressing it sorts by the column, and again by its next order. @param {Column} column @param {Order} order @param {Order} usual */
function head({ name, head, kind, orders }, order, usual) {
  const next = orders[(orders.indexOf(order) + 1) % orders.length];
  const choose = () => setQuery({ order: next.name === usual.name ? null : next.name });
  const direction = order.first === 'high' ? 'descending' : 'ascending';
  return h(
    'th',
    {
      scope: 'col',
      'data-order': name,
      class: kind === 'place' ? '' : 'num',
      'aria-sort': orders.includes(order) ? direction : 'none',
    },
    h('button', { class: 'sort', title: next.words || null, onclick: choose }, head),
    entryOf(head) && term(head, h('span', {}, sign(SIGNS.help), h('span', { class: 'unseen' }, `what ${head} is`))),
  );
}

/** Return a selector that finds a control's counterpart among new rows. @param {Element | null} control */
function sameAs(control) {
  const head = control?.closest('th');
  if (head) return `th[data-order="${head.dataset.order}"] button`;
  return control instanceof HTMLElement && control.dataset.cell ? `a[data-cell="${control.dataset.cell}"]` : null;
}

/** @param {Grid} grid @param {number} i @param {State} state @param {Column[]} columns @param {Kind} kind */
function line(grid, i, state, columns, kind) {
  const { row, col } = grid.columns;
  const words = grid
    .standing(i, kind)
    .slice(0, 2)
    .map(({ name, share }) => `${name} ${percent(share)}`)
    .join(', ');
  const place = () => cellLink(state, grid.layer.name, grid.size, row[i], col[i], {}, `${row[i]}, ${col[i]}`);
  return h(
    'tr',
    {},
    h('td', {}, grid.facts.icon > 0 && icon(grid, i, 40, '')),
    ...columns.map(({ kind, values }) =>
      h('td', { class: 'num' }, kind === 'place' ? place() : valueOfKind(values?.[i], kind)),
    ),
    h('td', { class: 'quiet' }, words),
  );
}
