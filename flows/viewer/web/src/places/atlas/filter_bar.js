// The bar over the map with what is asked for, as chips, and the most frequent names to ask for next.

import { hasClassMap } from '../../data/client.js';
import { questionOf, withName, withoutName } from '../../state/question.js';
import { here } from '../../state/address.js';
import { setQuery } from '../../state/navigate.js';
import { fill, h } from '../../ui/dom.js';
import { count, many } from '../../ui/format.js';
import { nameChip, searchButton } from '../../ui/name_chip.js';
import { tallyOf } from './answer.js';

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {import('../../state/question.js').Kind} Kind */
/** @typedef {import('../../state/question.js').Question} Question */
/** @typedef {import('./answer.js').Answer} Answer */

/** How many names are offered. */
const OFFERED = 3;

/** What the number of a chip counts. @type {Record<Kind, string>} */
const COUNTED = { class: 'of which it is the strongest class', label: 'that have this label' };

const short = (/** @type {string} */ name) => name.split(',')[0];

/** The number of a chip, in words. @param {import('./answer.js').Part} part @param {Kind} kind */
function inWords({ samples, of_all: all }, kind) {
  const counted = `${count(samples)} of ${many(all, 'sample')}`;
  return kind === 'class' ? `strongest in ${counted}` : counted;
}

export class FilterBar {
  constructor() {
    this.chips = h('div', { class: 'filter-chips' });
    this.offers = h('div', { class: 'filter-offers' });
    this.any = searchButton('Any other name …', 'Find any class or label to show on the map', 'Class or label');
    const attributes = { class: 'filter-bar', role: 'group', 'aria-label': 'What the map shows' };
    this.element = h('div', attributes, this.chips, this.offers, this.any);
    /** The question that the chips are about, and the grid that is counted. */
    this.question = '';
    this.grid = '';
  }

  /** @param {State} state @param {import('../../map/grid.js').Grid} grid @param {Answer | null} answer null while it is loading */
  async update(state, grid, answer) {
    const question = questionOf(state.query);
    const name = JSON.stringify(question);
    const counted = `${grid.layer.name} ${grid.size}`;
    if (this.question !== name || answer) this.#drawChips(question, answer);
    Object.assign(this, { question: name, grid: counted });
    const tally = await tallyOf(grid).catch(() => null);
    if (tally && this.question === name && this.grid === counted)
      this.#offer(question, answer, tally, grid.hasAttribution);
  }

  /** @param {Question | null} question @param {Answer | null} answer */
  #drawChips(question, answer) {
    const focused = [...this.chips.querySelectorAll('button')].indexOf(/** @type {any} */ (document.activeElement));
    const waiting = (/** @type {string} */ value) => (question?.kind === 'class' && /^\d+$/.test(value) ? '…' : value);
    const values = question?.values ?? [];
    const chips = values.map((value, place) => chip(place, answer?.parts[place]?.name ?? waiting(value), answer));
    const [one, other] = chips;
    const versus = h('span', { class: 'quiet small' }, 'against');
    fill(this.chips, one ?? h('span', { class: 'quiet small' }, 'Show'), other && [versus, other]);
    if (focused >= 0) this.#focusChip(focused);
  }

  /** Focus the button of a chip, or of the last; without chips, the one that leads to the search. @param {number} place */
  #focusChip(place) {
    const buttons = this.chips.querySelectorAll('button');
    (buttons[Math.min(place, buttons.length - 1)] ?? this.any).focus();
  }

  /** Offer the most frequent names that are not shown yet. @param {Question | null} question @param {Answer | null} answer @param {Tally} tally @param {boolean} attributed */
  #offer(question, answer, tally, attributed) {
    const classes = tally.classes.filter(([number]) => attributed && hasClassMap(number));
    const kind = question?.kind ?? (classes.length ? 'class' : 'label');
    const rows = kind === 'class' ? classes : tally.labels;
    const taken = [...(question?.values ?? []), ...(answer?.parts.map(({ name }) => name) ?? [])];
    const free = rows.filter(
      ([number, name]) => !taken.some((one) => [String(number), name, short(name)].includes(one)),
    );
    const first = answer?.parts[0].name ?? question?.values[0] ?? '';
    const offers = free.slice(0, OFFERED).map(([number, name, samples]) => {
      const value = kind === 'class' ? String(number) : name;
      return offer(kind, value, kind === 'class' ? short(name) : name, samples, first);
    });
    const alone = question?.values.length === 1;
    const focused = this.offers.contains(document.activeElement);
    fill(this.offers, alone && offers.length > 0 && h('span', { class: 'quiet small' }, 'against'), ...offers);
    this.offers.hidden = (question?.values.length ?? 0) > 1;
    this.element.hidden = !question && !rows.length;
    if (focused) this.#focusChip(1);
  }
}

/** @param {number} place @param {string} name @param {Answer | null} answer */
function chip(place, name, answer) {
  const part = answer?.parts[place];
  return nameChip(name, () => setQuery(withoutName(here().query, place)), {
    before: h('span', { class: place ? 'swatch second' : 'swatch', 'aria-hidden': 'true' }),
    count: part && answer && inWords(part, answer.kind),
    title: part && answer && `${many(part.samples, 'sample')} ${COUNTED[answer.kind]}`,
  });
}

/** @param {Kind} kind @param {string} value @param {string} name @param {number} samples @param {string} against */
function offer(kind, value, name, samples, against) {
  const words = `${against ? `${name} against ${against}` : `Show ${name}`}: ${many(samples, 'sample')} ${COUNTED[kind]}`;
  const onclick = () => setQuery(withName(here().query, kind, value));
  return h(
    'button',
    { class: 'filter-offer', title: words, onclick },
    h('span', { class: 'filter-name' }, name),
    h('span', { class: 'num quiet' }, many(samples, 'sample')),
  );
}
