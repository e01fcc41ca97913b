// The tools over the map: grid, colour, list and zoom.

import { earlierVersions } from '../../data/client.js';
import { shades } from '../../data/metrics.js';
import { setQuery } from '../../state/navigate.js';
import { fill, h, SIGNS, sign } from '../../ui/dom.js';
import { withTerms } from '../../ui/term.js';
import { namesMenu } from './names.js';

/** Switch full screen for the whole page, not only the map: the panel of an opened cell lies beside it. */
const toggleFullScreen = () =>
  document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen();

/** @param {{ zoom: (factor: number) => void, home: () => void }} map */
export function tools(map) {
  const grid = h('select', { id: 'grid', onchange: () => setQuery({ grid: grid.value || null, cell: null }) });
  const shade = h('select', {
    id: 'shade',
    onchange: () => setQuery({ shade: shade.value === 'none' ? null : shade.value }),
  });
  const names = namesMenu();
  const list = h(
    'button',
    {
      class: 'tool',
      'aria-pressed': 'false',
      title: 'As a list (l)',
      onclick: () => setQuery({ view: list.getAttribute('aria-pressed') === 'false' ? 'list' : null }),
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
    h('label', { class: 'tool', for: 'shade' }, h('span', { class: 'quiet tool-name' }, 'Colour by'), shade),
    names.element,
    list,
  );
  const right = h(
    'div',
    { class: 'zoomers' },
    button('Zoom in (+)', SIGNS.plus, () => map.zoom(1.6)),
    button('Zoom out (−)', SIGNS.minus, () => map.zoom(1 / 1.6)),
    button('The whole map (0)', SIGNS.home, map.home),
    document.fullscreenEnabled && button('Full screen', SIGNS.full, toggleFullScreen),
  );
  return { left, right, grid, shade, names, list };
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

/** Offer the metrics of a grid, and motion since each earlier version. @param {HTMLSelectElement} select @param {About} about @param {string[]} has @param {string} chosen */
export function fillShades(select, about, has, chosen) {
  const options = [
    ['none', 'none'],
    ...shades(has).map(({ shade, words }) => [shade, words]),
    ...earlierVersions(about).map((version) => [`motion:${about.name}@${version}`, `motion since @ ${version}`]),
  ];
  const same = options.length === select.length && options.every(([value], i) => select.options[i].value === value);
  if (!same) fill(select, ...options.map(([value, words]) => h('option', { value }, words)));
  select.value = options.some(([value]) => value === chosen) ? chosen : 'none';
}

/** Explain the colours of the frames. @param {string} shade @param {[string, string]} ends */
export function legend(shade, ends) {
  return [
    h('span', { class: 'quiet' }, ...withTerms(shade)),
    h('span', { class: 'num' }, ends[0]),
    h('span', { class: 'legend-ramp', 'aria-hidden': 'true' }),
    h('span', { class: 'num' }, ends[1]),
  ];
}
