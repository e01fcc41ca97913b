// A drawing as SVG: what a canvas context is told, of which figures use a part, written down as vectors.

import { h } from '../dom.js';

/** How many pixels an embedded picture has for each of the drawing's. */
const FINE = 3;
const JPEG = 0.92;

/** Characters that XML does not allow: controls, halves of pairs, and two that are none. */
const FORBIDDEN = /(?![\t\n\r])\p{Cc}|\p{Cs}|[\ufffe\uffff]/gu;

/** @type {Record<string, string>} */
const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escape = (/** @type {string} */ text) =>
  text.replace(FORBIDDEN, '\ufffd').replace(/[&<>"]/g, (letter) => ESCAPES[letter]);

const n = (/** @type {number} */ value) => String(Math.round(value * 100) / 100);

const PLAIN = {
  fillStyle: '#000',
  strokeStyle: '#000',
  globalAlpha: 1,
  lineWidth: 1,
  lineCap: 'butt',
  font: '400 12px sans-serif',
  textAlign: 'left',
  textBaseline: 'alphabetic',
  dash: /** @type {number[]} */ ([]),
  groups: 0,
};

const ANCHORS = /** @type {Record<string, string>} */ ({ center: 'middle', right: 'end' });

export class SvgContext {
  constructor() {
    Object.assign(this, PLAIN);
    /** @type {typeof PLAIN[]} */
    this.saved = [];
    /** @type {string[]} */
    this.parts = [];
    /** @type {string[]} */
    this.definitions = [];
    this.path = '';
    this.measuring = /** @type {CanvasRenderingContext2D} */ (h('canvas').getContext('2d'));
    /** @type {Map<string, string>} */
    this.colours = new Map();
  }

  /** The state of the drawing. @returns {typeof PLAIN} */
  get #state() {
    return /** @type {any} */ (this);
  }

  save() {
    const { dash, ...rest } = Object.fromEntries(
      Object.keys(PLAIN).map((name) => [name, /** @type {any} */ (this)[name]]),
    );
    this.saved.push(/** @type {any} */ ({ ...rest, dash: [...dash] }));
    this.#state.groups = 0;
  }

  restore() {
    this.close();
    Object.assign(this, this.saved.pop());
  }

  /** Close the groups that were opened since the last `save`. */
  close() {
    this.parts.push('</g>'.repeat(this.#state.groups));
    this.#state.groups = 0;
  }

  /** @param {string} attributes */
  #group(attributes) {
    this.parts.push(`<g ${attributes}>`);
    this.#state.groups += 1;
  }

  /** @param {number} x @param {number} y */
  translate(x, y) {
    this.#group(`transform="translate(${n(x)} ${n(y)})"`);
  }

  /** @param {number} x @param {number} y */
  scale(x, y) {
    this.#group(`transform="scale(${x.toFixed(4)} ${y.toFixed(4)})"`);
  }

  clip() {
    const id = `clip${this.definitions.length}`;
    this.definitions.push(`<clipPath id="${id}"><path d="${this.path}"/></clipPath>`);
    this.#group(`clip-path="url(#${id})"`);
  }

  beginPath() {
    this.path = '';
  }

  /** @param {number} x @param {number} y */
  moveTo(x, y) {
    this.path += `M${n(x)} ${n(y)}`;
  }

  /** @param {number} x @param {number} y */
  lineTo(x, y) {
    this.path += `L${n(x)} ${n(y)}`;
  }

  /** @param {number} x @param {number} y @param {number} width @param {number} height */
  rect(x, y, width, height) {
    this.path += `M${n(x)} ${n(y)}h${n(width)}v${n(height)}h${n(-width)}z`;
  }

  /** Only the upper corners are round. @param {number} x @param {number} y @param {number} width @param {number} height @param {number[]} radii */
  roundRect(x, y, width, height, [radius]) {
    const arc = (/** @type {number} */ down) => `a${radius} ${radius} 0 0 1 ${radius} ${down}`;
    this.path += `M${n(x)} ${n(y + radius)}${arc(-radius)}h${n(width - 2 * radius)}${arc(radius)}v${n(height - radius)}h${n(-width)}z`;
  }

  /** @param {string} [rule] */
  fill(rule) {
    const even = rule === 'evenodd' ? ' fill-rule="evenodd"' : '';
    this.parts.push(`<path d="${this.path}"${even}${this.#filled()}/>`);
  }

  stroke() {
    this.parts.push(`<path d="${this.path}"${this.#stroked()}/>`);
  }

  /** @param {number} x @param {number} y @param {number} width @param {number} height */
  fillRect(x, y, width, height) {
    if (this.#state.globalAlpha > 0) this.parts.push(`<rect${box(x, y, width, height)}${this.#filled()}/>`);
  }

  /** @param {number} x @param {number} y @param {number} width @param {number} height */
  strokeRect(x, y, width, height) {
    this.parts.push(`<rect${box(x, y, width, height)}${this.#stroked()}/>`);
  }

  /** @param {number[]} dash */
  setLineDash(dash) {
    this.#state.dash = dash;
  }

  #opacity() {
    const { globalAlpha } = this.#state;
    return globalAlpha < 1 ? ` opacity="${n(globalAlpha)}"` : '';
  }

  #filled() {
    return ` fill="${this.#rgb(this.#state.fillStyle)}"${this.#opacity()}`;
  }

  #stroked() {
    const { strokeStyle, lineWidth, lineCap, dash } = this.#state;
    const dashed = dash.length ? ` stroke-dasharray="${dash.map(n).join(' ')}"` : '';
    const cap = lineCap === 'butt' ? '' : ` stroke-linecap="${lineCap}"`;
    return ` fill="none" stroke="${this.#rgb(strokeStyle)}" stroke-width="${n(lineWidth)}"${cap}${dashed}${this.#opacity()}`;
  }

  /** Return a colour as every program reads it. @param {string} colour */
  #rgb(colour) {
    const known = this.colours.get(colour);
    if (known) return known;
    const context = /** @type {CanvasRenderingContext2D} */ (h('canvas', { width: 1, height: 1 }).getContext('2d'));
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const bytes = [...context.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
    const text = `#${bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
    this.colours.set(colour, text);
    return text;
  }

  /** @param {string} text */
  measureText(text) {
    this.measuring.font = this.#state.font;
    return this.measuring.measureText(text);
  }

  /** @param {string} text @param {number} x @param {number} y */
  fillText(text, x, y) {
    const { font, textAlign, textBaseline } = this.#state;
    const [, weight, size, family] = /^(\d+) (\d+)px (.+)$/.exec(font) ?? ['', '400', '12', 'sans-serif'];
    const down = textBaseline === 'middle' ? Number(size) * 0.36 : 0;
    const anchor = ANCHORS[textAlign] ? ` text-anchor="${ANCHORS[textAlign]}"` : '';
    const type = ` font-family="${escape(family.replaceAll('"', "'"))}" font-size="${size}" font-weight="${weight}"`;
    this.parts.push(`<text x="${n(x)}" y="${n(y + down)}"${anchor}${type}${this.#filled()}>${escape(text)}</text>`);
  }

  /** Embed what is drawn within a box as a picture. @param {number} x @param {number} y @param {number} width @param {number} height @param {(context: CanvasRenderingContext2D) => void} draw */
  embed(x, y, width, height, draw) {
    const canvas = h('canvas', { width: Math.round(width * FINE), height: Math.round(height * FINE) });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    context.scale(FINE, FINE);
    draw(context);
    const address = canvas.toDataURL('image/jpeg', JPEG);
    this.parts.push(`<image${box(x, y, width, height)} preserveAspectRatio="none" href="${address}"/>`);
  }

  /** @param {number} width @param {number} height @param {string} title @param {string} description */
  text(width, height, title, description) {
    const size = `width="${n(width)}" height="${n(height)}" viewBox="0 0 ${n(width)} ${n(height)}"`;
    const words = `<title>${escape(title)}</title><desc>${escape(description)}</desc>`;
    const definitions = this.definitions.length ? `<defs>${this.definitions.join('')}</defs>` : '';
    return `<svg xmlns="http://www.w3.org/2000/svg" ${size}>${words}${definitions}${this.parts.join('\n')}</svg>\n`;
  }
}

/** @param {number} x @param {number} y @param {number} width @param {number} height */
const box = (x, y, width, height) => ` x="${n(x)}" y="${n(y)}" width="${n(width)}" height="${n(height)}"`;
