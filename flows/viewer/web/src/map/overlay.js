// The overlay of a map: paper around the icons, fading, frames, labels and outlines.

import { colour } from '../ui/theme.js';
import { drawArrows } from './arrows.js';
import { drawMark } from './marks.js';
import { square, visible } from './scene.js';

/** @typedef {import('./grid.js').Grid} Grid */
/** @typedef {import('./scene.js').Scene} Scene */

export const ROOM = 56;
/** Room beside the text of a name, in pixels. */
const MARGIN = 12;
/** Letters of a name that are measured. */
const LONGEST = 60;
/** Letters that must be left of a name that is cut. */
const LEAST = 4;
const FONT = '500 12px "Inter Variable", system-ui, sans-serif';

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
    /** Text, middle, foot, width and strength of each label. @type {Map<number, [string, number, number, number, number]>} */
    this.labels = new Map();
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
    if (scene.hover >= 0) this.#outline(scene, scene.hover, 1.5, 'ink', context);
    if (scene.cursor >= 0) this.#outline(scene, scene.cursor, 2, 'accent', context);
    if (scene.open >= 0) this.#outline(scene, scene.open, 3, 'accent', context);
    // Labels go over the outlines.
    for (const i of new Set([scene.hover, scene.cursor, scene.open])) this.#label(i, context);
    return changed;
  }

  /** @param {Scene} scene @param {number} width @param {number} height */
  #changed(scene, width, height) {
    const { grid, frame, share, way, intensity, amount, lit, names, marks, arrows } = scene;
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
    this.labels.clear();
    if (!scene.grid) return;
    const cells = visible(scene, width / dots, height / dots);
    this.#paper(scene, cells, dots);
    if (scene.share) this.#fade(scene, cells);
    if (scene.amount) this.#amounts(scene, cells);
    const most = Math.max(...scene.lit.values(), 1);
    for (const [cell, n] of scene.lit) this.#lit(scene, cell, n, most);
    for (const i of scene.marks ? cells : []) {
      const mark = scene.marks?.get(i);
      if (mark) drawMark(context, mark, square(scene, i), this.colours, scene.maybe);
    }
    if (scene.arrows) drawArrows(context, scene.frame, scene.arrows, this.colours);
    if (scene.names !== 'none') this.#names(scene, cells);
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

  /** Fade cells by their attribution to the class; hatch those that speak against it. @param {Scene} scene @param {number[]} cells */
  #fade(scene, cells) {
    const context = this.context;
    for (const i of cells) {
      const share = /** @type {Float32Array} */ (scene.share)[i];
      const { x, y, side } = square(scene, i);
      context.globalAlpha = 1 - kept(scene, i);
      context.fillStyle = this.colours.paper;
      context.fillRect(x, y, side, side);
      context.globalAlpha = 1;
      if (share < -0.02 && scene.way !== 'for') hatch(context, x, y, side, this.colours.against, Math.min(1, -share));
    }
  }

  /** Frame each icon in the colour of its value; cover small ones. @param {Scene} scene @param {number[]} cells */
  #amounts(scene, cells) {
    const context = this.context;
    for (const i of cells) {
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

  /** Write on each cell the name that stands out most, within the cell's own square of the grid. @param {Scene} scene @param {number[]} cells */
  #names(scene, cells) {
    const grid = /** @type {Grid} */ (scene.grid);
    const cell = scene.frame.side / grid.size;
    if (cell < ROOM) return;
    const context = this.context;
    context.font = FONT;
    for (const i of cells) {
      const [found] = grid.standing(i, scene.names);
      const text = found && fitting(context, found.name.slice(0, LONGEST), cell - MARGIN);
      if (!text) continue;
      const { x, y, side } = square(scene, i);
      const wide = context.measureText(text).width + MARGIN - 4;
      this.labels.set(i, [text, x + side / 2, y + side, wide, kept(scene, i)]);
      this.#label(i, context);
    }
  }

  /** Draw the label of a cell, if it has one, over the foot of its icon. @param {number} i @param {CanvasRenderingContext2D} context */
  #label(i, context) {
    const label = this.labels.get(i);
    if (!label) return;
    const [text, middle, foot, wide, strong] = label;
    context.globalAlpha = 0.88 * strong;
    context.fillStyle = this.colours.paper;
    context.beginPath();
    context.roundRect(middle - wide / 2, foot - 18, wide, 18, [3, 3, 0, 0]);
    context.fill();
    context.globalAlpha = strong;
    context.font = FONT;
    context.textAlign = 'center';
    context.textBaseline = 'alphabetic';
    context.fillStyle = this.colours.ink;
    context.fillText(text, middle, foot - 5);
    context.globalAlpha = 1;
  }

  /** Outline a cell that positions of the located image fall in: the more, the wider, with their number where there is room. @param {Scene} scene @param {number} i @param {number} n @param {number} most */
  #lit(scene, i, n, most) {
    this.#outline(scene, i, 1 + 4 * Math.sqrt(n / most), 'ink');
    const { x, y, side } = square(scene, i);
    if (side < ROOM / 2) return;
    const context = this.context;
    context.font = FONT;
    const wide = context.measureText(String(n)).width + 8;
    context.fillStyle = this.colours.ink;
    context.fillRect(x, y, wide, 16);
    context.fillStyle = this.colours.paper;
    context.textAlign = 'left';
    context.textBaseline = 'alphabetic';
    context.fillText(String(n), x + 4, y + 12);
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

/** Return how much of its colour a cell keeps, 0 to 1. @param {number} share @param {Scene['way']} way */
function strength(share, way) {
  if (way === 'against') return Math.max(0, -share);
  return way === 'both' ? Math.abs(share) : Math.max(0, share);
}

/** Return how much of its colour a cell keeps under the class filter, 0 to 1; its name fades with it. @param {Scene} scene @param {number} i */
const kept = ({ share, intensity, way }, i) => (share ? 1 - intensity * (1 - strength(share[i], way)) : 1);

/** Cut a text to a width; nothing where too little of it would be left. @param {CanvasRenderingContext2D} context @param {string} text @param {number} room */
function fitting(context, text, room) {
  let cut = text;
  for (let most = text.length - 1; most >= LEAST - 1 && context.measureText(cut).width > room; most--) {
    cut = `${text.slice(0, most).trimEnd()}…`;
  }
  return context.measureText(cut).width > room ? '' : cut;
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
