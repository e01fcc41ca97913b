// The influence between units of two layers, strongest first: one link is on show, and a click keeps it there.

import { href, trailOf } from '../../state/address.js';
import { h } from '../../ui/dom.js';
import { signed } from '../../ui/format.js';
import { face, lacks, section } from '../../ui/components.js';
import { swing } from '../../ui/charts.js';
import { LinkDetails } from './link_details.js';

const MOST = 8;
const TRAIL = 6;

/** How long the pointer must rest on a link before it is shown, in milliseconds: rows merely crossed are ignored. */
const REST = 250;

/** @typedef {import('./link_details.js').Link} Link */

/** @param {import('../../state/address.js').State} state @param {Card} card @param {About} about */
export function influence(state, card, about) {
  if (!card.drives && !card.driven) {
    if (about.missing.influence)
      return section('Influence', lacks(about, 'influence', 'This run has no influence yet.'));
    return section(
      'Influence',
      h('p', { class: 'quiet' }, 'This unit is not among the strongest links between layers.'),
    );
  }
  const details = new LinkDetails(state, about);
  const choice = new Choice(details);
  const parts = h(
    'div',
    { class: 'influence' },
    card.driven &&
      side(
        state,
        card,
        `Driven by units of ${card.driven.layer}`,
        String(card.driven.layer),
        card.driven,
        choice,
        true,
      ),
    card.drives?.later_layer &&
      side(
        state,
        card,
        `Drives units of ${card.drives.later_layer}`,
        card.drives.later_layer,
        card.drives,
        choice,
        false,
      ),
    details.element,
  );
  choice.start(parts);
  return parts;
}

/**
 * @param {import('../../state/address.js').State} state @param {Card} card @param {string} words @param {string} layer
 * @param {Pick<Effects, 'exciting' | 'inhibiting'>} effects @param {Choice} choice @param {boolean} backwards
 */
function side(state, card, words, layer, effects, choice, backwards) {
  const rows = [...effects.exciting, ...effects.inhibiting]
    .sort((a, b) => Math.abs(b.influence) - Math.abs(a.influence))
    .slice(0, MOST);
  const most = Math.max(...rows.map((row) => Math.abs(row.influence)), 1e-12);
  const trail = [...trailOf(state, choice.details.about), `${card.layer}:${card.unit}`].slice(-TRAIL).join('~');
  return section(
    words,
    h(
      'ul',
      { class: 'links' },
      ...rows.map((effect) => {
        const [here, other] = [
          { layer: card.layer, unit: card.unit },
          { layer, unit: effect.unit },
        ];
        const address = href({ ...state, place: 'unit', what: `${layer}:${effect.unit}`, query: { trail } });
        const [from, to] = backwards ? [other, here] : [here, other];
        return h('li', {}, choice.row({ from, to, other, effect, address }, most));
      }),
    ),
  );
}

/** The rows of the links: which of them is on show, and whether it is kept there. */
class Choice {
  /** @param {LinkDetails} details */
  constructor(details) {
    this.details = details;
    /** @type {Map<Link, HTMLElement>} */
    this.rows = new Map();
    /** @type {Link | null} */
    this.kept = null;
  }

  /** Return the row of a link. @param {Link} link @param {number} most the influence of a full bar */
  row(link, most) {
    const { layer, unit } = link.other;
    const point = () => this.#rest(link);
    const leave = () => clearTimeout(this.resting);
    const pointed = { onpointerenter: point, onfocus: point, onpointerleave: leave, onblur: leave };
    const row = h(
      'button',
      { class: 'link-row', 'aria-pressed': 'false', onclick: () => this.#press(link), ...pointed },
      face(layer, unit, 40),
      h('span', { class: 'chip-name' }, String(unit)),
      swing(link.effect.influence / most),
      h('span', { class: 'num' }, signed(link.effect.influence)),
    );
    this.rows.set(link, row);
    return row;
  }

  /** Show the first link; the model is asked once it comes into view. @param {HTMLElement} parts */
  start(parts) {
    const [first] = this.rows.keys();
    if (!first) return;
    this.#show(first, false);
    const watch = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      if (this.details.link === first) this.details.show(first, true);
    });
    watch.observe(parts.querySelector('.carried') ?? parts);
  }

  /** Show a link once the pointer or the focus rests on it, unless another is kept. @param {Link} link */
  #rest(link) {
    clearTimeout(this.resting);
    if (!this.kept) this.resting = setTimeout(() => this.#show(link), REST);
  }

  /** Keep a link, or let go of the one that is kept. @param {Link} link */
  #press(link) {
    clearTimeout(this.resting);
    this.kept = this.kept === link ? null : link;
    this.#show(link);
  }

  /** @param {Link} link */
  #show(link, compute = true) {
    for (const [one, row] of this.rows) {
      row.setAttribute('aria-pressed', String(one === this.kept));
      row.classList.toggle('shown', one === link);
    }
    this.details.show(link, compute);
  }
}
