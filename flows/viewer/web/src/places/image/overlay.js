// What lies over the photo, as the address names it: what needs the model comes when it has come, and is given up when another is wanted.

import { fill, h } from '../../ui/dom.js';
import { number } from '../../ui/format.js';
import { sentence } from '../../ui/components.js';
import { scaled } from './groups.js';
import { signs } from '../../ui/hatch.js';
import { againstOf, choice, grouped, heat, icons, SHOWN } from './overlays.js';

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {import('../../map/grid.js').Grid} Grid */
/** @typedef {(words: Record<string, string>, leaving: AbortSignal) => Promise<any>} Ask */

/** How much is seen of what is laid over, in per cent, where the address does not say. */
const USUAL = 70;

/** @type {Record<string, string>} */
const CAPTIONS = {
  groups: 'Each position in the colour of the group that holds most of it.',
  icons: 'The icon of the likest cell at each position.',
};

export class Over {
  /** @param {import('../../ui/positions.js').Positions} positions @param {Ask} ask @param {Promise<Grid | null>} grid */
  constructor(positions, ask, grid) {
    this.positions = positions;
    this.ask = ask;
    this.grid = grid;
    this.caption = h('span', { role: 'status' });
    this.tools = choice((mix) => {
      positions.mix = mix / 100;
      positions.draw();
    });
    this.leaving = new AbortController();
    this.shown = '';
    this.key = '';
    /** @type {{ picture: HTMLCanvasElement | null, against: HTMLCanvasElement | null, values: number[][] | null }} */
    this.laid = { picture: null, against: null, values: null };
    /** The saliency that is shown: its colours are the theme's. @type {Salient | null} */
    this.salient = null;
    this.restyle = () => this.salient && this.#heated(this.salient);
    addEventListener('themechange', this.restyle);
  }

  /** @param {State} state @param {Explained} found @param {number[][][]} pooled each group's map over the positions */
  update(state, found, pooled) {
    const mix = Math.min(100, Math.max(0, Number(state.query.mix ?? USUAL) || 0));
    this.tools.slider.value = String(mix);
    this.shown = shownOf(state);
    this.tools.select.value = this.shown;
    const { class: of = '', against = '' } = state.query;
    const key = `${this.shown} ${of} ${against}`;
    const same = key === this.key && this.positions.mix === mix / 100;
    this.positions.mix = mix / 100;
    if (key !== this.key) this.#lay(of, found, pooled);
    else if (!same) this.positions.draw();
    this.key = key;
  }

  /** @param {string} of @param {Explained} found @param {number[][][]} pooled */
  #lay(of, found, pooled) {
    this.leaving.abort();
    this.leaving = new AbortController();
    this.salient = null;
    this.laid = { picture: null, against: null, values: null };
    fill(this.caption, CAPTIONS[this.shown] ?? 'Waiting for the model …');
    if (this.shown === 'speaks') {
      fill(
        this.caption,
        `Coloured by what speaks for “${short(found.target.name)}”${found.versus ? ` rather than “${short(found.versus.name)}”` : ''} at each position. `,
        signs(),
      );
      this.laid.values = scaled(found.attribution.blocks);
    } else if (this.shown === 'groups') this.laid.picture = grouped(pooled);
    else if (this.shown === 'icons') this.#icons(found);
    else this.#saliency(this.shown, of, this.leaving.signal);
    this.again();
  }

  /** @param {Explained} found */
  async #icons(found) {
    const { laid } = this;
    const grid = await this.grid;
    if (!grid || this.laid !== laid) return;
    laid.picture = icons(found, grid, () => this.laid === laid && this.again());
    this.again();
  }

  /** @param {string} method @param {string} of @param {AbortSignal} leaving */
  async #saliency(method, of, leaving) {
    try {
      const salient = /** @type {Salient} */ (await this.ask({ method, ...(of ? { of } : {}) }, leaving));
      if (leaving.aborted) return;
      this.salient = salient;
      fill(
        this.caption,
        `How much each pixel moves the score of “${short(salient.target.name)}”, ${number(salient.score)}, by ${salient.method}. `,
        salient.signed && signs(),
      );
      this.#heated(salient);
    } catch (error) {
      if (leaving.aborted) return;
      const words = error instanceof Error ? error.message : String(error);
      const again = h(
        'button',
        {
          class: 'link',
          onclick: () => {
            fill(this.caption, 'Waiting for the model …');
            this.tools.select.focus({ preventScroll: true });
            this.#saliency(method, of, leaving);
          },
        },
        'Try again',
      );
      fill(this.caption, `${sentence(words)} `, again);
    }
  }

  /** @param {Salient} salient */
  #heated(salient) {
    Object.assign(this.laid, { picture: heat(salient), against: againstOf(salient) });
    this.again();
  }

  /** Lay it over again, after something else lay there. */
  again() {
    Object.assign(this.positions, this.laid, { veiled: this.shown !== 'groups' && this.shown !== 'icons' });
    this.positions.draw();
  }

  /** Lay values over for a moment. @param {number[][]} values */
  instead(values) {
    Object.assign(this.positions, { picture: null, against: null, values });
    this.positions.draw();
  }

  close() {
    this.leaving.abort();
    removeEventListener('themechange', this.restyle);
  }
}

/** @param {State} state */
const shownOf = (state) => (SHOWN.some(([name]) => name === state.query.show) ? state.query.show : 'speaks');

export const short = (/** @type {string} */ name) => name.split(',')[0];
