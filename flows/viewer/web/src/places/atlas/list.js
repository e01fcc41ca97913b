// The map as a list: the same cells as rows, for readers of screens, and for looking things up.

import { fill, h } from '../../dom.js';
import { count, number } from '../../format.js';
import { cellHref } from '../../parts.js';
import { icon } from './sprites.js';

const PAGE = 60;

/** @type {Record<string, (grid: import('./grid.js').Grid, i: number) => number>} */
const ORDERS = {
  samples: (grid, i) => -grid.columns.count[i],
  place: (grid, i) => grid.columns.row[i] * grid.size + grid.columns.col[i],
  spread: (grid, i) => grid.columns.spread[i] ?? Infinity,
  fidelity: (grid, i) => -(grid.columns.cosine?.[i] ?? -1),
};

/**
 * @param {HTMLElement} element
 * @param {import('./grid.js').Grid} grid
 * @param {import('../../address.js').State} state
 * @param {Float32Array | null} share
 */
export function cellList(element, grid, state, share) {
  let order = share ? 'class' : 'samples';
  let shown = PAGE;
  const body = h('tbody');
  const more = h('button', { class: 'button', onclick: () => { shown += PAGE; draw(); } }, 'More cells');
  const heads = ['', ...Object.keys(ORDERS), ...(share ? ['class'] : [])].map((name) => {
    if (!name) return h('th', { scope: 'col' }, h('span', { class: 'unseen' }, 'icon'));
    const button = h('button', { class: 'sort', onclick: () => { order = name; draw(); } }, name === 'place' ? 'row, col' : name);
    return h('th', { scope: 'col', 'data-order': name, class: name === 'place' ? '' : 'num' }, button);
  });
  const head = h('tr', {}, ...heads, h('th', { scope: 'col' }, 'mostly'));
  const draw = () => {
    const value = order === 'class' ? (/** @type {any} */ _, /** @type {number} */ i) => -(share?.[i] ?? 0) : ORDERS[order];
    const rows = Array.from({ length: grid.length }, (_, i) => i).sort((a, b) => value(grid, a) - value(grid, b) || a - b);
    for (const cell of heads) cell.setAttribute('aria-sort', cell.dataset.order === order ? 'ascending' : 'none');
    fill(body, ...rows.slice(0, shown).map((i) => line(grid, i, state, share)));
    more.hidden = shown >= rows.length;
  };
  draw();
  fill(element, h('table', { class: 'table' }, h('caption', { class: 'unseen' }, `Cells of ${grid.layer.name}, grid ${grid.size}`), h('thead', {}, head), body), more);
}

/** @param {import('./grid.js').Grid} grid @param {number} i @param {import('../../address.js').State} state @param {Float32Array | null} share */
function line(grid, i, state, share) {
  const { row, col, count: counts, spread, cosine } = grid.columns;
  const words = grid.words(i, 2).map((word) => `${word.name.split(',')[0]} ${word.value}`).join(', ');
  return h('tr', {},
    h('td', {}, grid.facts.icon > 0 && icon(grid, i, 40, '')),
    h('td', { class: 'num' }, count(counts[i])),
    h('td', {}, h('a', { href: cellHref(state, grid.layer.name, grid.size, row[i], col[i]) }, `${row[i]}, ${col[i]}`)),
    h('td', { class: 'num' }, number(spread[i])),
    h('td', { class: 'num' }, cosine ? number(cosine[i]) : '–'),
    share && h('td', { class: 'num' }, number(share[i])),
    h('td', { class: 'quiet' }, words));
}
