// The influence between units of two layers, strongest first, and the patches that carry the link under the pointer.

import { href, trailOf } from '../../state/address.js';
import { ask, live, picture, askModel } from '../../data/client.js';
import { fill, h } from '../../ui/dom.js';
import { percent, signed } from '../../ui/format.js';
import { say } from '../../ui/announce.js';
import { command, face, failed, image, lacks, section } from '../../ui/components.js';
import { swing } from '../../ui/charts.js';

const MOST = 8;
const TRAIL = 6;

/** How long the pointer must rest on a link before the model is asked, in milliseconds. */
const REST = 250;

/** A link: `from` drives `to`; `other` is the one that is not the unit of the page. @typedef {{ from: UnitId, to: UnitId, other: UnitId, effect: Effects['exciting'][0] }} Link */
/** @typedef {{ layer: string, unit: number }} UnitId */

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
  const details = new LinkDetails(about);
  return h(
    'div',
    { class: 'influence' },
    card.driven &&
      side(
        state,
        card,
        `Driven by units of ${card.driven.layer}`,
        String(card.driven.layer),
        card.driven,
        details,
        true,
      ),
    card.drives?.later_layer &&
      side(
        state,
        card,
        `Drives units of ${card.drives.later_layer}`,
        card.drives.later_layer,
        card.drives,
        details,
        false,
      ),
    details.element,
  );
}

/**
 * @param {import('../../state/address.js').State} state @param {Card} card @param {string} words @param {string} layer
 * @param {Pick<Effects, 'exciting' | 'inhibiting'>} effects @param {LinkDetails} details @param {boolean} backwards
 */
function side(state, card, words, layer, effects, details, backwards) {
  const rows = [...effects.exciting, ...effects.inhibiting]
    .sort((a, b) => Math.abs(b.influence) - Math.abs(a.influence))
    .slice(0, MOST);
  const most = Math.max(...rows.map((row) => Math.abs(row.influence)), 1e-12);
  const trail = [...trailOf(state, details.about), `${card.layer}:${card.unit}`].slice(-TRAIL).join('~');
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
        const point = () =>
          details.show({ from: backwards ? other : here, to: backwards ? here : other, other, effect });
        return h(
          'li',
          {},
          h(
            'a',
            {
              href: href({ ...state, place: 'unit', what: `${layer}:${effect.unit}`, query: { trail } }),
              onpointerenter: point,
              onfocus: point,
            },
            face(layer, effect.unit, 40),
            h('span', { class: 'chip-name' }, String(effect.unit)),
            swing(effect.influence / most),
            h('span', { class: 'num' }, signed(effect.influence)),
          ),
        );
      }),
    ),
  );
}

/** Details of a link: the other unit's picture, and the patches that carry the link. */
class LinkDetails {
  /** @param {About} about */
  constructor(about) {
    this.about = about;
    this.element = h(
      'div',
      { class: 'carried' },
      h('p', { class: 'quiet small' }, 'Hover a link to highlight the patches that carry it.'),
    );
    /** @type {Link | null} */
    this.link = null;
  }

  /** @param {Link} link */
  async show(link) {
    if (this.link?.other.layer === link.other.layer && this.link.other.unit === link.other.unit) return;
    this.link = link;
    clearTimeout(this.resting);
    const [from] = await Promise.all([ask('unit', link.from), ask('unit', link.other)]).catch(() => [null]);
    if (this.link !== link || !from) return;
    const shots = /** @type {Unit} */ (from).positive.patches
      .filter((patch) => patch.rank < from.positive.pictures && patch.value !== 0)
      .slice(0, MOST)
      .map((patch) => new Shot(link, patch));
    const status = h('div', { class: 'small quiet' });
    fill(this.element, this.#head(link), h('ol', { class: 'carriers' }, ...shots.map((shot) => shot.element)), status);
    const need = 'The model is needed to tell how strongly each patch carries it';
    if (!live()) fill(status, `${need}:`, command(this.about.commands.view));
    else if (!this.about.uploads) status.textContent = `${need}: this viewer was started with --no-uploads.`;
    else {
      status.textContent = 'Asking the model …';
      this.resting = setTimeout(() => this.#light(link, shots, status), REST);
    }
  }

  /** @param {Link} link */
  #head({ from, to, other, effect }) {
    const facts = this.about.layers.find((layer) => layer.name === other.layer);
    const large = facts?.has.includes('gallery')
      ? picture('synthetic', { layer: other.layer, unit: other.unit })
      : picture('patch', { layer: other.layer, unit: other.unit, sign: 'positive', rank: 0 });
    return h(
      'figure',
      { class: 'carried-head' },
      image(large, `unit ${other.unit} of ${other.layer}`, 128),
      h(
        'figcaption',
        {},
        h(
          'b',
          {},
          `${from.layer}:${from.unit} `,
          h('span', {}, effect.influence < 0 ? 'inhibits' : 'excites'),
          ` ${to.layer}:${to.unit}`,
        ),
        h(
          'span',
          { class: 'quiet small' },
          `${signed(effect.influence)} on average, of the same sign on ${percent(effect.agreement)} of its strongest patches`,
        ),
      ),
    );
  }

  /** @param {Link} link @param {Shot[]} shots @param {HTMLElement} status */
  async #light(link, shots, status) {
    try {
      const answer = /** @type {Links} */ (await askModel('links', { layer: link.from.layer, unit: link.from.unit }));
      if (this.link !== link) return;
      const row = answer.links.find((one) => one.unit === link.to.unit);
      const effects = new Map(answer.patches.map((patch, i) => [patch.rank, row?.effects[i] ?? null]));
      const most = Math.max(...[...effects.values()].map((effect) => Math.abs(effect ?? 0)), 1e-12);
      const lit = shots.filter((shot) =>
        shot.light(effects.get(shot.rank) ?? null, most, link.effect.influence),
      ).length;
      status.textContent = `Highlighted: patches of ${link.from.layer}:${link.from.unit} that carry at least half as much as the strongest.`;
      const { from, to, effect } = link;
      const verb = effect.influence < 0 ? 'inhibits' : 'excites';
      const count = `${lit} of its ${shots.length} patches carry it.`;
      say(`${from.layer} ${from.unit} ${verb} ${to.layer} ${to.unit}; ${count}`);
    } catch (error) {
      if (this.link === link)
        fill(
          status,
          failed(error, () => this.#light(link, shots, status)),
        );
    }
  }
}

/** A patch of the driving unit. */
class Shot {
  /** @param {Link} link @param {Patch} patch */
  constructor({ from }, patch) {
    this.rank = patch.rank;
    this.value = h('span', { class: 'num small' }, '–');
    this.element = h(
      'li',
      {},
      image(
        picture('patch', { layer: from.layer, unit: from.unit, sign: 'positive', rank: patch.rank }),
        patch.label || 'no label',
      ),
      this.value,
    );
  }

  /** Highlight the patch if it carries the link; return whether it does. @param {number | null} effect @param {number} most @param {number} influence */
  light(effect, most, influence) {
    const part = effect === null ? 0 : (effect * Math.sign(influence)) / most;
    this.value.textContent = signed(effect);
    this.element.classList.add(part >= 0.5 ? 'lit' : 'dim');
    return part >= 0.5;
  }
}
