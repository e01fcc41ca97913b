// The frame around every place: where one is, the layers, the panel, and what has been published meanwhile.

import { here, href, seen } from '../state/address.js';
import { atLayer, layerOf } from '../state/layer.js';
import { live, picture } from '../data/client.js';
import { fill, h, SIGNS, sign } from '../ui/dom.js';
import { count, many } from '../ui/format.js';
import { go } from '../state/navigate.js';
import { openHelp } from './help.js';
import { Panel } from '../ui/panel.js';
import { theme, turn } from '../ui/theme.js';

/** @typedef {import('../state/address.js').State} State */

const PLACES = /** @type {[State['place'], string][]} */ ([
  ['atlas', 'Atlas'],
  ['units', 'Units'],
  ['image', 'Image'],
  ['compare', 'Compare'],
  ['run', 'Run'],
]);

export class Frame {
  constructor() {
    this.panel = new Panel();
    this.top = h('header', { class: 'top' });
    /** The latest version that was told of, by run. @type {Map<string, number>} */
    this.announced = new Map();
    /** What the notice is about. */
    this.told = { name: '', version: 0 };
    this.notice = h('div', { class: 'notice', hidden: true, role: 'status' });
    this.rail = h('nav', { class: 'rail', 'aria-label': 'layers' });
    this.main = h('main', { class: 'place', id: 'main', tabindex: -1 });
    document.body.append(
      h(
        'a',
        {
          class: 'skip',
          href: '#main',
          onclick: (/** @type {Event} */ event) => {
            event.preventDefault();
            this.main.focus();
          },
        },
        'Skip to the content',
      ),
      this.top,
      this.notice,
      h('div', { class: 'body' }, this.rail, this.main, this.panel.element),
    );
  }

  /** @param {State} state @param {About | null} about @param {HTMLElement | null} search */
  show(state, about, search) {
    const hold = holding(this.top, this.rail);
    document.body.dataset.place = state.place;
    fill(
      this.top,
      h(
        'a',
        { class: 'brand', href: href({ ...state, place: 'home', what: '', query: {} }), title: 'all runs' },
        'actlas',
      ),
      about && this.#where(state, about),
      about &&
        h(
          'nav',
          { class: 'places', 'aria-label': 'places' },
          ...PLACES.map(([place, words]) => {
            const current = state.place === place || (place === 'units' && state.place === 'unit');
            return h(
              'a',
              { href: href(this.#turned(state, place, about)), 'aria-current': current ? 'page' : null },
              words,
            );
          }),
        ),
      search,
      h(
        'span',
        { class: 'top-end' },
        h(
          'button',
          {
            class: 'icon-button',
            title: 'Light or dark (t)',
            'aria-label': 'Light or dark',
            onclick: () => turnTheme(),
          },
          sign(SIGNS.sun),
        ),
        h(
          'button',
          { class: 'icon-button', title: 'Help (?)', 'aria-label': 'Help', onclick: () => openHelp(about) },
          sign(SIGNS.help),
        ),
      ),
    );
    this.#layers(state, about);
    if (about && this.told.name === about.name && this.told.version <= about.version) this.notice.hidden = true;
    hold();
  }

  /** The run and its version. @param {State} state @param {About} about */
  #where(state, about) {
    const name = h('span', { class: 'where-name', title: about.name }, about.name);
    if (about.versions.length < 2 || !live())
      return h('span', { class: 'where' }, name, h('span', { class: 'quiet' }, `@ ${about.version}`));
    const select = h(
      'select',
      {
        'aria-label': 'version',
        onchange: () =>
          go(
            state.place === 'compare'
              ? { other: `${about.name}@${select.value}` }
              : { ...state, version: Number(select.value) },
          ),
      },
      ...[...about.versions].reverse().map((number) => h('option', { value: number }, `@ ${number}`)),
    );
    select.value = String(about.version);
    return h('span', { class: 'where' }, name, select);
  }

  /** The same run at another place, keeping the layer. @param {State} state @param {State['place']} place @param {About} about @returns {State} */
  #turned(state, place, about) {
    const layer = layerOf(state, about);
    if (place === 'image') return { ...state, place, what: '', query: { layer } };
    if (place !== 'compare') return { ...state, place, what: place === 'run' ? '' : layer, query: {} };
    const before = about.versions.filter((number) => number < about.version).at(-1) ?? about.version;
    return { ...state, place, version: before, other: `${about.name}@${about.version}`, what: layer, query: {} };
  }

