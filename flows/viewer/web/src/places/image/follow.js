// Following what is here to a later layer: asked for when it is wanted, and drawn below without touching the rest.

import { fill, h } from '../../ui/dom.js';
import { turn } from '../../state/navigate.js';
import { section } from '../../ui/components.js';
import { later } from './later.js';
import { renew } from './renew.js';
import { Rest } from './debounce.js';

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {import('../../map/grid.js').Grid} Grid */

/** @type {[number, number][]} */
const SHAPES = [[780, 320]];

export class Follow {
  /**
   * @param {LayerFacts} layer
   * @param {LayerFacts[]} deeper
   * @param {{ links: (to: LayerFacts, state: State, leaving: AbortSignal) => Promise<Linked>, there: (to: LayerFacts, state: State, leaving: AbortSignal) => Promise<Explained>, grid: (layer: LayerFacts, found: Explained) => Promise<Grid | null> }} asking
   */
  constructor(layer, deeper, asking) {
    this.layer = layer;
    this.deeper = deeper;
    this.asking = asking;
    this.leaving = new AbortController();
    this.rest = new Rest();
    /** The layer that is followed to. @type {LayerFacts | undefined} */
    this.to = undefined;
    this.key = '';
    this.from = '';
    this.buttons = deeper.map((known) =>
      h(
        'button',
        {
          class: 'link',
          'data-keep': `to ${known.name}`,
          onclick: () => turn({ to: known === this.to ? null : known.name, from: null }),
        },
        known.name,
      ),
    );
    this.box = h('section', { class: 'section later' });
    this.body = h('div');
    this.element = h(
      'div',
      {},
      section('Where it goes', h('p', { class: 'follow' }, 'Follow what is here to a later layer: ', ...this.buttons)),
      this.box,
    );
  }

  /** @param {State} state @param {Explained} found @param {boolean} [wanted] was it asked for just now, so that one is led there? */
  update(state, found, wanted = false) {
    const to = this.deeper.find((known) => known.name === state.query.to);
    const { class: of = '', against = '', from = '' } = state.query;
    const key = to ? `${to.name} ${of} ${against}` : '';
    if (key === this.key && (from === this.from || this.rest.waits())) return;
    this.leaving.abort();
    this.leaving = new AbortController();
    [this.key, this.from] = [key, from];
    const before = this.to;
    this.to = to;
    this.buttons.forEach((button, i) => button.setAttribute('aria-pressed', String(this.deeper[i] === to)));
    if (!to) this.#leave(before);
    else this.#show(to, state, found, to !== before, wanted);
  }

  /** @param {LayerFacts} to @param {State} state @param {Explained} found @param {boolean} other is it another layer than before? @param {boolean} wanted */
  #show(to, state, found, other, wanted) {
    const heading = h('h2', { tabindex: -1 }, `From ${this.layer.name} to ${to.name}`);
    if (other) {
      this.rest.drop();
      this.body = h('div');
      fill(this.box, heading, this.body);
    }
    const lead = () => heading.scrollIntoView({ block: 'start' });
    if (other && wanted) {
      heading.focus({ preventScroll: true });
      lead();
    }
    const { links, there, grid } = this.asking;
    const { signal } = this.leaving;
    renew(
      this.body,
      async () => {
        const [linked, above] = [await links(to, state, signal), await there(to, state, signal)];
        return { linked, above, grids: await Promise.all([grid(this.layer, found), grid(to, above)]) };
      },
      ({ linked, above, grids }) =>
        later(state, [found, grids[0]], [above, grids[1]], linked, (y, x) => this.#walked(`${y},${x}`)),
      { sizes: SHAPES },
    ).then(() => other && wanted && document.activeElement === heading && lead());
  }

  /** @param {string} from */
  #walked(from) {
    this.from = from;
    this.rest.write({ from });
  }

  /** @param {LayerFacts | undefined} before */
  #leave(before) {
    this.rest.drop();
    const inside = this.box.contains(document.activeElement);
    fill(this.box);
    if (inside) this.buttons[this.deeper.indexOf(/** @type {LayerFacts} */ (before))]?.focus({ preventScroll: true });
  }

  close() {
    this.leaving.abort();
    this.rest.drop();
  }
}
