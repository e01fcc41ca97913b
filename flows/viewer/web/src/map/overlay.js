// What is drawn over the tiles: paper around the icons, fading, frames of amounts, labels, outlines.

import { colour } from '../ui/theme.js';
import { drawArrows } from './arrows.js';
import { drawMark } from './marks.js';

/** @typedef {import('./grid.js').Grid} Grid */
/**
 * @typedef {object} Scene
 * @property {Grid | null} grid
 * @property {{ left: number, top: number, side: number }} frame
 * @property {number} hover
 * @property {number} cursor
 * @property {number} open
 * @property {(Float32Array | null)} share   of a class, −1 to 1, by cell
 * @property {number} intensity  how much of its colour a cell loses that says nothing for the class, 0 to 1
 * @property {(Float32Array | null)} amount  of what is shaded, 0 to 1, by cell
 * @property {Map<number, number>} lit       cells that an image's positions fall in, and how many
 * @property {boolean} named
 * @property {'for' | 'against' | 'both' | undefined} [way]  which cells keep their colour: those that speak for the class, against it
 * @property {Map<number, Mark> | null} [marks]  what became of cells since another version
 * @property {Arrows | null} [arrows]  where their samples went
 */

export const ROOM = 56;
const FONT = '500 12px "Inter Variable", system-ui, sans-serif';

export class Overlay {
  /** @param {HTMLElement} parent */
  constructor(parent) {
    this.canvas = document.createElement('canvas');
    this.canvas.className = 'overlay';
    this.canvas.setAttribute('aria-hidden', 'true');
    parent.append(this.canvas);
    this.front = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext('2d'));
    /** What the cursor does not change, drawn apart: with thousands of cells, hover could not wait for it. */
    this.context = /** @type {CanvasRenderingContext2D} */ (document.createElement('canvas').getContext('2d'));
    /** What is written: text, middle, foot and width of each cell's name. @type {Map<number, [string, number, number, number]>} */
    this.labels = new Map();
    /** What it was drawn from. @type {unknown[]} */
    this.drawn = [];
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