  /** @param {State} state @param {About | null} about */
  #layers(state, about) {
    const shown = about !== null && ['atlas', 'units', 'unit'].includes(state.place);
    this.rail.hidden = !shown;
    if (!shown || !about) return;
    const here = layerOf(state, about);
    fill(
      this.rail,
      h(
        'ol',
        {},
        ...about.layers.map((layer) =>
          h(
            'li',
            {},
            h(
              'a',
              { href: href(atLayer(state, layer.name)), 'aria-current': layer.name === here ? 'true' : null },
              thumbnail(layer),
              h(
                'span',
                { class: 'rail-words' },
                h('span', { class: 'rail-name' }, layer.name),
                h('span', { class: 'quiet small' }, `${many(layer.units, 'unit')}, ${layer.height} × ${layer.width}`),
                layer.grids.length > 0 &&
                  h(
                    'span',
                    { class: 'quiet small' },
                    `${count(layer.grids.reduce((sum, grid) => sum + grid.cells, 0))} cells`,
                  ),
              ),
            ),
          ),
        ),
      ),
    );
    this.rail.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }

  /** @param {number} version @param {State} state */
  announce(version, state) {
    const at = seen(state);
    if (version <= (this.announced.get(at.name) ?? 0)) return;
    this.announced.set(at.name, version);
    const newer = (/** @type {State} */ from) =>
      href(from.place === 'compare' ? { ...from, other: at.name } : { ...from, version: null });
    const link = h(
      'a',
      {
        href: newer(state),
        target: '_self',
        onclick: () => {
          // From where one is by then, if it still is this run.
          const now = here();
          if (seen(now).name === at.name) link.href = newer(now);
          setTimeout(() => location.reload());
        },
      },
      'Show the new one',
    );
    this.tell(`Version ${version} of ${at.name} has been published. What you see stays as it is. `, link);
    this.told = { name: at.name, version };
  }

  /** Say something above the place, until it is dismissed. @param {...import('../ui/dom.js').Child} words */
  tell(...words) {
    this.notice.hidden = false;
    this.told = { name: '', version: 0 };
    fill(
      this.notice,
      ...words,
      h(
        'button',
        {
          class: 'icon-button',
          'aria-label': 'Dismiss',
          onclick: () => {
            this.notice.hidden = true;
          },
        },
        sign(SIGNS.close),
      ),
    );
  }
}

const CONTROLS = 'a, button, select';

/** Remember which control is focused, and return what focuses the same one again among those that took their place. @param {...HTMLElement} boxes */
function holding(...boxes) {
  const control = document.activeElement;
  const box = boxes.find((one) => one.contains(control));
  if (!box || !control) return () => {};
  const at = [...box.querySelectorAll(CONTROLS)].indexOf(control);
  return () => {
    const now = /** @type {HTMLElement | undefined} */ (box.querySelectorAll(CONTROLS)[at]);
    if (
      !control.isConnected &&
      now?.tagName === control.tagName &&
      now.title === /** @type {HTMLElement} */ (control).title
    )
      now.focus();
  };
}

/** A small picture of a layer's atlas. @param {LayerFacts} layer */
function thumbnail(layer) {
  const grid = layer.grids.find((facts) => facts.has.includes('tiles'));
  const box = h('span', { class: 'rail-picture' });
  if (grid) {
    const level = Math.min(8, Math.ceil(Math.log2(grid.grid * (grid.icon + 1))));
    box.append(
      h('img', {
        src: picture('tile', { layer: layer.name, grid: grid.grid, level, x: 0, y: 0 }),
        alt: '',
        loading: 'lazy',
      }),
    );
  }
  return box;
}

export function turnTheme() {
  turn();
  document.querySelector('meta[name=theme-color]')?.setAttribute('content', theme() === 'dark' ? '#1b1b1b' : '#ffffff');
}
