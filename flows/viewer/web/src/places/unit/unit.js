// One unit: what it wants to see, what it saw, where it is strong, what drives it and what it drives.

import { here, href, trailOf, unitOf } from '../../state/address.js';
import { ask, live, mapped, picture } from '../../data/client.js';
import { fill, h, SIGNS, sign } from '../../ui/dom.js';
import { many, number, percent, signed } from '../../ui/format.js';
import { go, turn } from '../../state/navigate.js';
import { say, title } from '../../ui/announce.js';
import { takesArrows } from '../../ui/keyboard.js';
import { bars, chip, coming, copy, face, image, missing, section } from '../../ui/components.js';
import { histogram, swing } from '../../ui/charts.js';
import { facets } from './facets.js';
import { gradients } from './gradients.js';
import { influence } from './influence.js';
import { load } from '../../map/grid.js';
import { icon } from '../../map/sprites.js';

/** @typedef {import('../../state/address.js').State} State */

const SIDES = /** @type {[string, string][]} */ ([
  ['positive', 'Strongest'],
  ['negative', 'Most negative'],
  ['range', 'Over its range'],
]);

export class UnitPlace {
  /** @param {{ root: HTMLElement, about: About }} place */
  constructor({ root, about }) {
    this.root = root;
    this.about = about;
    this.what = '';
    /** The links to the unit before and after. @type {[HTMLElement, number][]} */
    this.ways = [];
    /** Ends what was asked for the unit that is left. */
    this.leaving = new AbortController();
    this.walk = (/** @type {KeyboardEvent} */ event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (
        by &&
        !event.defaultPrevented &&
        !takesArrows(event.target) &&
        !document.querySelector('dialog[open]') &&
        !event.altKey &&
        !event.ctrlKey &&
        !event.metaKey
      )
        this.#step(by);
    };
    addEventListener('keydown', this.walk);
  }

