// An image with the grid of a layer's positions on it.

import { h } from './dom.js';
import { colour } from './theme.js';
import { hatching } from './hatch.js';

const VEIL = 0.85;

/** The share of the strongest value below which a position is not hatched. */
const FAINT = 0.04;

/**
 * @typedef {object} Listeners
 * @property {(y: number, x: number) => void} hover  −1, −1 once the pointer has left
 * @property {(y: number, x: number) => void} [press]
 * @property {(y: number, x: number) => void} [walk] called instead of hover when an arrow key moves, to announce the position
 */

export class Positions {
  /**
   * @param {HTMLImageElement} image
   * @param {{ rows: number, cols: number, seen: [number, number, number, number], words: string }} facts
   * @param {Listeners} listeners
   */
  constructor(image, facts, listeners) {
    this.image = image;
    this.facts = facts;
    this.listeners = listeners;
    /** The value that colours each position, −1 to 1. @type {number[][] | null} */
    this.values = null;
    /** A picture to overlay instead of values. @type {HTMLCanvasElement | null} */
    this.picture = null;
    /** The negative part of that picture as opacity: it is hatched. @type {HTMLCanvasElement | null} */
    this.against = null;
    /** Whether the photo is faded, so that the overlay stands out. */
    this.veiled = false;
    /** The opacity of the overlay, 0 to 1. */
    this.mix = 0.7;
    /** @type {Set<string>} */
    this.lit = new Set();
    this.at = { y: -1, x: -1 };
    this.canvas = h('canvas', {
      class: 'positions',
      tabindex: 0,
      role: 'application',
      'aria-label': `${facts.words}. Arrow keys walk the ${facts.rows} × ${facts.cols} positions.`,
    });
    this.element = h('div', { class: 'positioned' }, image, this.canvas);
    this.canvas.addEventListener('pointermove', (event) => this.#point(event, listeners.hover));
    this.canvas.addEventListener('pointerleave', () => {
      this.mark(-1, -1);
      listeners.hover(-1, -1);
    });
    this.canvas.addEventListener('click', (event) => this.#point(event, listeners.press ?? listeners.hover));
    this.canvas.addEventListener('keydown', (event) => this.#key(event));
    this.sized = new ResizeObserver(() => this.draw());
    this.sized.observe(image);
    this.restyle = () => this.draw();
    addEventListener('themechange', this.restyle);
  }

  /** @param {MouseEvent} event @param {(y: number, x: number) => void} act */
  #point(event, act) {
    const { rows, cols, seen } = this.facts;
    const box = this.canvas.getBoundingClientRect();
    const across = ((event.clientX - box.left) / box.width - seen[0]) / (seen[2] - seen[0]);
    const down = ((event.clientY - box.top) / box.height - seen[1]) / (seen[3] - seen[1]);
    const inside = across >= 0 && across < 1 && down >= 0 && down < 1;
    const [y, x] = inside ? [Math.floor(down * rows), Math.floor(across * cols)] : [-1, -1];
    if (act === this.listeners.hover && y === this.at.y && x === this.at.x) return;
    this.mark(y, x);
    act(y, x);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const next = moveBy(event.key, this.at, this.facts.rows, this.facts.cols);
    if (event.key === 'Enter' && this.at.y >= 0) this.listeners.press?.(this.at.y, this.at.x);
    else if (next) {
      this.mark(...next);
      (this.listeners.walk ?? this.listeners.hover)(...next);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {number} y @param {number} x */
  mark(y, x) {
    this.at = { y, x };
    this.draw();
  }

  draw() {
    const dots = devicePixelRatio || 1;
    const { offsetWidth: width, offsetHeight: height } = this.image;
    this.canvas.width = Math.round(width * dots);
    this.canvas.height = Math.round(height * dots);
    const context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext('2d'));
    context.scale(dots, dots);
    const { rows, cols } = this.facts;
    if (this.picture) this.#overlay(context, this.picture, width, height);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < cols; x++) this.#cell(context, y, x, this.#box(y, x, width, height));
    }
    if (this.at.y >= 0) outline(context, this.#box(this.at.y, this.at.x, width, height), colour('--accent'), 2.5);
  }

  /** @param {CanvasRenderingContext2D} context @param {HTMLCanvasElement} picture @param {number} width @param {number} height */
  #overlay(context, picture, width, height) {
    const [left, top, right, bottom] = this.facts.seen;
    if (this.veiled) {
      context.globalAlpha = this.mix * VEIL;
      context.fillStyle = colour('--paper');
      context.fillRect(left * width, top * height, (right - left) * width, (bottom - top) * height);
    }
    context.globalAlpha = this.mix;
    context.imageSmoothingEnabled = picture.width > this.facts.cols;
    context.drawImage(picture, left * width, top * height, (right - left) * width, (bottom - top) * height);
    if (this.against && this.canvas.width && this.canvas.height) this.#hatch(context, this.against, width, height);
    context.globalAlpha = 1;
  }

  /** @param {CanvasRenderingContext2D} context @param {HTMLCanvasElement} against @param {number} width @param {number} height */
  #hatch(context, against, width, height) {
    const [left, top, right, bottom] = this.facts.seen;
    const sheet = h('canvas', { width: this.canvas.width, height: this.canvas.height });
    const lines = /** @type {CanvasRenderingContext2D} */ (sheet.getContext('2d'));
    lines.scale(devicePixelRatio || 1, devicePixelRatio || 1);
    lines.drawImage(against, left * width, top * height, (right - left) * width, (bottom - top) * height);
    lines.globalCompositeOperation = 'source-in';
    lines.fillStyle = hatching(lines);
    lines.fillRect(0, 0, width, height);
    context.drawImage(sheet, 0, 0, width, height);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} y @param {number} x @param {[number, number, number, number]} box */
  #cell(context, y, x, box) {
    const value = this.picture ? undefined : this.values?.[y]?.[x];
    if (value !== undefined) {
      context.globalAlpha = Math.min(1, Math.abs(value)) * this.mix;
      context.fillStyle = colour(value < 0 ? '--against' : '--for');
      context.fillRect(...box);
      if (value < -FAINT) {
        context.globalAlpha = Math.sqrt(Math.min(1, Math.abs(value))) * this.mix;
        context.fillStyle = hatching(context);
        context.fillRect(...box);
      }
      context.globalAlpha = 1;
    }
    context.strokeStyle = 'rgb(255 255 255 / 35%)';
    context.lineWidth = 0.5;
    context.strokeRect(...box);
    if (this.lit.has(`${y},${x}`)) outline(context, box, colour('--accent'), 2);
  }

