// Locate: an image that is dropped or chosen lights the cells that its positions fall in.

import { here, href } from '../../state/address.js';
import { live, picture, send } from '../../data/client.js';
import { fill, h, SIGNS, sign } from '../../ui/dom.js';
import { taking } from '../../state/drop.js';
import { many } from '../../ui/format.js';
import { turn } from '../../state/navigate.js';
import { say } from '../../ui/announce.js';
import { coming, command, section } from '../../ui/components.js';
import { NOT_HERE, NOT_TAKEN } from '../../ui/upload.js';
import { chooser } from '../../ui/image_chooser.js';
import { Positions } from '../../ui/positions.js';
import { icon } from '../../map/sprites.js';

/** @typedef {import('../../map/grid.js').Grid} Grid */

const MOST = 12;

export class Locate {
  /** @param {import('./atlas.js').Atlas} atlas */
  constructor(atlas) {
    this.atlas = atlas;
    /** @type {Located | null} */
    this.found = null;
    /** @type {Positions | null} */
    this.positions = null;
    /** How many cells its positions fall in, and which the most of them. */
    this.words = h('p', { class: 'small', role: 'status' });
    this.most = h('div', { class: 'near' });
    this.shown = '';
    /** Is it the address that names what is shown? */
    this.named = false;
    this.leaving = new AbortController();
    this.file = h('input', {
      type: 'file',
      accept: 'image/*',
      class: 'unseen',
      tabindex: -1,
      'aria-hidden': 'true',
      onchange: () => this.file.files?.[0] && this.take(this.file.files[0]),
    });
    this.button = h(
      'button',
      {
        class: 'tool',
        title: 'Find an image on the map: one of yours, or of the run; or drop one anywhere',
        onclick: () => this.choose(),
      },
      sign(SIGNS.search),
      h('span', {}, 'Locate', h('span', { class: 'at-length' }, ' an image')),
    );
    this.deaf = taking((file) => this.take(file));
  }

  /** One's own, or one of the run. */
  choose() {
    if (this.#cannot()) return;
    const body = this.atlas.panel.open('Locate an image', () => this.leave());
    this.forget();
    this.shown = 'choose';
    const state = here();
    const {
      field,
      told,
      body: found,
    } = chooser('', (id) => href({ ...state, query: { ...state.query, locate: String(id), cell: '' } }));
    fill(
      body,
      h('p', {}, 'Drop a picture anywhere on this page, or'),
      h('button', { class: 'button', onclick: () => this.file.click() }, 'Choose a file'),
      section('Or one of the run', field, told, found),
    );
    field.focus();
  }

  /** @param {Blob} image */
  take(image) {
    if (this.#cannot()) return;
    turn({ locate: null, cell: null }, { replace: true, quiet: true });
    this.atlas.scene.open = -1;
    this.forget();
    this.shown = 'file';
    this.file.value = '';
    this.#show(URL.createObjectURL(image), () => this.#ask(image, {}));
  }

  /** Say so where the model is not asked. */
  #cannot() {
    const { about, panel } = this.atlas;
    if (live() && about.uploads) return false;
    if (this.shown === 'none') return true;
    const body = panel.open('Locate an image', () => this.leave());
    this.forget();
    this.shown = 'none';
    fill(body, h('p', {}, live() ? NOT_TAKEN : NOT_HERE), command(`actlas view ${about.name}@${about.version}`));
    say(live() ? NOT_TAKEN : NOT_HERE);
    return true;
  }

  /** Locate an image of the run. @param {number} id */
  ofRun(id) {
    const cannot = this.#cannot();
    this.named = true;
    if (cannot || this.shown === `${id} ${this.atlas.layer?.name}`) return;
    this.shown = `${id} ${this.atlas.layer?.name}`;
    this.#show(picture('photo', { id }), () => this.#ask(new Blob([]), { id }));
  }

  /** @param {Blob} image @param {Record<string, number>} more @returns {Promise<Located>} */
  #ask(image, more) {
    const layer = /** @type {LayerFacts} */ (this.atlas.layer);
    return send('locate', { layer: layer.name, grid: layer.grids[0].grid, ...more }, image, this.leaving.signal);
  }