  /** Draw, and tell whether more has changed than what the cursor is at. @param {Scene} scene */
  draw(scene) {
    const box = /** @type {HTMLElement} */ (this.canvas.parentElement).getBoundingClientRect();
    const dots = devicePixelRatio || 1;
    const [width, height] = [Math.round(box.width * dots), Math.round(box.height * dots)];
    const moved = this.#changed(scene, width, height);
    if (moved) this.#still(scene, width, height, dots);
    sized(this.canvas, width, height);
    const context = this.front;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!scene.grid) return moved;
    if (width && height) context.drawImage(this.context.canvas, 0, 0);
    context.setTransform(dots, 0, 0, dots, 0, 0);
    if (scene.hover >= 0) this.#outline(scene, scene.hover, 1.5, 'ink', context);
    if (scene.cursor >= 0) this.#outline(scene, scene.cursor, 2, 'accent', context);
    if (scene.open >= 0) this.#outline(scene, scene.open, 3, 'accent', context);
    // An outline does not strike out the name of its cell.
    for (const i of new Set([scene.hover, scene.cursor, scene.open])) this.#label(i, context);
    return moved;
  }

  /** @param {Scene} scene @param {number} width @param {number} height */
  #changed(scene, width, height) {
    const { grid, frame, share, way, intensity, amount, lit, named, marks, arrows } = scene;
    const now = [
      grid,
      grid?.known,
      frame.left,
      frame.top,
      frame.side,
      width,
      height,
      share,
      way,
      intensity,
      amount,
      lit,
      lit.size,
      named,
      marks,
      arrows,
      this.colours,
    ];
    const same = now.every((part, k) => part === this.drawn[k]);
    this.drawn = now;
    return !same;
  }

  /** @param {Scene} scene @param {number} width @param {number} height @param {number} dots */
  #still(scene, width, height, dots) {
    const context = this.context;
    sized(context.canvas, width, height);
    context.setTransform(dots, 0, 0, dots, 0, 0);
    context.clearRect(0, 0, width / dots, height / dots);
    this.labels.clear();
    if (!scene.grid) return;
    const seen = visible(scene, width / dots, height / dots);
    this.#paper(scene, seen, dots);
    if (scene.share) this.#fade(scene, seen);
    if (scene.amount) this.#amounts(scene, seen);
    for (const cell of scene.lit.keys()) this.#outline(scene, cell, 2, 'ink');
    for (const i of scene.marks ? seen : []) {
      const mark = scene.marks?.get(i);
      if (mark) drawMark(context, mark, square(scene, i), this.colours);
    }
    if (scene.arrows) drawArrows(context, scene.frame, scene.arrows, this.colours);
    if (scene.named) this.#names(scene, seen);
  }

  /** Cover what is no icon with the page's own colour, so that the icons lie on the page. @param {Scene} scene @param {number[]} seen @param {number} dots */
  #paper({ grid, frame }, seen, dots) {
    if (!grid) return;
    const few = seen.length < grid.length / 2;
    const path = few ? paper(grid, seen) : this.paper(grid);
    const context = this.context;
    context.setTransform(frame.side * dots, 0, 0, frame.side * dots, frame.left * dots, frame.top * dots);
    context.fillStyle = this.colours.paper;
    context.fill(path, 'evenodd');
    context.setTransform(dots, 0, 0, dots, 0, 0);
  }

  /** The unit square with holes for all cells of a grid. @param {Grid} grid */
  paper(grid) {
    const path = this.papers.get(grid) ?? paper(grid, grid.fullest);
    this.papers.set(grid, path);
    return path;
  }

  /** Let cells fade by how little they say for a class, and hatch what speaks against it. @param {Scene} scene @param {number[]} seen */
  #fade(scene, seen) {
    const context = this.context;
    for (const i of seen) {
      const share = /** @type {Float32Array} */ (scene.share)[i];
      const { x, y, side } = square(scene, i);
      context.globalAlpha = scene.intensity * (1 - strength(share, scene.way));
      context.fillStyle = this.colours.paper;
      context.fillRect(x, y, side, side);
      context.globalAlpha = 1;
      if (share < -0.02 && scene.way !== 'for') hatch(context, x, y, side, this.colours.against, Math.min(1, -share));
    }
  }

  /** Frame each icon in the colour of its amount; where it is small, cover it. @param {Scene} scene @param {number[]} seen */
  #amounts(scene, seen) {
    const context = this.context;
    for (const i of seen) {
      const amount = /** @type {Float32Array} */ (scene.amount)[i];
      if (Number.isNaN(amount)) continue;
      const { x, y, side } = square(scene, i);
      const edge = Math.min(side / 2, Math.max(3, side * 0.1));
      context.fillStyle = ramp(this.colours.ramp, this.colours.paper, amount);
      if (side < 22) {
        context.fillRect(x, y, side, side);
        continue;
      }
      context.beginPath();
      context.rect(x, y, side, side);
      context.rect(x + edge, y + edge, side - 2 * edge, side - 2 * edge);
      context.fill('evenodd');
    }
  }

  /** Write what cells are, the fullest first, none over another. @param {Scene} scene @param {number[]} seen */
  #names(scene, seen) {
    const grid = /** @type {Grid} */ (scene.grid);
    const cell = scene.frame.side / grid.size;
    if (cell < ROOM) return;
    const context = this.context;
    const inView = new Set(seen);
    /** @type {[number, number, number, number][]} */
    const taken = [];
    context.font = FONT;
    for (const i of grid.fullest.slice(0, 600)) {
      const word = inView.has(i) ? grid.words(i, 1)[0] : undefined;
      if (!word) continue;
      const text = short(word.name, Math.max(10, Math.floor(cell / 5)));
      const wide = context.measureText(text).width + 12;
      if (wide > cell * 1.4) continue;
      const { x, y, side } = square(scene, i);
      const middle = x + side / 2;
      /** @type {[number, number, number, number]} */
      const box = [middle - wide / 2, y + side - 18, middle + wide / 2, y + side];
      if (taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1]))
        continue;
      taken.push(box);
      this.labels.set(i, [text, middle, y + side, wide - 4]);
      this.#label(i, context);
    }
  }

  /** Write the name of a cell, if it has room, over the foot of its icon. @param {number} i @param {CanvasRenderingContext2D} context */
  #label(i, context) {
    const label = this.labels.get(i);
    if (!label) return;
    const [text, middle, foot, wide] = label;
    context.globalAlpha = 0.88;
    context.fillStyle = this.colours.paper;
    context.beginPath();
    context.roundRect(middle - wide / 2, foot - 18, wide, 18, [3, 3, 0, 0]);
    context.fill();
    context.globalAlpha = 1;
    context.font = FONT;
    context.textAlign = 'center';
    context.textBaseline = 'alphabetic';
    context.fillStyle = this.colours.ink;
    context.fillText(text, middle, foot - 5);
  }

  /** @param {Scene} scene @param {number} i @param {number} width @param {'ink' | 'accent'} tone @param {CanvasRenderingContext2D} [context] */
  #outline(scene, i, width, tone, context = this.context) {
    const { x, y, side } = square(scene, i);
    context.lineWidth = width + 2;
    context.strokeStyle = this.colours.paper;
    context.strokeRect(x - 1, y - 1, side + 2, side + 2);
    context.lineWidth = width;
    context.strokeStyle = this.colours[tone];
    context.strokeRect(x - 1, y - 1, side + 2, side + 2);
  }
}

