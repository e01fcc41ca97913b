// A figure to save: title, picture, legend, where it is from and how to cite it; as PNG or as SVG.

import { live } from '../../data/client.js';
import { showPicture } from '../../data/pictures.js';
import { host } from '../../data/transport.js';
import { format } from '../../state/address.js';
import { placeOf } from '../../state/places.js';
import { h } from '../dom.js';
import { many } from '../format.js';
import { colour } from '../theme.js';
import { SvgContext } from './svg.js';

/** @typedef {CanvasRenderingContext2D} Context */
/** One entry of the legend: a sign of `wide` pixels, if it has one, and words. @typedef {{ words: string, wide?: number, sign?: (context: Context, x: number, y: number) => void }} Key */
/**
 * @typedef {object} Figure
 * @property {string} name  of the file
 * @property {string} title
 * @property {string} lead
 * @property {number} width  of the picture
 * @property {number} height
 * @property {(context: Context) => void} draw  the picture, of which everything has loaded
 * @property {Key[][]} legend  lines of entries
 * @property {About[]} of  the runs it shows
 * @property {import('../../state/address.js').State} state
 */

const MARGIN = 36;
const LEAST = 600;
const TEXT = '"Inter Variable", Inter, system-ui, sans-serif';
const SERIF = '"Newsreader Variable", Newsreader, Georgia, serif';
const FONTS = {
  title: `500 26px ${SERIF}`,
  lead: `400 14px ${TEXT}`,
  key: `400 13px ${TEXT}`,
  source: `400 11px ${TEXT}`,
};
const LINES = { title: 32, lead: 20, key: 20, source: 16 };

/** @typedef {keyof typeof FONTS} Kind */

/** The address of a figure: of the version that it shows, without the reader's token or folders. @param {Figure} figure */
export function addressOf({ state, of }) {
  const query = Object.fromEntries(Object.entries(state.query).filter(([name]) => name !== 'token'));
  const [one, other] = of;
  const pair = placeOf(state.place).needs === 'runs' && { other: `${other.name}@${other.version}` };
  const address = format({ ...state, name: one.name, version: one.version, query, ...pair });
  if (host) return address;
  if (live()) return `${location.origin}${address}`;
  const file = location.pathname.split('/').at(-1) || 'index.html';
  return location.protocol === 'file:' ? `${file}#${address}` : `${location.origin}${location.pathname}#${address}`;
}

/** What stands below a figure: run and version, address, citation. @param {Figure} figure */
export const sourcesOf = (figure) => [
  `${figure.of.map(({ name, version }) => `${name}@${version}`).join(' and ')} · ${addressOf(figure)}`,
  `Cite: ${figure.of.map(({ cite }) => cite.text).join(' ')} ${figure.of[0].cite.method}`,
];

/** Return the name of a file without what some systems do not allow in it. @param {...(string | number | undefined)} parts */
export const fileName = (...parts) =>
  parts
    .filter((part) => part !== undefined && part !== '')
    .join('-')
    .replace(/[^\w.@-]+/g, '-')
    .slice(0, 120);

/** Say what a run is made from. @param {About} about */
export function from({ name, version, model, listed, rejected }) {
  const images = listed - Object.values(rejected).reduce((sum, n) => sum + n, 0);
  return `${name}@${version}: ${model}, ${many(images, 'image')}`;
}

