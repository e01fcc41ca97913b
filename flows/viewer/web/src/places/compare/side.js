// One of the two maps in a comparison: its tiles, marks and card.

import { here } from '../../state/address.js';
import { h } from '../../ui/dom.js';
import { GridCache } from '../../map/grid.js';
import { Card } from '../../map/card.js';
import { Tiles } from '../../map/tiles.js';
import { Overlay } from '../../map/overlay.js';
import { emptyScene, square } from '../../map/scene.js';
import { measured } from './summary.js';

/** @typedef {import('../../map/grid.js').Grid} Grid */

export class Side {
  /**
   * @param {About} about
   * @param {string} words
   * @param {object} listeners
   * @param {(side: Side) => void} listeners.moved
   * @param {(side: Side) => void} listeners.settled
   * @param {(row: number, col: number) => void} listeners.hover
   * @param {(row: number, col: number) => void} listeners.clicked
   */
  constructor(about, words, listeners) {
    this.about = about;
    this.listeners = listeners;
    this.stage = h('div', {
      class: 'stage',
      tabindex: 0,
      role: 'application',
      'aria-roledescription': 'map',
      'aria-label': `${words}: ${about.name}@${about.version}. Arrow keys walk from cell to cell, Enter opens one.`,
    });
    this.element = h('div', { class: 'side-map' }, this.stage);
    this.grids = new GridCache(about);
    this.scene = emptyScene();
    this.map = new Tiles(
      this.stage,
      {
        moved: () => {
          this.redraw();
          listeners.moved(this);
        },
        settled: () => listeners.settled(this),
        resized: () => (here().query.at ? this.redraw() : this.map.home(true)),
        clicked: (x, y) => this.#click(x, y),
      },
      about,
    );
    this.overlay = new Overlay(this.stage);
    this.card = new Card(this.stage);
    this.stage.addEventListener('pointermove', (event) => this.#point(event));
    this.stage.addEventListener('pointerleave', () => listeners.hover(-1, -1));
    this.restyle = () => {
      this.overlay.restyle();
      this.redraw();
    };
    addEventListener('themechange', this.restyle);
  }

  /** @param {LayerFacts} layer */
  async enter(layer) {
    this.layer = layer;
    const [grid] = await Promise.all([this.grid(layer.grids[0]), this.map.show(layer)]);
    this.map.box = grid.box();
  }

  /** @param {GridFacts} facts @returns {Promise<Grid>} */
  grid(facts) {
    return this.grids.load(/** @type {LayerFacts} */ (this.layer), facts);
  }

  /** Show a grid, with the changes of its cells and the motion of its samples. @param {number} size @param {Moved} moved @param {boolean} old @param {boolean} motion */
  async use(size, moved, old, motion) {
    const facts = this.layer?.grids.find((grid) => grid.grid === size);
    if (!facts) return;
    this.map.fade(size);
    const grid = await this.grid(facts);
    this.scene.grid = grid;
    this.scene.maybe = !measured(moved);
    this.scene.marks = old || moved.same_frame ? marks(grid, moved, old) : null;
    this.scene.arrows =
      motion && (old || moved.same_frame) ? (moved.arrows.find((arrows) => arrows.grid === size) ?? null) : null;
    this.redraw();
  }

  /** Take over the view of the other map. @param {Side} other */
  follow(other) {
    const from = other.map.viewer.viewport;
    const to = this.map.viewer.viewport;
    to.zoomTo(from.getZoom(true), undefined, true);
    to.panTo(from.getCenter(true), true);
    this.redraw();
  }

  /** Mark a cell and show its card. @param {number} row @param {number} col */
  hover(row, col) {
    const grid = this.scene.grid;
    const i = grid ? grid.at(row, col) : -1;
    if (i === this.scene.hover) return;
    this.scene.hover = i;
    this.redraw();
    if (!grid || i < 0) return this.card.hide();
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
  #point(event) {
    if (event.pointerType === 'touch' || event.buttons || !this.scene.grid) return;
    const box = this.stage.getBoundingClientRect();
    const frame = this.map.frame();
    const size = this.scene.grid.size;
    this.listeners.hover(
      Math.floor(((event.clientY - box.top - frame.top) / frame.side) * size),
      Math.floor(((event.clientX - box.left - frame.left) / frame.side) * size),
    );
  }

  /** @param {number} x @param {number} y */
  #click(x, y) {
    const size = this.scene.grid?.size ?? 1;
    this.listeners.clicked(Math.floor(y * size), Math.floor(x * size));
  }

  close() {
    removeEventListener('themechange', this.restyle);
    this.map.close();
  }
}

/** Return the changes of the cells on one of the maps. @param {Grid} grid @param {Moved} moved @param {boolean} old @returns {Map<number, Mark>} */
function marks(grid, moved, old) {
  const cells = moved.cells.find((one) => one.grid === grid.size);
  const states = /** @type {(Mark | null)[]} */ ([null, 'changed', old ? null : 'appeared', old ? 'emptied' : null]);
  const changes = new Map();
  cells?.row.forEach((row, k) => {
    const mark = states[cells.state[k]];
    const i = grid.at(row, cells.col[k]);
    if (mark && i >= 0) changes.set(i, mark);
  });
  return changes;
}
