// Following an activation to a later layer, on request; the rest of the page stays as it is.

import { fill, h } from '../../ui/dom.js';
import { setQuery } from '../../state/navigate.js';
import { section } from '../../ui/components.js';
import { layerLinks } from './layer_links.js';
import { refresh } from './refresh.js';
import { DebouncedQuery } from './debounce.js';

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {import('../../map/grid.js').Grid} Grid */

/** @type {[number, number][]} */
const SHAPES = [[780, 320]];

export class Follow {
  /**
   * @param {LayerFacts} layer
   * @param {LayerFacts[]} deeper
   * @param {object} requests
   * @param {(to: LayerFacts, state: State, signal: AbortSignal) => Promise<Linked>} requests.links
   * @param {(to: LayerFacts, state: State, signal: AbortSignal) => Promise<Explained>} requests.explain
   * @param {(layer: LayerFacts, explained: Explained) => Promise<Grid | null>} requests.grid
   */
  constructor(layer, deeper, requests) {
    this.layer = layer;
    this.deeper = deeper;
    this.requests = requests;
    this.abort = new AbortController();
    this.address = new DebouncedQuery();
    /** The later layer. @type {LayerFacts | undefined} */
    this.to = undefined;
    this.key = '';
    this.from = '';
    this.buttons = deeper.map((facts) =>
      h(
        'button',
        {
          class: 'link',
          'data-keep': `to ${facts.name}`,
          onclick: () => setQuery({ to: facts === this.to ? null : facts.name, from: null }),
        },
        facts.name,
      ),
    );
    this.box = h('section', { class: 'section later' });
    this.body = h('div');
    this.element = h(
      'div',
      {},
      section(
        'Where it goes',
        h('p', { class: 'follow' }, 'Follow the activation to a later layer: ', ...this.buttons),
      ),
      this.box,
    );
  }

  /** @param {State} state @param {Explained} explained @param {boolean} [byUser] whether the user chose it just now, and is led there */
  update(state, explained, byUser = false) {
    const to = this.deeper.find((facts) => facts.name === state.query.to);
    const { class: of = '', against = '', from = '' } = state.query;
    const key = to ? `${to.name} ${of} ${against}` : '';
    if (key === this.key && (from === this.from || this.address.isPending())) return;
    this.abort.abort();
    this.abort = new AbortController();
    [this.key, this.from] = [key, from];
    const before = this.to;
    this.to = to;
    this.buttons.forEach((button, i) => button.setAttribute('aria-pressed', String(this.deeper[i] === to)));
    if (!to) this.#leave(before);
    else this.#show(to, state, explained, { changed: to !== before, byUser });
  }

  /** @param {LayerFacts} to @param {State} state @param {Explained} explained @param {{ changed: boolean, byUser: boolean }} options */
  #show(to, state, explained, { changed, byUser }) {
    const heading = h('h2', { tabindex: -1 }, `From ${this.layer.name} to ${to.name}`);
    if (changed) {
      this.address.cancel();
      this.body = h('div');
      fill(this.box, heading, this.body);
    }
    const scroll = () => heading.scrollIntoView({ block: 'start' });
    if (changed && byUser) {
      heading.focus({ preventScroll: true });
      scroll();
    }
    const { links, explain, grid } = this.requests;
    const { signal } = this.abort;
    refresh(
      this.body,
      async () => {
        const [linked, later] = [await links(to, state, signal), await explain(to, state, signal)];
        return { linked, later, grids: await Promise.all([grid(this.layer, explained), grid(to, later)]) };
      },
      ({ linked, later, grids }) =>
        layerLinks(state, [explained, grids[0]], [later, grids[1]], linked, (y, x) => this.#moved(`${y},${x}`)),
      { sizes: SHAPES },
    ).then(() => changed && byUser && document.activeElement === heading && scroll());
  }

  /** @param {string} from */
  #moved(from) {
    this.from = from;
    this.address.set({ from });
  }

  /** @param {LayerFacts | undefined} before */
  #leave(before) {
    this.address.cancel();
    const inside = this.box.contains(document.activeElement);
    fill(this.box);
    if (inside) this.buttons[this.deeper.indexOf(/** @type {LayerFacts} */ (before))]?.focus({ preventScroll: true });
  }

  close() {
    this.abort.abort();
    this.address.cancel();
  }
}
