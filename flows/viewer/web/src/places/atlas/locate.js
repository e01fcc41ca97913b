// Locate: light the cells that the positions of a dropped or chosen image fall in.

import { live, picture, send } from '../../data/client.js';
import { here, href } from '../../state/address.js';
import { onDrop } from '../../state/drop.js';
import { setQuery } from '../../state/navigate.js';
import { icon } from '../../map/sprites.js';
import { say } from '../../ui/announce.js';
import { fillAsync, command, section } from '../../ui/components.js';
import { fill, h, SIGNS, sign } from '../../ui/dom.js';
import { many } from '../../ui/format.js';
import { chooser } from '../../ui/image_chooser.js';
import { searchButton } from '../../ui/name_chip.js';
import { Positions } from '../../ui/positions.js';
import { fileField, NO_MODEL, NO_UPLOADS } from '../../ui/upload.js';

/** @typedef {import('../../map/grid.js').Grid} Grid */
/**
 * What it needs of the atlas.
 * @typedef {object} Host
 * @property {About} about
 * @property {LayerFacts | null} layer
 * @property {import('../../map/scene.js').Scene} scene
 * @property {import('../../ui/panel.js').Panel} panel
 * @property {{ hover: (i: number) => void, reveal: (i: number) => void }} pointer
 * @property {() => void} redraw
 * @property {() => void} locateClosed
 */

const MOST = 12;
const TITLE = 'Find an image on the map: one of yours, or of the run; or drop one anywhere';

export class Locate {
  /** @param {Host} host */
  constructor(host) {
    this.host = host;
    /** @type {Located | null} */
    this.located = null;
    /** @type {Positions | null} */
    this.positions = null;
    this.summary = h('p', { class: 'small', role: 'status' });
    this.most = h('div', { class: 'near' });
    /** What the panel shows: `choose`, `file`, `none`, or an image and its layer. */
    this.shown = '';
    /** Whether the image is in the address. */
    this.inAddress = false;
    this.abort = new AbortController();
    const { field, open } = fileField((file) => this.locateFile(file));
    this.file = field;
    this.openFile = open;
    this.button = h(
      'button',
      { class: 'tool', title: TITLE, onclick: () => this.#choose() },
      sign(SIGNS.search),
      h('span', {}, 'Locate', h('span', { class: 'at-length' }, ' an image')),
    );
    this.stopDrops = onDrop((file) => this.locateFile(file));
  }

  /** Let the user choose a file or an image of the run. */
  #choose() {
    if (this.#refuse()) return;
    const body = this.host.panel.open('Locate an image', () => this.leave());
    this.clear();
    this.shown = 'choose';
    const state = here();
    const link = (/** @type {number} */ id) =>
      href({ ...state, query: { ...state.query, locate: String(id), cell: '' } });
    const images = chooser('', link);
    const field = searchButton('By file or label …', 'Find an image by its file or label', 'File or label', 'images');
    fill(
      body,
      h('p', {}, 'Drop a picture anywhere on this page, or'),
      h('button', { class: 'button', onclick: this.openFile }, 'Choose a file'),
      section('Or one of the run', field, images.summary, images.body),
    );
    field.focus();
  }

  /** @param {Blob} image */
  locateFile(image) {
    if (this.#refuse()) return;
    setQuery({ locate: null, cell: null }, { replace: true, quiet: true });
    this.host.scene.open = -1;
    this.clear();
    this.shown = 'file';
    this.#show(URL.createObjectURL(image), () => this.#request(image, {}));
  }

  /** Locate an image of the run. @param {number} id */
  locateImage(id) {
    const refused = this.#refuse();
    this.inAddress = true;
    const shown = `${id} ${this.host.layer?.name}`;
    if (refused || this.shown === shown) return;
    this.shown = shown;
    this.#show(picture('photo', { id }), () => this.#request(new Blob([]), { id }));
  }

  /** Say so where there is no model to ask. */
  #refuse() {
    const { about, panel } = this.host;
    if (live() && about.uploads) return false;
    if (this.shown === 'none') return true;
    const body = panel.open('Locate an image', () => this.leave());
    this.clear();
    this.shown = 'none';
    const reason = live() ? NO_UPLOADS : NO_MODEL;
    fill(body, h('p', {}, reason), command(about.commands.view));
    say(reason);
    return true;
  }

  /** @param {Blob} image @param {Record<string, number>} more @returns {Promise<Located>} */
  #request(image, more) {
    const layer = /** @type {LayerFacts} */ (this.host.layer);
    return send('locate', { layer: layer.name, grid: layer.grids[0].grid, ...more }, image, this.abort.signal);
  }

