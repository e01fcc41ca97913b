// One unit: what excites it, its patches, its values and classes, its influence and where it is strong.

import { ask } from '../../data/client.js';
import { actlas, versionName } from '../../data/commands.js';
import { here, href, trailOf, unitOf } from '../../state/address.js';
import { go, setQuery } from '../../state/navigate.js';
import { say, title } from '../../ui/announce.js';
import { copy, face, fillAsync } from '../../ui/components.js';
import { fill, h, SIGNS, sign } from '../../ui/dom.js';
import { figureButton } from '../../ui/figure/save.js';
import { takesArrows } from '../../ui/keyboard.js';
import { card, strongestCells, summary, synthetic } from './card.js';
import { facets } from './facets.js';
import { unitFigure } from './figure.js';
import { influence } from './influence.js';
import { rangePatches, sidePatches } from './patches.js';

/** @typedef {import('../../state/address.js').State} State */

const SIDES = /** @type {[string, string][]} */ ([
  ['positive', 'Strongest'],
  ['negative', 'Most negative'],
  ['range', 'Over its range'],
]);

export class UnitPlace {
  /** @param {{ root: HTMLElement, about: About }} parts */
  constructor({ root, about }) {
    this.root = root;
    this.about = about;
    this.what = '';
    /** The links to the previous and the next unit. @type {[HTMLElement, number][]} */
    this.steps = [];
    /** Cancels the requests of the current unit. */
    this.abort = new AbortController();
    this.patches = h('div', { class: 'unit-patches' });
    this.walk = (/** @type {KeyboardEvent} */ event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const modified = event.altKey || event.ctrlKey || event.metaKey;
      const used = event.defaultPrevented || takesArrows(event.target) || document.querySelector('dialog[open]');
      if (by && !modified && !used) this.#step(by);
    };
    addEventListener('keydown', this.walk);
  }

  /** @param {number} by */
  #step(by) {
    const { layer, unit } = unitOf(this.what);
    const units = this.#facts(layer)?.units ?? 0;
    if (unit + by >= 0 && unit + by < units) go({ what: `${layer}:${unit + by}`, query: sideOf(here()) });
  }

  /** @param {string} layer */
  #facts(layer) {
    return this.about.layers.find((facts) => facts.name === layer);
  }

  /** @param {State} state */
  async update(state) {
    const { layer, unit } = unitOf(state.what);
    const facts = /** @type {LayerFacts} */ (this.#facts(layer));
    title(state.what, `${this.about.name}@${this.about.version}`);
    if (this.what !== state.what) {
      this.what = state.what;
      this.abort.abort();
      this.abort = new AbortController();
      this.#draw(state, facts, unit);
      say(`Unit ${unit} of ${layer}`);
      this.root.scrollTop = 0;
    }
    for (const [link, by] of this.steps) {
      link.setAttribute('href', href({ ...state, what: `${layer}:${unit + by}`, query: sideOf(state) }));
    }
    this.#drawPatches(state, facts, unit);
  }

  /** @param {State} state @param {LayerFacts} facts @param {number} unit */
  #draw(state, facts, unit) {
    const [lead, links, cells] = [h('p', { class: 'lead' }), h('div'), h('div')];
    const jumps = h('nav', { class: 'jumps small', 'aria-label': 'on this page' });
    const pictures = h('div', { class: 'unit-made' });
    const columns = h('div', { class: 'columns' });
    this.patches = h('div', { class: 'unit-patches' });
    const top = h('div', { class: 'unit-top' }, pictures, this.patches);
    const parts = [this.#header(state, facts, unit), trail(state, this.about), lead, jumps, top, columns, links, cells];
    fill(this.root, h('article', { class: 'page wide unit' }, ...parts));
    const { about } = this;
    const { signal } = this.abort;
    const getUnit = () => /** @type {Promise<Unit>} */ (ask('unit', { layer: facts.name, unit }));
    const getCard = () => /** @type {Promise<Card>} */ (ask('card', { layer: facts.name, unit }));
    fillAsync(pictures, getUnit, (answer) => [synthetic(answer, about), facets(answer, about, signal)], [224, 224]);
    fillAsync(cells, getUnit, (answer) => strongestCells(state, facts, answer), [0, 96]);
    const getBoth = () => Promise.all([getUnit(), getCard()]);
    const drawCard = (/** @type {[Unit, Card]} */ [one, answer]) => {
      fill(lead, summary(one, answer));
      return card(state, one, answer, about);
    };
    fillAsync(columns, getBoth, drawCard, [0, 180]);
    fillAsync(links, getCard, (answer) => influence(state, answer, about), [0, 180]).then(() =>
      fill(jumps, ...jumpsTo(links)),
    );
  }

  /** @param {State} state @param {LayerFacts} facts @param {number} unit */
  #header(state, { name: layer, units }, unit) {
    const step = (/** @type {number} */ to, /** @type {'prev' | 'next'} */ rel) => ({
      class: 'icon-button wide',
      rel,
      'aria-label': `unit ${to}`,
    });
    const before = h('a', step(unit - 1, 'prev'), sign(SIGNS.left), String(unit - 1));
    const after = h('a', step(unit + 1, 'next'), String(unit + 1), sign(SIGNS.right));
    this.steps = [
      [before, -1],
      [after, 1],
    ];
    const copier = (/** @type {() => string} */ text) => ({
      class: 'link',
      onclick: (/** @type {any} */ event) => copy(text(), event.currentTarget),
    });
    const command = actlas(this.about, 'top', versionName(this.about), `${layer}:${unit}`);
    const all = h('a', { class: 'quiet', href: href({ ...state, place: 'units', what: layer, query: {} }) }, layer);
    const nav = h(
      'nav',
      { class: 'steps', 'aria-label': 'units' },
      unit > 0 && before,
      unit + 1 < units && after,
      h(
        'button',
        copier(() => location.href),
        'copy link',
      ),
      h(
        'button',
        copier(() => command),
        'copy command',
      ),
      figureButton(() => unitFigure(this.about), 'link'),
    );
    return h('header', { class: 'page-head' }, h('h1', { class: 'title' }, all, ' : ', String(unit)), nav);
  }

  /** Show the patches of the chosen side. @param {State} state @param {LayerFacts} facts @param {number} unit */
  #drawPatches(state, { name: layer }, unit) {
    const chosen = SIDES.some(([side]) => side === state.query.side) ? state.query.side : 'positive';
    const tabs = h(
      'div',
      { class: 'tabs', role: 'tablist', 'aria-label': 'patches' },
      ...SIDES.map(([side, words]) => tab(side, words, chosen)),
    );
    const body = h('div', { id: 'side', role: 'tabpanel', 'aria-labelledby': `tab-${chosen}`, tabindex: -1 });
    const active = document.activeElement;
    const focused = this.patches.contains(active) && active?.getAttribute('role') === 'tab';
    fill(this.patches, tabs, body);
    if (focused) /** @type {HTMLElement | null} */ (tabs.querySelector('[aria-selected=true]'))?.focus();
    const { about } = this;
    const { signal } = this.abort;
    if (chosen === 'range') {
      const draw = (/** @type {Card} */ answer) => rangePatches(state, answer, about, signal);
      return fillAsync(body, () => ask('card', { layer, unit }), draw, [0, 224]);
    }
    const side = /** @type {'positive' | 'negative'} */ (chosen);
    const draw = (/** @type {Unit} */ answer) => sidePatches(state, answer, side, about, signal);
    fillAsync(body, () => ask('unit', { layer, unit }), draw, [0, 224]);
  }

  close() {
    this.abort.abort();
    removeEventListener('keydown', this.walk);
  }
}

