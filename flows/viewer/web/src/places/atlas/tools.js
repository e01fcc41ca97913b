// The tools over the map: which grid, what is shaded, which class, map or list.

import { earlierVersions } from '../../data/client.js';
import { h, SIGNS, sign } from '../../ui/dom.js';

/** @type {Record<string, string>} */
export const SHADES = { none: 'nothing', density: 'samples', fidelity: 'fidelity of icons', spread: 'spread' };

/**
 * @param {object} told
 * @param {(grid: string) => void} told.grid
 * @param {(shade: string) => void} told.shade
 * @param {(list: boolean) => void} told.list
 * @param {(factor: number) => void} told.zoom
 * @param {() => void} told.home
 * @param {() => void} told.full
 * @param {About} about
 */
export function tools(told, about) {
  const grid = h('select', { id: 'grid', onchange: () => told.grid(grid.value) });
  const shade = h(
    'select',
    { id: 'shade', onchange: () => told.shade(shade.value) },
    ...Object.entries(SHADES).map(([value, words]) => h('option', { value }, words)),
    ...earlierVersions(about).map((version) =>
      h('option', { value: `motion:${about.name}@${version}` }, `motion since @ ${version}`),
    ),
  );
  const list = h(
    'button',
    {
      class: 'tool',
      'aria-pressed': 'false',
      title: 'As a list (l)',
      onclick: () => told.list(list.getAttribute('aria-pressed') === 'false'),
    },
    sign(SIGNS.list),
    h('span', {}, 'List'),
  );
  const button = (/** @type {string} */ words, /** @type {string} */ path, /** @type {() => void} */ act) =>
    h('button', { class: 'icon-button', title: words, 'aria-label': words, onclick: act }, sign(path));
  const left = h(
    'div',
    { class: 'tools' },
    h('label', { class: 'tool', for: 'grid' }, h('span', { class: 'quiet tool-name' }, 'Grid'), grid),
    h('label', { class: 'tool', for: 'shade' }, h('span', { class: 'quiet tool-name' }, 'Shade'), shade),
    list,
  );
  const right = h(
    'div',
    { class: 'zoomers' },
    button('Zoom in (+)', SIGNS.plus, () => told.zoom(1.6)),
    button('Zoom out (−)', SIGNS.minus, () => told.zoom(1 / 1.6)),
    button('The whole map (0)', SIGNS.home, told.home),
    document.fullscreenEnabled && button('Full screen', SIGNS.full, told.full),
  );
  return { left, right, grid, shade, list };
}

/** @param {HTMLSelectElement} select @param {LayerFacts} layer @param {string | undefined} chosen @param {number} shown */
export function fillGrids(select, layer, chosen, shown) {
  const words = layer.grids.length > 1 ? `by zoom (${shown})` : `${shown} × ${shown}`;
  select.replaceChildren(
    h('option', { value: '' }, words),
    ...(layer.grids.length > 1
      ? layer.grids.map((grid) => h('option', { value: grid.grid }, `${grid.grid} × ${grid.grid}`))
      : []),
  );
  select.value = [...select.options].some((option) => option.value === chosen) ? String(chosen) : '';
}

/** What the frames' colour means. @param {string} shade @param {[string, string]} ends */
export function legend(shade, ends) {
  return [
    h('span', { class: 'quiet' }, shade),
    h('span', { class: 'num' }, ends[0]),
    h('span', { class: 'legend-ramp', 'aria-hidden': 'true' }),
    h('span', { class: 'num' }, ends[1]),
  ];
}
