// Pointer and keys on the map: the cell under them, its card, and opening it.

import { ask } from '../../data/client.js';
import { setQuery } from '../../state/navigate.js';
import { Card } from '../../map/card.js';
import { cellOf } from '../../map/grid.js';
import { square } from '../../map/scene.js';
import { say } from '../../ui/announce.js';
import { many, number } from '../../ui/format.js';

/** @typedef {import('../../map/grid.js').Grid} Grid */
/** @typedef {import('../../map/scene.js').Square} Square */

/** Cells larger than this on the screen get no card, in pixels. */
const LARGE = 360;

/** How long the pointer must rest on a cell before its patches are requested, in milliseconds. */
const REST = 150;

/** @type {Record<string, [number, number]>} */
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

export class Pointer {
  /**
   * @param {HTMLElement} stage
   * @param {import('../../map/scene.js').Scene} scene
   * @param {import('../../map/tiles.js').Tiles} map
   * @param {object} actions
   * @param {() => void} actions.redraw
   * @param {(i: number) => void} actions.hovered
   * @param {(i: number) => string | undefined} actions.describe
   */
  constructor(stage, scene, map, actions) {
    this.stage = stage;
    this.scene = scene;
    this.map = map;
    this.actions = actions;
    /** The cell that was closed last, −1 for none. */
    this.last = -1;
    this.card = new Card(stage);
    stage.addEventListener('pointermove', (event) => this.#move(event));
    stage.addEventListener('pointerleave', () => this.hover(-1));
    stage.addEventListener('keydown', (event) => this.#key(event));
  }

  /** Forget the cell under the pointer: the map has moved. */
  reset() {
    this.card.hide();
    this.scene.hover = -1;
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (event.pointerType === 'touch' || event.buttons) return;
    const { grid } = this.scene;
    if (!grid || (event.target instanceof Element && event.target.closest('.minimap'))) return this.hover(-1);
    const box = this.stage.getBoundingClientRect();
    const { left, top, side } = this.map.frame();
    this.hover(grid.under((event.clientX - box.left - left) / side, (event.clientY - box.top - top) / side));
  }

  /** Mark a cell and show its card; −1 hides it. @param {number} i */
  hover(i) {
    if (i === this.scene.hover) return;
    this.scene.hover = i;
    this.actions.redraw();
    this.actions.hovered(i);
    const { grid } = this.scene;
    this.scene.frame = this.map.frame();
    if (i < 0 || !grid || square(this.scene, i).side > LARGE) return this.card.hide();
    this.#showCard(grid, i);
  }

  /** Open the cell at a point of the unit square, or close the open one. @param {number} x @param {number} y */
  click(x, y) {
    const i = this.scene.grid?.under(x, y) ?? -1;
    if (i < 0) setQuery({ cell: null });
    else this.#open(i);
  }

  /** Take the mark off the cell at the cursor; the keys go on from it. */
  rest() {
    this.last = this.scene.cursor;
    this.scene.cursor = -1;
  }

  /** Bring a cell into view. @param {number} i */
  reveal(i) {
    const [x, y, side] = /** @type {Grid} */ (this.scene.grid).squares.subarray(3 * i, 3 * i + 3);
    this.map.reveal(x, y, side);
  }

  /** Announce the cell at the cursor once its details are loaded. */
  announce() {
    const { grid, cursor } = this.scene;
    if (!grid) return;
    const act = () => {
      if (this.scene.grid === grid && this.scene.cursor === cursor) say(sentence(grid, cursor, this.scene.names));
    };
    if (grid.detailed && grid.names) act();
    else Promise.all([grid.loadDetails(), grid.loadNames()]).then(act, act);
  }

  /** @param {number} i */
  #open(i) {
    const { columns, layer, size } = /** @type {Grid} */ (this.scene.grid);
    setQuery({ grid: layer.grids.length > 1 ? String(size) : null, cell: `${columns.row[i]},${columns.col[i]}` });
  }

  /** @param {Grid} grid @param {number} i */
  #showCard(grid, i) {
    this.scene.frame = this.map.frame();
    const place = square(this.scene, i);
    const more = { name: grid.standing(i, this.scene.names)[0]?.name, asked: this.actions.describe(i) };
    this.card.show(grid, i, place, (canvas) => this.#enlarge(canvas, place), more);
    this.#rest(grid, i);
  }

  /** Show whether a cell's patches are flat, once the pointer rests on it. @param {Grid} grid @param {number} i */
  #rest(grid, i) {
    clearTimeout(this.resting);
    this.resting = setTimeout(async () => {
      const cell = /** @type {Cell | null} */ (await ask('cell', cellOf(grid, i)).catch(() => null));
      if (!cell?.flat || this.scene.grid !== grid || this.card.cell !== i) return;
      this.card.showFlat();
      if (this.scene.cursor === i) say(`${sentence(grid, i, this.scene.names)} Its patches are flat.`);
    }, REST);
  }

  /** Fill a canvas with the screen's picture of a cell until its icon has loaded. @param {HTMLCanvasElement} canvas @param {Square} square */
  #enlarge(canvas, { x, y, side }) {
    const source = /** @type {any} */ (this.map.viewer.drawer).canvas;
    const dots = source.width / source.clientWidth || 1;
    const context = canvas.getContext('2d');
    context?.clearRect(0, 0, canvas.width, canvas.height);
    context?.drawImage(source, x * dots, y * dots, side * dots, side * dots, 0, 0, canvas.width, canvas.height);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { grid, cursor } = this.scene;
    const step = STEPS[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || !grid) return;
    if (step) this.#walk(grid, step);
    else if (event.key === 'Enter' && cursor >= 0) this.#open(cursor);
    else if (event.key === '+' || event.key === '=') this.map.zoom(1.6);
    else if (event.key === '-') this.map.zoom(1 / 1.6);
    else if (event.key === '0') this.map.home();
    else return;
    event.preventDefault();
  }

  /** @param {Grid} grid @param {[number, number]} step */
  #walk(grid, [down, right]) {
    const cursor = this.scene.cursor >= 0 ? this.scene.cursor : this.last < grid.length ? this.last : -1;
    const next = cursor >= 0 ? grid.step(cursor, down, right) : grid.fullest[0];
    if (next < 0) return say('There is no cell that way.');
    this.scene.cursor = next;
    this.reveal(next);
    this.actions.redraw();
    if (this.scene.open >= 0) {
      return setQuery({ cell: `${grid.columns.row[next]},${grid.columns.col[next]}` }, { replace: true });
    }
    this.#showCard(grid, next);
    this.announce();
  }

  close() {
    clearTimeout(this.resting);
  }
}

/** Describe a cell for screen readers. @param {Grid} grid @param {number} i @param {import('../../map/grid.js').Kind} kind */
function sentence(grid, i, kind) {
  const { row, col, count, cosine } = grid.columns;
  const names = grid
    .standing(i, kind)
    .slice(0, 2)
    .map(({ name }) => name)
    .join(', ');
  const mostly = names ? `, stands out for ${names}` : '';
  const fidelity = cosine?.[i] ? `, fidelity ${number(cosine[i])}` : '';
  return `Cell row ${row[i]}, column ${col[i]}: ${many(count[i], 'sample')}${mostly}${fidelity}.`;
}