/** Return buttons that lead down to the sections of a box. @param {HTMLElement} box */
const jumpsTo = (box) =>
  [...box.querySelectorAll('h2')].map((heading) => {
    const onclick = () => {
      heading.tabIndex = -1;
      heading.focus({ preventScroll: true });
      heading.scrollIntoView({ block: 'start' });
    };
    return h('button', { class: 'link', onclick }, `${heading.textContent} ↓`);
  });

/** Return the parameters kept from unit to unit. @param {State} state @returns {Record<string, string>} */
const sideOf = ({ query }) => (query.side ? { side: query.side } : {});

/** @param {string} side @param {string} words @param {string} chosen */
function tab(side, words, chosen) {
  return h(
    'button',
    {
      class: 'tab',
      role: 'tab',
      id: `tab-${side}`,
      'aria-controls': 'side',
      'aria-selected': String(side === chosen),
      tabindex: side === chosen ? 0 : -1,
      onclick: () => setSide(side),
      onkeydown: (/** @type {KeyboardEvent} */ event) => changeTab(event, chosen),
    },
    words,
  );
}

/** @param {string} side */
const setSide = (side) => setQuery({ side: side === 'positive' ? null : side }, { replace: true });

/** Change the tab by the arrow keys. @param {KeyboardEvent} event @param {string} chosen */
function changeTab(event, chosen) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  event.stopPropagation();
  const names = SIDES.map(([side]) => side);
  setSide(names[(names.indexOf(chosen) + by + names.length) % names.length]);
}

/** Link the units that led here. @param {State} state @param {About} about */
function trail(state, about) {
  const units = trailOf(state, about);
  if (!units.length) return null;
  const links = units.map((what, i) => {
    const { layer, unit } = unitOf(what);
    const query = i ? { trail: units.slice(0, i).join('~') } : {};
    return h(
      'a',
      { href: href({ ...state, what, query: /** @type {any} */ (query) }) },
      face(layer, unit, 20),
      what,
      ' →',
    );
  });
  return h('nav', { class: 'trail small', 'aria-label': 'trail' }, ...links);
}
