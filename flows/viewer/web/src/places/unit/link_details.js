// The link on show: the other unit's picture, and the patches behind it, of which the model tells how much each carries.

import { ask, askModel, live, picture } from '../../data/client.js';
import { say } from '../../ui/announce.js';
import { command, failed, image } from '../../ui/components.js';
import { fill, h } from '../../ui/dom.js';
import { number, percent, signed } from '../../ui/format.js';
import { computing, timed } from '../../ui/waiting.js';
import { positionHref } from './patches.js';

const MOST = 8;
const HINT = 'Point at a row to see its link here; click to keep it.';

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {{ layer: string, unit: number }} UnitId */
/** A link: `from` drives `to`; `other` is the one that is not the unit of the page, at `address`. @typedef {{ from: UnitId, to: UnitId, other: UnitId, effect: Effects['exciting'][0], address: string }} Link */

export class LinkDetails {
  /** @param {State} state @param {About} about */
  constructor(state, about) {
    this.state = state;
    this.about = about;
    this.body = h('div');
    this.element = h('div', { class: 'carried' }, h('p', { class: 'quiet small' }, HINT), this.body);
    /** @type {Link | null} */
    this.link = null;
    this.asked = false;
  }

  /** Show a link. @param {Link} link @param {boolean} compute ask the model, too */
  async show(link, compute) {
    if (this.link !== link) {
      this.link = link;
      this.asked = false;
      this.drawn = this.#draw(link);
    }
    const drawn = await this.drawn;
    if (this.link !== link || !drawn || !compute || this.asked) return;
    this.asked = true;
    if (live() && this.about.uploads) await this.#light(link, drawn.shots, drawn.status);
  }

  /** @param {Link} link */
  async #draw(link) {
    try {
      const request = Promise.all([ask('unit', link.from), ask('unit', link.other)]);
      const [{ positive }] = /** @type {[Unit, Unit]} */ (await request);
      if (this.link !== link) return null;
      const shots = positive.patches
        .filter((patch) => patch.rank < positive.pictures && patch.value !== 0)
        .slice(0, MOST)
        .map((patch) => new Shot(this.state, link, patch));
      const status = h('div', { class: 'small quiet' }, ...this.#need());
      const list = h('ol', { class: 'carriers' }, ...shots.map((shot) => shot.element));
      const { from, to } = link;
      const what = `The strongest patches of unit ${from.unit}; below each, how far unit ${from.unit} pushes unit ${to.unit} there:`;
      fill(this.body, this.#head(link), h('p', { class: 'small carriers-head' }, what), list, status);
      return { shots, status };
    } catch (error) {
      if (this.link === link)
        fill(
          this.body,
          failed(error, () => this.#again(link)),
        );
      return null;
    }
  }

  /** @param {Link} link */
  #again(link) {
    this.link = null;
    return this.show(link, true);
  }

  /** Say why the model can't be asked, where it can't. */
  #need() {
    const need = 'The model is needed to tell how strongly each patch carries it';
    if (!live()) return [`${need}:`, command(this.about.commands.view)];
    return this.about.uploads ? [] : [`${need}: this viewer was started with --no-uploads.`];
  }

  /** @param {Link} link */
  #head({ from, to, other, effect, address }) {
    const facts = this.about.layers.find((layer) => layer.name === other.layer);
    const large = facts?.has.includes('gallery')
      ? picture('synthetic', { layer: other.layer, unit: other.unit })
      : picture('patch', { layer: other.layer, unit: other.unit, sign: 'positive', rank: 0 });
    const verb = h('span', {}, effect.influence < 0 ? 'inhibits' : 'excites');
    const agreed = effectWords({ from, to, effect });
    return h(
      'figure',
      { class: 'carried-head' },
      image(large, `unit ${other.unit} of ${other.layer}`, 128),
      h(
        'figcaption',
        {},
        h('b', {}, `${from.layer}:${from.unit} `, verb, ` ${to.layer}:${to.unit}`),
        h('span', { class: 'quiet small' }, agreed),
        h('a', { class: 'carried-open', href: address }, `Open unit ${other.unit} →`),
      ),
    );
  }

  /** @param {Link} link @param {Shot[]} shots @param {HTMLElement} status */
  async #light(link, shots, status) {
    status.textContent = computing('links');
    try {
      const request = askModel('links', { layer: link.from.layer, unit: link.from.unit });
      const answer = /** @type {Links} */ (await timed('links', request));
      if (this.link !== link) return;
      const row = answer.links.find((one) => one.unit === link.to.unit);
      const effects = new Map(answer.patches.map((patch, i) => [patch.rank, row?.effects[i] ?? null]));
      const most = Math.max(...[...effects.values()].map((effect) => Math.abs(effect ?? 0)), 1e-12);
      const sign = Math.sign(link.effect.influence);
      const lit = shots.filter((shot) => shot.light(effects.get(shot.rank) ?? null, most, sign)).length;
      status.textContent = caption(link, lit);
      const { from, to, effect } = link;
      const verb = effect.influence < 0 ? 'inhibits' : 'excites';
      const count = `${lit} of its ${shots.length} patches carry it.`;
      say(`${from.layer} ${from.unit} ${verb} ${to.layer} ${to.unit}; ${count}`);
    } catch (error) {
      const again = () => this.#light(link, shots, status);
      if (this.link === link) fill(status, failed(error, again));
    }
  }
}

/** Say how far a unit moves another: the effect is on the sum of the other over its positions. @param {Pick<Link, 'from' | 'to' | 'effect'>} link */
function effectWords({ from, to, effect: { influence, agreement } }) {
  const verb = influence < 0 ? 'lowers' : 'raises';
  const far = `Unit ${from.unit} ${verb} unit ${to.unit}, summed over its positions, by ${number(Math.abs(influence))} on average of its strongest patches`;
  return `${far}, ${agreement === 1 ? 'always' : `on ${percent(agreement)} of them`} in the same direction.`;
}

/** Say what a frame means, by the rule that frames. @param {Link} link @param {number} lit how many are framed */
function caption({ from, to, effect }, lit) {
  const way = effect.influence < 0 ? 'down' : 'up';
  const most = `at least half as far as its strongest push (number = how far)`;
  if (!lit) return `None is framed: in none of these does unit ${from.unit} push unit ${to.unit} ${way} ${most}.`;
  return `Framed: the patches where unit ${from.unit} pushes unit ${to.unit} ${way} the most, ${most}.`;
}

/** A patch of the driving unit, which opens its image. */
class Shot {
  /** @param {State} state @param {Link} link @param {Patch} patch */
  constructor(state, { from }, patch) {
    this.rank = patch.rank;
    this.value = h('span', { class: 'num small' });
    const words = patch.label || 'no label';
    const source = picture('patch', { layer: from.layer, unit: from.unit, sign: 'positive', rank: patch.rank });
    const address = positionHref(state, from.layer, patch);
    this.element = h('li', {}, h('a', { href: address, title: words }, image(source, words)), this.value);
  }

  /** Frame the patch if it carries the link; return whether it does. @param {number | null} effect @param {number} most @param {number} sign of the influence */
  light(effect, most, sign) {
    const lit = ((effect ?? 0) * sign) / most >= 0.5;
    this.value.textContent = signed(effect);
    this.element.classList.add(lit ? 'lit' : 'dim');
    return lit;
  }
}