  /** @param {number} y @param {number} x @param {number} width @param {number} height @returns {[number, number, number, number]} */
  #box(y, x, width, height) {
    const { rows, cols, seen } = this.facts;
    const [wide, tall] = [((seen[2] - seen[0]) * width) / cols, ((seen[3] - seen[1]) * height) / rows];
    return [seen[0] * width + x * wide, seen[1] * height + y * tall, wide, tall];
  }

  close() {
    this.sized.disconnect();
    removeEventListener('themechange', this.restyle);
  }
}

/** Return the position that an arrow key moves to, null for any other key. @param {string} key @param {{ y: number, x: number }} at −1, −1 where none is marked @param {number} rows @param {number} cols @returns {[number, number] | null} */
export function moveBy(key, { y, x }, rows, cols) {
  const step = /** @type {Record<string, [number, number]>} */ ({
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
  })[key];
  if (!step) return null;
  return y < 0 ? [0, 0] : [Math.max(0, Math.min(rows - 1, y + step[0])), Math.max(0, Math.min(cols - 1, x + step[1]))];
}

/** @param {CanvasRenderingContext2D} context @param {[number, number, number, number]} box @param {string} tone @param {number} width */
function outline(context, [x, y, wide, tall], tone, width) {
  context.strokeStyle = '#fff';
  context.lineWidth = width + 1.5;
  context.strokeRect(x + 1, y + 1, wide - 2, tall - 2);
  context.strokeStyle = tone;
  context.lineWidth = width;
  context.strokeRect(x + 1, y + 1, wide - 2, tall - 2);
}