  /** @param {number} by */
  #step(by) {
    const { layer, unit } = unitOf(this.what);
    const units = this.about.layers.find((known) => known.name === layer)?.units ?? 0;
    if (unit + by >= 0 && unit + by < units) go({ what: `${layer}:${unit + by}`, query: sideOf(here()) });
  }

  /** @param {State} state */
  async update(state) {
    const { layer, unit } = unitOf(state.what);
    const facts = /** @type {LayerFacts} */ (this.about.layers.find((known) => known.name === layer));
    title(state.what, `${this.about.name}@${this.about.version}`);
    if (this.what !== state.what) {
      this.what = state.what;
      this.leaving.abort();
      this.leaving = new AbortController();
      this.#frame(state, facts, unit);
      say(`Unit ${unit} of ${layer}`);
      this.root.scrollTop = 0;
    }
    for (const [way, by] of this.ways)
      way.setAttribute('href', href({ ...state, what: `${layer}:${unit + by}`, query: sideOf(state) }));
    this.#sides(state, facts, unit);
  }

  /** @param {State} state @param {LayerFacts} facts @param {number} unit */
  #frame(state, facts, unit) {
    const layer = facts.name;
    const { signal } = this.leaving;
    const before = h(
      'a',
      { class: 'icon-button wide', rel: 'prev', 'aria-label': `unit ${unit - 1}` },
      sign(SIGNS.left),
      String(unit - 1),
    );
    const after = h(
      'a',
      { class: 'icon-button wide', rel: 'next', 'aria-label': `unit ${unit + 1}` },
      String(unit + 1),
      sign(SIGNS.right),
    );
    this.ways = [
      [before, -1],
      [after, 1],
    ];
    const lead = h('p', { class: 'lead' });
    this.patches = h('div', { class: 'unit-patches' });
    const made = h('div', { class: 'unit-made' });
    const facts1 = h('div', { class: 'columns' });
    const links = h('div');
    const where = h('div');
    fill(
      this.root,
      h(
        'article',
        { class: 'page wide unit' },
        h(
          'header',
          { class: 'page-head' },
          h(
            'h1',
            { class: 'title' },
            h('a', { class: 'quiet', href: href({ ...state, place: 'units', what: layer, query: {} }) }, layer),
            ' : ',
            String(unit),
          ),
          h(
            'nav',
            { class: 'steps', 'aria-label': 'units' },
            unit > 0 && before,
            unit + 1 < facts.units && after,
            h(
              'button',
              { class: 'link', onclick: (/** @type {any} */ event) => copy(location.href, event.currentTarget) },
              'copy link',
            ),
            h(
              'button',
              {
                class: 'link',
                onclick: (/** @type {any} */ event) =>
                  copy(`actlas top ${this.about.name}@${this.about.version} ${layer}:${unit}`, event.currentTarget),
              },
              'copy command',
            ),
          ),
        ),
        trail(state, this.about),
        lead,
        h('div', { class: 'unit-top' }, made, this.patches),
        facts1,
        links,
        where,
      ),
    );
    coming(
      made,
      () => ask('unit', { layer, unit }),
      (/** @type {Unit} */ found) => [synthetic(found, this.about), facets(found, this.about, signal)],
      [224, 224],
    );
    coming(
      where,
      () => ask('unit', { layer, unit }),
      (/** @type {Unit} */ found) => strong(state, facts, found),
      [0, 96],
    );
    coming(
      facts1,
      () => ask('card', { layer, unit }),
      (/** @type {Card} */ found) => {
        ask('unit', { layer, unit }).then(
          (/** @type {Unit} */ one) => fill(lead, sentence(one, found)),
          () => {},
        );
        return told(state, found, this.about);
      },
      [0, 180],
    );
    coming(
      links,
      () => ask('card', { layer, unit }),
      (/** @type {Card} */ found) => influence(state, found, this.about),
      [0, 180],
    );
  }

  /** The patches of the side that is chosen. @param {State} state @param {LayerFacts} facts @param {number} unit */
  #sides(state, facts, unit) {
    const chosen = SIDES.some(([side]) => side === state.query.side) ? state.query.side : 'positive';
    const tabs = h(
      'div',
      { class: 'tabs', role: 'tablist', 'aria-label': 'patches' },
      ...SIDES.map(([side, words]) =>
        h(
          'button',
          {
            class: 'tab',
            role: 'tab',
            id: `tab-${side}`,
            'aria-controls': 'side',
            'aria-selected': String(side === chosen),
            tabindex: side === chosen ? 0 : -1,
            onclick: () => turn({ side: side === 'positive' ? null : side }, { replace: true }),
            onkeydown: (/** @type {KeyboardEvent} */ event) => tabbed(event, chosen),
          },
          words,
        ),
      ),
    );
    const body = h('div', { id: 'side', role: 'tabpanel', 'aria-labelledby': `tab-${chosen}`, tabindex: -1 });
    const focused =
      this.patches?.contains(document.activeElement) && document.activeElement?.getAttribute('role') === 'tab';
    fill(/** @type {HTMLElement} */ (this.patches), tabs, body);
    if (focused) /** @type {HTMLElement | null} */ (tabs.querySelector('[aria-selected=true]'))?.focus();
    const place = { layer: facts.name, unit };
    if (chosen === 'range')
      coming(
        body,
        () => ask('card', place),
        (/** @type {Card} */ found) => range(state, found, this.about, this.leaving.signal),
        [0, 224],
      );
    else
      coming(
        body,
        () => ask('unit', place),
        (/** @type {Unit} */ found) =>
          side(state, found, /** @type {'positive'} */ (chosen), this.about, this.leaving.signal),
        [0, 224],
      );
  }

  close() {
    this.leaving.abort();
    removeEventListener('keydown', this.walk);
  }
}

/** What a walk from unit to unit keeps: the side that is looked at. @param {State} state @returns {Record<string, string>} */
const sideOf = ({ query }) => (query.side ? { side: query.side } : {});

/** Arrow keys turn tabs. @param {KeyboardEvent} event @param {string} chosen */
function tabbed(event, chosen) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  event.stopPropagation();
  const names = SIDES.map(([side]) => side);
  const next = names[(names.indexOf(chosen) + by + names.length) % names.length];
  turn({ side: next === 'positive' ? null : next }, { replace: true });
}

/** The units one came by. @param {State} state @param {About} about */
function trail(state, about) {
  const units = trailOf(state, about);
  if (!units.length) return null;
  return h(
    'nav',
    { class: 'trail small', 'aria-label': 'the way here' },
    ...units.map((what, i) =>
      h(
        'a',
        { href: href({ ...state, what, query: i ? { trail: units.slice(0, i).join('~') } : {} }) },
        face(unitOf(what).layer, unitOf(what).unit, 20),
        what,
        ' →',
      ),
    ),
  );
}

