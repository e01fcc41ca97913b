// One of the two maps that are compared: its tiles, what is marked on it, and the cell under the cursor.

import { here } from '../../state/address.js';
import { h } from '../../ui/dom.js';
import { load } from '../../map/grid.js';
import { Card } from '../../map/card.js';
import { Tiles } from '../../map/tiles.js';
import { Overlay, square } from '../../map/overlay.js';

/** @typedef {import('../../map/grid.js').Grid} Grid */

export class Side {
  /**
   * @param {About} about
   * @param {string} words
   * @param {{ moved: (side: Side) => void, settled: (side: Side) => void, hover: (side: Side, row: number, col: number) => void, clicked: (row: number, col: number) => void }} told
   */
  constructor(about, words, told) {
    this.about = about;
    this.told = told;
    this.stage = h('div', {
      class: 'stage',
      tabindex: 0,
      role: 'application',
      'aria-roledescription': 'map',
      'aria-label': `${words}: ${about.name}@${about.version}. Arrow keys walk from cell to cell, Enter opens one.`,
    });
    this.element = h('div', { class: 'side-map' }, this.stage);
    /** @type {Map<number, Promise<Grid>>} */
    this.grids = new Map();
    /** @type {import('../../map/overlay.js').Scene} */
    this.scene = {
      grid: null,
      frame: { left: 0, top: 0, side: 1 },
      hover: -1,
      cursor: -1,
      open: -1,
      share: null,
      amount: null,
      lit: new Map(),
      named: false,
      intensity: 0,
      marks: null,
      arrows: null,
    };
    this.map = new Tiles(
      this.stage,
      {
        moved: () => {
          this.redraw();
          told.moved(this);
        },
        settled: () => told.settled(this),
        resized: () => (here().query.at ? this.redraw() : this.map.home(true)),
        clicked: (x, y) => this.#clicked(x, y),
      },
      about,
    );
    this.overlay = new Overlay(this.stage);
    this.card = new Card(this.stage);
    this.stage.addEventListener('pointermove', (event) => this.#pointed(event));
    this.stage.addEventListener('pointerleave', () => told.hover(this, -1, -1));
    this.restyle = () => {
      this.overlay.restyle();
      this.redraw();
    };
    addEventListener('themechange', this.restyle);
  }

  /** @param {LayerFacts} layer */
  async enter(layer) {
    this.layer = layer;
    this.grids.clear();
    const [grid] = await Promise.all([this.grid(layer.grids[0]), this.map.show(layer)]);
    this.map.box = grid.box();
  }

  /** @param {GridFacts} facts @returns {Promise<Grid>} */
  grid(facts) {
    const found = this.grids.get(facts.grid) ?? load(/** @type {LayerFacts} */ (this.layer), facts, this.about);
    this.grids.set(facts.grid, found);
    found.catch(() => this.grids.delete(facts.grid));
    return found;
  }

  /** Show a grid, what became of its cells and where its samples went. @param {number} size @param {Moved} moved @param {boolean} old @param {boolean} motion */
  async use(size, moved, old, motion) {
    const facts = this.layer?.grids.find((grid) => grid.grid === size);
    if (!facts) return;
    this.map.fade(size);
    const grid = await this.grid(facts);
    this.scene.grid = grid;
    this.scene.marks = old || moved.same_frame ? marks(grid, moved, old) : null;
    this.scene.arrows =
      motion && (old || moved.same_frame) ? (moved.arrows.find((arrows) => arrows.grid === size) ?? null) : null;
    this.redraw();
  }

  /** Lie as the other map does. @param {Side} other */
  follow(other) {
    const from = other.map.viewer.viewport;
    const to = this.map.viewer.viewport;
    to.zoomTo(from.getZoom(true), undefined, true);
    to.panTo(from.getCenter(true), true);
    this.redraw();
  }

  /** Mark a cell, with its card where asked for. @param {number} row @param {number} col @param {boolean} card */
  hover(row, col, card) {
    const grid = this.scene.grid;
    const i = grid ? grid.at(row, col) : -1;
    if (i === this.scene.hover) return;
    this.scene.hover = i;
    this.redraw();
    if (!grid || i < 0 || !card) return this.card.hide();
    this.scene.frame = this.map.frame();
    this.card.show(grid, i, square(this.scene, i), () => {});
  }

  /** @param {number} row @param {number} col */
  open(row, col) {
    this.scene.open = this.scene.grid ? this.scene.grid.at(row, col) : -1;
    this.redraw();
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.scene.frame = this.map.frame();
      this.overlay.draw(this.scene);
    });
  }

  /** @param {PointerEvent} event */
  #pointed(event) {
    if (event.pointerType === 'touch' || event.buttons || !this.scene.grid) return;
    const box = this.stage.getBoundingClientRect();
    const frame = this.map.frame();
    const size = this.scene.grid.size;
    this.told.hover(
      this,
      Math.floor(((event.clientY - box.top - frame.top) / frame.side) * size),
      Math.floor(((event.clientX - box.left - frame.left) / frame.side) * size),
    );
  }

  /** @param {number} x @param {number} y */
  #clicked(x, y) {
    const size = this.scene.grid?.size ?? 1;
    this.told.clicked(Math.floor(y * size), Math.floor(x * size));
  }

  close() {
    removeEventListener('themechange', this.restyle);
    this.map.close();
  }
}

/** What became of the cells that one of the maps shows. @param {Grid} grid @param {Moved} moved @param {boolean} old @returns {Map<number, Mark>} */
function marks(grid, moved, old) {
  const cells = moved.cells.find((one) => one.grid === grid.size);
  const wanted = /** @type {(Mark | null)[]} */ ([null, 'changed', old ? null : 'appeared', old ? 'emptied' : null]);
  const found = new Map();
  cells?.row.forEach((row, k) => {
    const mark = wanted[cells.state[k]];
    const i = grid.at(row, cells.col[k]);
    if (mark && i >= 0) found.set(i, mark);
  });
  return found;
}