/** The unit square with holes where cells have their icons. @param {Grid} grid @param {number[]} cells */
function paper(grid, cells) {
  const path = new Path2D();
  path.rect(-0.01, -0.01, 1.02, 1.02);
  for (const i of cells) {
    const [x, y, side] = grid.squares.subarray(3 * i, 3 * i + 3);
    path.rect(x, y, side, side);
  }
  return path;
}

/** Size a canvas, which empties it, only where it is not of that size. @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
function sized(canvas, width, height) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}

/** How much of a cell's colour is kept, 0 to 1. @param {number} share @param {Scene['way']} way */
function strength(share, way) {
  if (way === 'against') return Math.max(0, -share);
  return way === 'both' ? Math.abs(share) : Math.max(0, share);
}

/** @param {Scene} scene @param {number} i */
export function square({ grid, frame }, i) {
  const squares = /** @type {Grid} */ (grid).squares;
  return {
    x: frame.left + squares[3 * i] * frame.side,
    y: frame.top + squares[3 * i + 1] * frame.side,
    side: squares[3 * i + 2] * frame.side,
  };
}

/** The cells on the screen. @param {Scene} scene @param {number} width @param {number} height */
export function visible(scene, width, height) {
  const grid = /** @type {Grid} */ (scene.grid);
  const seen = [];
  for (let i = 0; i < grid.length; i++) {
    const { x, y, side } = square(scene, i);
    if (x < width && y < height && x + side > 0 && y + side > 0) seen.push(i);
  }
  return seen;
}

/** @param {string} name @param {number} most */
export function short(name, most) {
  const first = name.split(',')[0];
  return first.length > most ? `${first.slice(0, most - 1)}…` : first;
}

/** @param {string} full @param {string} paper @param {number} amount */
function ramp(full, paper, amount) {
  return `color-mix(in oklab, ${full} ${Math.round(8 + 92 * Math.max(0, Math.min(1, amount)))}%, ${paper})`;
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} side @param {string} tone @param {number} strength */
function hatch(context, x, y, side, tone, strength) {
  context.save();
  context.beginPath();
  context.rect(x, y, side, side);
  context.clip();
  context.globalAlpha = 0.25 + 0.75 * strength;
  context.strokeStyle = tone;
  context.lineWidth = 1.2;
  context.beginPath();
  const apart = Math.max(4, side / 8);
  for (let at = -side; at < side; at += apart) {
    context.moveTo(x + at, y + side);
    context.lineTo(x + at + side, y);
  }
  context.stroke();
  context.restore();
}