/** Break a text into lines of a width; a word that is too long is cut. @param {Context} context @param {string} text @param {number} room */
function wrapped(context, text, room) {
  const words = text.split(/ +/).flatMap((word) => pieces(context, word, room));
  /** @type {string[]} */
  const lines = [];
  for (const word of words) {
    const longer = lines.length ? `${lines[lines.length - 1]} ${word}` : word;
    if (lines.length && context.measureText(longer).width <= room) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** @param {Context} context @param {string} word @param {number} room */
function pieces(context, word, room) {
  const parts = [''];
  for (const letter of word) {
    if (context.measureText(parts[parts.length - 1] + letter).width > room) parts.push('');
    parts[parts.length - 1] += letter;
  }
  return parts;
}

/** Draws from the top downwards. */
class Column {
  /** @param {Context} context @param {number} width */
  constructor(context, width) {
    this.context = context;
    this.room = width;
    this.y = MARGIN;
  }

  /** @param {Kind} kind @param {string} text @param {string} tone */
  write(kind, text, tone) {
    const { context } = this;
    context.font = FONTS[kind];
    for (const line of text ? wrapped(context, text, this.room) : []) {
      this.#line(kind, line, MARGIN, tone);
      this.y += LINES[kind];
    }
  }

  /** @param {Kind} kind @param {string} text @param {number} x @param {string} tone */
  #line(kind, text, x, tone) {
    const { context } = this;
    context.font = FONTS[kind];
    context.fillStyle = tone;
    context.textAlign = 'left';
    context.textBaseline = 'alphabetic';
    context.fillText(text, x, this.y + LINES[kind] * 0.74);
  }

  /** Draw entries beside each other, and those without room below. @param {Key[]} keys @param {string} tone */
  keys(keys, tone) {
    const { context } = this;
    context.font = FONTS.key;
    let x = 0;
    for (const { words, wide = 0, sign } of keys) {
      context.font = FONTS.key;
      const indent = wide ? wide + 8 : 0;
      const lines = wrapped(context, words, this.room - indent);
      const width = indent + Math.max(0, ...lines.map((line) => context.measureText(line).width));
      if (x && x + width > this.room) {
        x = 0;
        this.y += LINES.key;
      }
      sign?.(context, MARGIN + x, this.y + LINES.key / 2);
      lines.forEach((line, i) => {
        if (i) this.y += LINES.key;
        this.#line('key', line, MARGIN + x + indent, tone);
      });
      x += width + 20;
    }
    if (keys.length) this.y += LINES.key;
  }
}

/** Draw a figure; return its height. @param {Context} context @param {Figure} figure @param {(context: Context, width: number, height: number) => void} [draw] instead of the picture */
function compose(context, figure, draw = (inner) => figure.draw(inner)) {
  const [ink, quiet] = [colour('--ink'), colour('--quiet')];
  const column = new Column(context, widthOf(figure) - 2 * MARGIN);
  column.write('title', figure.title, ink);
  column.write('lead', figure.lead, quiet);
  column.y += 16;
  context.save();
  context.translate(MARGIN, column.y);
  draw(context, figure.width, figure.height);
  context.restore();
  column.y += figure.height + 16;
  for (const keys of figure.legend) column.keys(keys, ink);
  column.y += figure.legend.length ? 12 : 0;
  context.fillStyle = colour('--hair');
  context.fillRect(MARGIN, column.y, column.room, 1);
  column.y += 12;
  for (const line of sourcesOf(figure)) column.write('source', line, quiet);
  return column.y + MARGIN - 8;
}

/** @param {Figure} figure */
const widthOf = (figure) => Math.round(Math.max(figure.width, LEAST) + 2 * MARGIN);

/** Return the size of a figure at its simple size. @param {Figure} figure */
export async function sizeOf(figure) {
  await Promise.all(Object.values(FONTS).map((font) => document.fonts.load(font)));
  const context = /** @type {Context} */ (h('canvas').getContext('2d'));
  return { width: widthOf(figure), height: Math.ceil(compose(context, figure, () => {})) };
}

/** Draw a figure on a canvas, so many times as large. @param {Figure} figure @param {number} times */
export async function drawn(figure, times) {
  const { width, height } = await sizeOf(figure);
  const canvas = h('canvas', { width: width * times, height: height * times });
  const context = /** @type {Context} */ (canvas.getContext('2d'));
  context.scale(times, times);
  context.imageSmoothingQuality = 'high';
  context.fillStyle = colour('--paper');
  context.fillRect(0, 0, width, height);
  compose(context, figure);
  return canvas;
}

/** @param {Figure} figure @param {number} times @returns {Promise<Blob>} */
export async function asPng(figure, times) {
  const canvas = await drawn(figure, times);
  return new Promise((resolve, reject) => {
    canvas.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Error('This figure is too large to be saved.'))),
      'image/png',
    );
  });
}

/** @param {Figure} figure @returns {Promise<Blob>} */
export async function asSvg(figure) {
  const { width, height } = await sizeOf(figure);
  const svg = new SvgContext();
  const context = /** @type {Context} */ (/** @type {unknown} */ (svg));
  context.fillStyle = colour('--paper');
  context.fillRect(0, 0, width, height);
  compose(context, figure);
  const text = svg.text(width, height, figure.title, sourcesOf(figure).join('\n'));
  return new Blob([text], { type: 'image/svg+xml' });
}

/** Draw a picture within a box, cut at its edges; in SVG it is one embedded picture. @param {Context} context @param {[number, number, number, number]} box x, y, width and height @param {(context: Context) => void} draw */
export function raster(context, [x, y, width, height], draw) {
  const opaque = (/** @type {Context} */ inner) => {
    inner.imageSmoothingQuality = 'high';
    inner.fillStyle = colour('--paper');
    inner.fillRect(0, 0, width, height);
    draw(inner);
  };
  if (context instanceof SvgContext) return context.embed(x, y, width, height, opaque);
  context.save();
  context.translate(x, y);
  clipped(context, width, height);
  opaque(context);
  context.restore();
}

/** Draw nothing beyond a box. @param {Context} context @param {number} width @param {number} height */
export function clipped(context, width, height) {
  context.beginPath();
  context.rect(0, 0, width, height);
  context.clip();
}

/** Load a picture to draw. @param {string} address @returns {Promise<HTMLImageElement | null>} null where there is none */
export function loaded(address) {
  const image = new Image();
  return new Promise((resolve) => {
    image.onload = () => resolve(image);
    image.onerror = () => resolve(null);
    showPicture(image, address);
  });
}
