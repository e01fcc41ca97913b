// The overlay of a map: paper around the icons, fading, frames, labels and outlines.

import { colour } from '../ui/theme.js';
import { outline, paint, paintName } from './paint.js';
import { visible } from './scene.js';

/** @typedef {import('./grid.js').Grid} Grid */
/** @typedef {import('./scene.js').Scene} Scene */

export class Overlay {
  /** @param {HTMLElement} parent */
  constructor(parent) {
    this.canvas = document.createElement('canvas');
    this.canvas.className = 'overlay';
    this.canvas.setAttribute('aria-hidden', 'true');
    parent.append(this.canvas);
    this.front = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext('2d'));
    /** Everything but the outlines of the pointer's cells, which must follow it without delay. */
    this.context = /** @type {CanvasRenderingContext2D} */ (document.createElement('canvas').getContext('2d'));
    /** The names on the cells. @type {Map<number, import('./paint.js').Name>} */
    this.names = new Map();
    /** The values that the last drawing was made from. @type {unknown[]} */
    this.inputs = [];
    /** @type {WeakMap<Grid, Path2D>} */
    this.papers = new WeakMap();
    /** @type {Record<string, string>} */
    this.colours = {};
    this.restyle();
  }

  /** Read the colours of the theme. */
  restyle() {
    this.colours = Object.fromEntries(
      ['paper', 'ink', 'accent', 'ramp', 'hair', 'for', 'against', 'quiet'].map((name) => [name, colour(`--${name}`)]),
    );
  }

  /** Draw; return whether more than the pointer's cells has changed. @param {Scene} scene */
  draw(scene) {
    const box = /** @type {HTMLElement} */ (this.canvas.parentElement).getBoundingClientRect();
    const dots = devicePixelRatio || 1;
    const [width, height] = [Math.round(box.width * dots), Math.round(box.height * dots)];
    const changed = this.#changed(scene, width, height);
    if (changed) this.#drawStill(scene, width, height, dots);
    resize(this.canvas, width, height);
    const context = this.front;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!scene.grid) return changed;
    if (width && height) context.drawImage(this.context.canvas, 0, 0);
    context.setTransform(dots, 0, 0, dots, 0, 0);
    const { colours } = this;
    if (scene.hover >= 0) outline(context, scene, scene.hover, 1.5, colours.ink, colours);
    if (scene.cursor >= 0) outline(context, scene, scene.cursor, 2, colours.accent, colours);
    if (scene.open >= 0) outline(context, scene, scene.open, 3, colours.accent, colours);
    // Names go over the outlines.
    for (const i of new Set([scene.hover, scene.cursor, scene.open])) {
      const name = this.names.get(i);
      if (name) paintName(context, name, colours);
    }
    return changed;
  }

  /** @param {Scene} scene @param {number} width @param {number} height */
  #changed(scene, width, height) {
    const { grid, frame, share, pair, way, intensity, amount, lit, names, marks, arrows } = scene;
    const now = [
      grid,
      grid?.detailed,
      grid?.names,
      frame.left,
      frame.top,
      frame.side,
      width,
      height,
      share,
      pair,
      way,
      intensity,
      amount,
      lit,
      lit.size,
      names,
      marks,
      arrows,
      this.colours,
    ];
    const same = now.every((part, k) => part === this.inputs[k]);
    this.inputs = now;
    return !same;
  }

  /** @param {Scene} scene @param {number} width @param {number} height @param {number} dots */
  #drawStill(scene, width, height, dots) {
    const context = this.context;
    resize(context.canvas, width, height);
    context.setTransform(dots, 0, 0, dots, 0, 0);
    context.clearRect(0, 0, width / dots, height / dots);
    this.names = new Map();
    if (!scene.grid) return;
    const cells = visible(scene, width / dots, height / dots);
    this.#paper(scene, cells, dots);
    this.names = paint(context, scene, cells, this.colours);
  }

  /** Cover everything but the icons with the colour of the page. @param {Scene} scene @param {number[]} cells @param {number} dots */
  #paper({ grid, frame }, cells, dots) {
    if (!grid) return;
    const few = cells.length < grid.length / 2;
    const path = few ? paper(grid, cells) : this.paper(grid);
    const context = this.context;
    context.setTransform(frame.side * dots, 0, 0, frame.side * dots, frame.left * dots, frame.top * dots);
    context.fillStyle = this.colours.paper;
    context.fill(path, 'evenodd');
    context.setTransform(dots, 0, 0, dots, 0, 0);
  }

  /** Return the unit square with a hole for each cell. @param {Grid} grid */
  paper(grid) {
    const path = this.papers.get(grid) ?? paper(grid, grid.fullest);
    this.papers.set(grid, path);
    return path;
  }
}

/** Return the unit square with holes for some cells. @param {Grid} grid @param {number[]} cells */
export function paper(grid, cells) {
  const path = new Path2D();
  path.rect(-0.01, -0.01, 1.02, 1.02);
  for (const i of cells) {
    const [x, y, side] = grid.squares.subarray(3 * i, 3 * i + 3);
    path.rect(x, y, side, side);
  }
  return path;
}

/** Resize a canvas if its size differs: resizing clears it. @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
function resize(canvas, width, height) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}