  /** @param {string} address @param {() => Promise<Located>} ask */
  #show(address, ask) {
    this.#giveUp();
    const body = this.atlas.panel.open('Locate', () => this.leave(), 'low');
    coming(body, ask, (found) => this.#draw(address, found), [328, 328], [0, 60]);
  }

  /** @param {string} address @param {Located} found */
  #draw(address, found) {
    this.found = found;
    const image = h('img', { src: address, alt: 'the image that is located' });
    this.positions?.close();
    this.positions = new Positions(
      image,
      { rows: found.height, cols: found.width, seen: found.seen, words: 'The image that is located' },
      {
        hover: (y, x) => this.#pointed(y, x, this.words),
      },
    );
    this.light();
    say(String(this.words.textContent));
    return h(
      'div',
      { class: 'located' },
      this.positions.element,
      h('div', {}, this.words, section('Where most of it falls', this.most)),
    );
  }

  /** Say where it falls on the grid that is shown. @param {Located} found @param {Grid} grid */
  #tell(found, grid) {
    const { lit } = this.atlas.scene;
    const most = [...lit].sort((a, b) => b[1] - a[1]).slice(0, MOST);
    this.words.textContent = `Its ${many(found.height * found.width, 'position')} fall in ${many(lit.size, 'cell')}. Point at the image, and the map answers; point at the map, and the image answers.`;
    fill(
      this.most,
      ...most.map(([i, n]) => {
        const words = `cell ${grid.columns.row[i]},${grid.columns.col[i]}: ${many(n, 'position')}`;
        return h(
          'button',
          {
            title: words,
            'aria-label': words,
            onclick: () => this.atlas.reveal(i),
            onpointerenter: () => this.atlas.hover(i),
            onfocus: () => this.atlas.hover(i),
          },
          icon(grid, i, 48, ''),
        );
      }),
    );
  }

  /** Light the cells of the grid that is shown. */
  light() {
    const { scene } = this.atlas;
    scene.lit = new Map();
    if (!this.found || !scene.grid || this.found.layer !== scene.grid.layer.name) return;
    for (const position of this.found.positions) {
      const i = scene.grid.under(Math.min(position.point[0], 0.999999), Math.min(position.point[1], 0.999999));
      if (i >= 0) scene.lit.set(i, (scene.lit.get(i) ?? 0) + 1);
    }
    this.#tell(this.found, scene.grid);
    this.atlas.redraw();
  }

  /** @param {number} y @param {number} x @param {HTMLElement} words */
  #pointed(y, x, words) {
    const grid = this.atlas.scene.grid;
    const position = this.found?.positions.find((one) => one.y === y && one.x === x);
    const i =
      grid && position ? grid.under(Math.min(position.point[0], 0.999999), Math.min(position.point[1], 0.999999)) : -1;
    this.atlas.hover(i);
    if (i >= 0) this.atlas.reveal(i);
    if (y >= 0 && grid)
      words.textContent =
        i >= 0
          ? `Position ${y},${x} falls in cell ${grid.columns.row[i]},${grid.columns.col[i]}.`
          : `Position ${y},${x} falls where there is no cell.`;
  }

  /** The map was pointed at: the positions that fall there. @param {number} i */
  answer(i) {
    if (!this.positions || !this.found) return;
    const grid = this.atlas.scene.grid;
    this.positions.lit = new Set(
      i < 0
        ? []
        : this.found.positions
            .filter((one) => grid?.under(Math.min(one.point[0], 0.999999), Math.min(one.point[1], 0.999999)) === i)
            .map((one) => `${one.y},${one.x}`),
    );
    this.positions.draw();
  }

  leave() {
    this.forget();
    this.atlas.unlocated();
  }

  /** Of what is still asked nobody waits for the answer. */
  #giveUp() {
    this.leaving.abort();
    this.leaving = new AbortController();
  }

  forget() {
    this.#giveUp();
    this.positions?.close();
    this.positions = null;
    this.found = null;
    this.shown = '';
    this.named = false;
    this.atlas.scene.lit = new Map();
    this.atlas.redraw();
  }

  close() {
    this.leaving.abort();
    this.positions?.close();
    this.deaf();
  }
}