  /** @param {string} address @param {() => Promise<Located>} request */
  #show(address, request) {
    this.#cancel();
    const body = this.host.panel.open('Locate', () => this.leave(), 'low');
    fillAsync(body, request, (located) => this.#draw(address, located), [328, 328], [0, 60]);
  }

  /** @param {string} address @param {Located} located */
  #draw(address, located) {
    this.located = located;
    const image = h('img', { src: address, alt: 'the located image' });
    const facts = { rows: located.height, cols: located.width, seen: located.seen, words: 'The located image' };
    this.positions?.close();
    this.positions = new Positions(image, facts, { hover: (y, x) => this.#point(y, x) });
    this.light();
    say(String(this.summary.textContent));
    const details = h('div', {}, this.summary, section('Where most of it falls', this.most));
    return h('div', { class: 'located' }, this.positions.element, details);
  }

  /** Summarise where the image falls on the current grid. @param {Located} located @param {Grid} grid */
  #summarise(located, grid) {
    const { lit } = this.host.scene;
    const { pointer } = this.host;
    const positions = many(located.height * located.width, 'position');
    const cells = many(lit.size, 'cell');
    this.summary.textContent = `Its ${positions} fall in ${cells}. Hover either one to highlight the other.`;
    const most = [...lit].sort((a, b) => b[1] - a[1]).slice(0, MOST);
    fill(
      this.most,
      ...most.map(([i, n]) => {
        const words = `cell ${grid.columns.row[i]},${grid.columns.col[i]}: ${many(n, 'position')}`;
        const hover = () => pointer.hover(i);
        const actions = { onclick: () => pointer.reveal(i), onpointerenter: hover, onfocus: hover };
        const number = h('span', { class: 'num small' }, String(n));
        return h(
          'button',
          { class: 'lit', title: words, 'aria-label': words, ...actions },
          icon(grid, i, 48, ''),
          number,
        );
      }),
    );
  }

  /** Light the cells of the current grid that contain positions of the image. */
  light() {
    const { scene } = this.host;
    scene.lit = new Map();
    if (!this.located || !scene.grid || this.located.layer !== scene.grid.layer.name) return;
    for (const position of this.located.positions) {
      const i = cellOf(scene.grid, position);
      if (i >= 0) scene.lit.set(i, (scene.lit.get(i) ?? 0) + 1);
    }
    this.#summarise(this.located, scene.grid);
    this.host.redraw();
  }

  /** Highlight the cell of a position that the user points at. @param {number} y @param {number} x */
  #point(y, x) {
    const { grid } = this.host.scene;
    const position = this.located?.positions.find((one) => one.y === y && one.x === x);
    const i = grid && position ? cellOf(grid, position) : -1;
    this.host.pointer.hover(i);
    if (i >= 0) this.host.pointer.reveal(i);
    if (y < 0 || !grid) return;
    const where = i >= 0 ? `in cell ${grid.columns.row[i]},${grid.columns.col[i]}` : 'where there is no cell';
    this.summary.textContent = `Position ${y},${x} falls ${where}.`;
  }

  /** Highlight the positions that fall in a cell that the user points at. @param {number} i */
  answer(i) {
    if (!this.positions || !this.located) return;
    const { grid } = this.host.scene;
    const inside = grid && i >= 0 ? this.located.positions.filter((position) => cellOf(grid, position) === i) : [];
    this.positions.lit = new Set(inside.map(({ y, x }) => `${y},${x}`));
    this.positions.draw();
  }

  leave() {
    this.clear();
    this.host.locateClosed();
  }

  /** Cancel the current request. */
  #cancel() {
    this.abort.abort();
    this.abort = new AbortController();
  }

  clear() {
    this.#cancel();
    this.positions?.close();
    this.positions = null;
    this.located = null;
    this.shown = '';
    this.inAddress = false;
    this.host.scene.lit = new Map();
    this.host.redraw();
  }

  close() {
    this.abort.abort();
    this.positions?.close();
    this.stopDrops();
  }
}

/** Return the cell that a position falls in, −1 for none. @param {Grid} grid @param {Located['positions'][number]} position */
function cellOf(grid, { point: [x, y] }) {
  return grid.under(Math.min(x, 0.999999), Math.min(y, 0.999999));
}