/** @param {Unit} unit @param {Card} card */
function sentence(unit, card) {
  const labels = card.labels.counts.slice(0, 3).map((row) => row.label);
  const parts = [
    labels.length ? `Fires for ${labels.join(', ')}` : 'No labels to go by',
    unit.positive.extreme === null ? 'never finite' : `at most ${number(unit.positive.extreme)}`,
    card.samples && `above zero on ${percent(card.samples.above_zero)} of positions`,
  ];
  return `${parts.filter(Boolean).join('\u00a0· ')}.`;
}

/** @param {Unit} unit @param {About} about */
function synthetic(unit, about) {
  if (!unit.gallery) return missing('This run has no pictures of its units yet.', about.missing.gallery);
  const { best, patch, dead } = unit.gallery;
  const words = `a picture optimised to excite unit ${unit.unit} of ${unit.layer}`;
  return h(
    'figure',
    {},
    image(picture('synthetic', { layer: unit.layer, unit: unit.unit }), words, 224),
    h(
      'figcaption',
      { class: 'quiet small' },
      dead
        ? 'Nothing excites this unit.'
        : [
            'Synthetic: reaches ',
            number(best),
            patch && patch > 0 ? `, ${number((best ?? 0) / patch)} × its strongest patch.` : '.',
          ],
    ),
  );
}

/** @param {State} state @param {Unit} unit @param {'positive' | 'negative'} name @param {About} about @param {AbortSignal} leaving */
function side(state, unit, name, about, leaving) {
  const found = unit[name];
  const ranks = new Set(name === 'positive' ? (unit.gradients?.ranks ?? []) : []);
  const patches = found.patches.slice(0, Math.max(found.pictures, 0)).map((patch) => {
    const place = { layer: unit.layer, unit: unit.unit, sign: name, rank: patch.rank };
    const words = `${patch.label || 'no label'}, ${number(patch.value)}`;
    const to = href({
      ...state,
      place: 'image',
      what: String(patch.image_id),
      query: { layer: unit.layer, at: `${patch.y},${patch.x}` },
    });
    return h(
      'li',
      {},
      h(
        'a',
        { href: to, title: words, 'data-patch': patch.rank },
        image(picture('patch', place), words),
        ranks.has(patch.rank) &&
          h('img', {
            class: 'gradient',
            src: picture('gradient', { layer: unit.layer, unit: unit.unit, rank: patch.rank }),
            alt: '',
            loading: 'lazy',
          }),
      ),
      h('span', { class: 'num small' }, number(patch.value)),
      h('span', { class: 'unit-label quiet small' }, patch.label ?? ''),
    );
  });
  const list = h('ol', { class: 'shots' }, ...patches);
  return [
    found.note && h('p', { class: 'note' }, `${found.note}.`),
    list,
    !patches.length && h('p', { class: 'quiet' }, 'No patch was stored.'),
    gradients(
      list,
      { layer: unit.layer, unit: unit.unit, side: name },
      ranks.size ? (unit.gradients?.method ?? null) : null,
      about,
      leaving,
    ),
    name === 'positive' &&
      !unit.gradients &&
      about.missing.gradients &&
      h(
        'details',
        { class: 'small' },
        h('summary', {}, 'Keep them with the run'),
        missing('This run keeps no gradients yet.', about.missing.gradients),
      ),
  ];
}

/** Examples from the bottom to the top of its range. @param {State} state @param {Card} card @param {About} about @param {AbortSignal} leaving */
function range(state, card, about, leaving) {
  if (!live())
    return h(
      'p',
      { class: 'quiet' },
      'Examples over its range are cut from the images, which exported files do not hold: actlas view shows them.',
    );
  if (!card.intervals.length) return h('p', { class: 'quiet' }, 'There are no samples.');
  const first = card.intervals.map((_, part) =>
    card.intervals.slice(0, part).reduce((sum, one) => sum + one.examples.length, 0),
  );
  const list = h(
    'ol',
    { class: 'range' },
    ...[...card.intervals.entries()].reverse().map(([part, interval]) =>
      h(
        'li',
        {},
        h(
          'span',
          { class: 'num small quiet range-name' },
          `${number(interval.from)} to ${number(interval.to)}`,
          h('br'),
          percent(interval.share),
        ),
        h(
          'span',
          { class: 'range-shots' },
          ...interval.examples.map((example, i) =>
            h(
              'a',
              {
                href: href({
                  ...state,
                  place: 'image',
                  what: String(example.image_id),
                  query: { layer: card.layer, at: `${example.y},${example.x}` },
                }),
                'data-patch': first[part] + i,
                title: `${example.label ?? ''} ${number(example.value)}`,
              },
              image(
                picture('crop', { layer: card.layer, unit: card.unit, part, example: i }),
                `${example.label || 'no label'}, ${number(example.value)}`,
              ),
            ),
          ),
        ),
      ),
    ),
  );
  return [list, gradients(list, { layer: card.layer, unit: card.unit, side: 'range' }, null, about, leaving)];
}

