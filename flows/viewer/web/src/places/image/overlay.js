// The overlay of the photo that the address names. Choosing another cancels the one that waits for the model.

import { fill, h } from '../../ui/dom.js';
import { number } from '../../ui/format.js';
import { sentence } from '../../ui/components.js';
import { scaled } from './groups.js';
import { signs } from '../../ui/hatch.js';
import { computing, timed } from '../../ui/waiting.js';
import { heatMap, iconMap, groupMap, negativeMask, overlayControls, overlays } from './overlays.js';

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {import('../../map/grid.js').Grid} Grid */
/** @typedef {(parameters: Record<string, string>, signal: AbortSignal) => Promise<any>} Ask */

/** The default opacity of the overlay, in per cent. */
const OPACITY = 70;

/** @type {Record<string, string>} */
const CAPTIONS = {
  groups: 'Each position in the colour of the group that holds most of it.',
  icons: 'The nearest atlas icon at each position.',
};

export class ImageOverlay {
  /** @param {import('../../ui/positions.js').Positions} positions @param {Ask} ask @param {Promise<Grid | null>} grid @param {SaliencyMethod[]} methods */
  constructor(positions, ask, grid, methods) {
    this.positions = positions;
    this.ask = ask;
    this.grid = grid;
    this.caption = h('span', { role: 'status' });
    this.offered = overlays(methods);
    /** The methods whose first map comes early. */
    this.refining = new Set(methods.filter(({ refines }) => refines).map(({ name }) => name));
    this.controls = overlayControls(this.offered, (mix) => {
      positions.mix = mix / 100;
      positions.draw();
    });
    this.abort = new AbortController();
    this.shown = '';
    this.key = '';
    /** @type {{ picture: HTMLCanvasElement | null, against: HTMLCanvasElement | null, values: number[][] | null }} */
    this.content = { picture: null, against: null, values: null };
    /** The saliency on show, redrawn when the theme changes. @type {Salient | null} */
    this.salient = null;
    this.restyle = () => this.salient && this.#drawSaliency(this.salient);
    addEventListener('themechange', this.restyle);
  }

  /** @param {State} state @param {Explained} explained @param {number[][][]} pooled the map of each group over the positions */
  update(state, explained, pooled) {
    const mix = Math.min(100, Math.max(0, Number(state.query.mix ?? OPACITY) || 0));
    this.controls.slider.value = String(mix);
    this.shown = this.offered.find(([name]) => name === state.query.show)?.[0] ?? 'speaks';
    this.controls.select.value = this.shown;
    const { class: of = '', against = '' } = state.query;
    const key = `${this.shown} ${of} ${against}`;
    const same = key === this.key && this.positions.mix === mix / 100;
    this.positions.mix = mix / 100;
    if (key !== this.key) this.#show(of, explained, pooled);
    else if (!same) this.positions.draw();
    this.key = key;
  }

  /** @param {string} of @param {Explained} explained @param {number[][][]} pooled */
  #show(of, explained, pooled) {
    this.abort.abort();
    this.abort = new AbortController();
    this.salient = null;
    this.content = { picture: null, against: null, values: null };
    fill(this.caption, CAPTIONS[this.shown] ?? computing(this.shown));
    if (this.shown === 'speaks') {
      const { target, versus } = explained;
      const rather = versus ? ` rather than “${short(versus.name)}”` : '';
      fill(this.caption, `Coloured by what speaks for “${short(target.name)}”${rather} at each position. `, signs());
      this.content.values = scaled(explained.attribution.blocks);
    } else if (this.shown === 'groups') this.content.picture = groupMap(pooled);
    else if (this.shown === 'icons') this.#showIcons(explained);
    else this.#showSaliency(this.shown, of, this.abort.signal);
    this.draw();
  }

  /** @param {Explained} explained */
  async #showIcons(explained) {
    const { content } = this;
    const grid = await this.grid;
    if (!grid || this.content !== content) return;
    content.picture = iconMap(explained, grid, () => this.content === content && this.draw());
    this.draw();
  }

  /** @param {string} method @param {string} of @param {AbortSignal} signal */
  async #showSaliency(method, of, signal) {
    try {
      const parameters = { method, ...(of ? { of } : {}) };
      if (this.refining.has(method)) {
        const first = /** @type {Salient} */ (await timed(method, this.ask({ ...parameters, draft: 'true' }, signal)));
        if (!signal.aborted) this.#showSalient(first, 'A first map; it is being refined. ');
      }
      const whole = this.ask(parameters, signal);
      const salient = /** @type {Salient} */ (await (this.refining.has(method) ? whole : timed(method, whole)));
      if (!signal.aborted) this.#showSalient(salient);
    } catch (error) {
      if (signal.aborted) return;
      const words = error instanceof Error ? error.message : String(error);
      const again = () => {
        fill(this.caption, computing(method));
        this.controls.select.focus({ preventScroll: true });
        this.#showSaliency(method, of, signal);
      };
      fill(this.caption, `${sentence(words)} `, h('button', { class: 'link', onclick: again }, 'Try again'));
    }
  }

  /** @param {Salient} salient @param {string} [remark] */
  #showSalient(salient, remark = '') {
    this.salient = salient;
    const score = `the score of “${short(salient.target.name)}”, ${number(salient.score)}`;
    const words = `How much each pixel moves ${score}, by ${salient.method}. ${remark}`;
    fill(this.caption, words, salient.signed && signs());
    this.#drawSaliency(salient);
  }

  /** @param {Salient} salient */
  #drawSaliency(salient) {
    Object.assign(this.content, { picture: heatMap(salient), against: negativeMask(salient) });
    this.draw();
  }

  /** Draw the overlay, also after a preview. */
  draw() {
    Object.assign(this.positions, this.content, { veiled: this.shown !== 'groups' && this.shown !== 'icons' });
    this.positions.draw();
  }

  /** Show other values for a moment. @param {number[][]} values */
  preview(values) {
    Object.assign(this.positions, { picture: null, against: null, values });
    this.positions.draw();
  }

  close() {
    this.abort.abort();
    removeEventListener('themechange', this.restyle);
  }
}

export const short = (/** @type {string} */ name) => name.split(',')[0];
