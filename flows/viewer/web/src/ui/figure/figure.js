// A figure to save: title, picture, legend, where it is from and how to cite it; as PNG or as SVG.

import { showPicture } from '../../data/pictures.js';
import { h } from '../dom.js';
import { many } from '../format.js';
import { colour } from '../theme.js';
import { FONTS } from './column.js';
import { compose, planOf } from './layout.js';
import { sourcesOf } from './sources.js';
import { SvgContext } from './svg.js';

/** @typedef {import('./types.js').Context} Context */
/** @typedef {import('./layout.js').Shape} Shape */
/** @typedef {import('./types.js').Figure} Figure */

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

/** Plan a figure once its fonts have loaded. @param {Figure} figure @param {Shape} shape */
async function planned(figure, shape) {
  await Promise.all(Object.values(FONTS).map((font) => document.fonts.load(font)));
  return planOf(figure, shape);
}

/** Return the size of a figure at its simple size. @param {Figure} figure @param {Shape} shape */
export async function sizeOf(figure, shape) {
  const { width, height, unit } = await planned(figure, shape);
  return { width: Math.round(width * unit), height: Math.round(height * unit) };
}

/** Draw a figure on a canvas, so many times as large. @param {Figure} figure @param {Shape} shape @param {number} times */
export async function drawn(figure, shape, times) {
  const plan = await planned(figure, shape);
  const { width, height } = await sizeOf(figure, shape);
  const canvas = h('canvas', { width: width * times, height: height * times });
  const context = /** @type {Context} */ (canvas.getContext('2d'));
  context.scale(times * plan.unit, times * plan.unit);
  context.imageSmoothingQuality = 'high';
  background(context, plan);
  compose(context, figure, shape, plan);
  return canvas;
}

/** @param {Context} context @param {{ width: number, height: number }} size */
function background(context, { width, height }) {
  context.fillStyle = colour('--paper');
  context.fillRect(0, 0, width, height);
}

/** @param {Figure} figure @param {Shape} shape @param {number} times @returns {Promise<Blob>} */
export async function asPng(figure, shape, times) {
  const canvas = await drawn(figure, shape, times);
  return new Promise((resolve, reject) => {
    canvas.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Error('This figure is too large to be saved.'))),
      'image/png',
    );
  });
}

/** @param {Figure} figure @param {Shape} shape @returns {Promise<Blob>} */
export async function asSvg(figure, shape) {
  const plan = await planned(figure, shape);
  const svg = new SvgContext();
  const context = /** @type {Context} */ (/** @type {unknown} */ (svg));
  if (plan.unit !== 1) context.scale(plan.unit, plan.unit);
  background(context, plan);
  compose(context, figure, shape, plan);
  if (plan.unit !== 1) svg.close();
  const { width, height } = await sizeOf(figure, shape);
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