/** @param {State} state @param {Card} card @param {About} about */
function told(state, card, about) {
  const most = Math.max(1, ...card.labels.counts.map((row) => row.patches));
  return [
    card.samples &&
      section(
        'Values',
        histogram(card.samples),
        h(
          'p',
          { class: 'quiet small' },
          `Mean ${number(card.samples.mean)}, deviation ${number(card.samples.deviation)}, ${percent(card.samples.zeros)} exactly zero, of ${many(card.samples.count, 'sample')}.`,
        ),
      ),
    card.labels.counts.length > 0 &&
      section(
        `Labels of its ${card.labels.patches} strongest patches`,
        bars(
          card.labels.counts.slice(0, 6).map((row) => ({
            name: row.label,
            share: row.patches / most,
            value: String(row.patches),
            href: href({ ...state, place: 'units', what: card.layer, query: { label: row.label } }),
          })),
          'plain',
        ),
      ),
    card.classes
      ? section(
          'Classes it speaks for, and against',
          h(
            'ul',
            { class: 'bars signed' },
            ...[...card.classes.for.slice(0, 4), ...card.classes.against.slice(0, 2)].map((row) =>
              h(
                'li',
                {},
                classLink(state, card.layer, row),
                swing(row.correlation),
                h('span', { class: 'num' }, signed(row.correlation)),
              ),
            ),
          ),
        )
      : about.classes > 0 &&
        section(
          'Classes it speaks for',
          missing('This run does not know what its cells speak for.', about.missing.attribution),
        ),
    card.alike.activation.length > 0 &&
      h(
        'section',
        { class: 'section alike' },
        h('h2', {}, 'Units like it'),
        h(
          'div',
          { class: 'chips' },
          ...card.alike.activation
            .slice(0, 6)
            .map((row) => chip(state, card.layer, row.unit, h('span', { class: 'num quiet' }, number(row.cosine)))),
        ),
        live() &&
          h(
            'p',
            { class: 'small' },
            h(
              'a',
              { href: href({ ...state, place: 'units', what: card.layer, query: { sort: `like:${card.unit}` } }) },
              'All units by likeness',
            ),
          ),
      ),
  ];
}

/** A class with the way to its map, where there is one. @param {State} state @param {string} layer @param {{ class: number, name: string }} row */
function classLink(state, layer, row) {
  const words = row.name.split(',')[0];
  if (!mapped(row.class))
    return h('span', { class: 'bars-name', title: 'These files hold no map of this class' }, words);
  return h(
    'a',
    { class: 'bars-name', href: href({ ...state, place: 'atlas', what: layer, query: { class: String(row.class) } }) },
    words,
  );
}

/** @param {State} state @param {LayerFacts} facts @param {Unit} unit */
async function strongCells(state, facts, unit) {
  const grid = await load(
    facts,
    /** @type {GridFacts} */ (facts.grids.find((known) => known.grid === unit.cells?.grid)),
  );
  return (unit.cells?.strongest ?? []).map((cell) => {
    const i = grid.at(cell.row, cell.col);
    const words = `cell ${cell.row},${cell.col}: mean ${number(cell.mean)}`;
    const to = href({
      ...state,
      place: 'atlas',
      what: unit.layer,
      query: { grid: String(grid.size), cell: `${cell.row},${cell.col}`, shade: `unit:${unit.unit}` },
    });
    return h(
      'a',
      { href: to, title: words, 'aria-label': words },
      i >= 0 && grid.facts.icon > 0 ? icon(grid, i, 72, '') : `${cell.row},${cell.col}`,
    );
  });
}

/** @param {State} state @param {LayerFacts} facts @param {Unit} unit */
function strong(state, facts, unit) {
  if (!unit.cells) return null;
  const box = h('div', { class: 'near' });
  coming(
    box,
    () => strongCells(state, facts, unit),
    (cells) => cells,
    [0, 72],
  );
  const shade = href({ ...state, place: 'atlas', what: unit.layer, query: { shade: `unit:${unit.unit}` } });
  return section(
    'Where on the atlas it is strong',
    box,
    h('p', { class: 'small' }, h('a', { href: shade }, 'Shade the atlas by this unit')),
  );
}
