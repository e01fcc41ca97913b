// Where title, picture, legend and sources of a figure stand: as high as it needs, or 16 by 9 for a slide.

import { h } from '../dom.js';
import { colour } from '../theme.js';
import { Column } from './column.js';
import { sourcesOf } from './sources.js';

/** @typedef {CanvasRenderingContext2D} Context */
/** @typedef {import('./types.js').Figure} Figure */
/** Where the picture stands and its scale, whether the text stands beside it, and how much larger all of it is drawn. @typedef {{ width: number, height: number, x: number, y: number, scale: number, beside: boolean, unit: number }} Plan */

const MARGIN = 36;
/** The least width of a figure that is as high as it needs. */
const LEAST = 600;

/** The size of a slide, the widths at which it is laid out, narrow ones with large text first, and those of the text beside the picture. */
const SLIDE = { width: 1280, height: 720 };
const WIDTHS = [960, 1120, 1280, 1600, 1920, 2560];
const BESIDE = [300, 360, 440, 520];
/** The part of a slide that its picture covers at least, if any size allows it; and how far it is enlarged at most. */
const COVERED = 0.3;
const ENLARGED = 2;

/** Names of the shapes, as they are chosen. @type {[Shape, string][]} */
export const SHAPES = [
  ['page', 'As on the page'],
  ['slide', '16 : 9'],
];

/** @typedef {'page' | 'slide'} Shape */

/** @param {Column} column @param {Figure} figure */
function head(column, { title, lead }) {
  column.write('title', title, colour('--ink'));
  column.y += 4;
  column.write('lead', lead, colour('--quiet'));
}

/** @param {Column} column @param {Figure} figure */
function legend(column, figure) {
  for (const keys of figure.legend) column.keys(keys, colour('--ink'));
}

/** @param {Column} column @param {Figure} figure */
function sources(column, figure) {
  column.context.fillStyle = colour('--hair');
  column.context.fillRect(column.left, column.y, column.room, 1);
  column.y += 12;
  for (const line of sourcesOf(figure)) column.write('source', line, colour('--quiet'));
}

/** Return how high parts of the text are at a width. @param {Figure} figure @param {number} room @param {...(column: Column, figure: Figure) => void} parts */
function tallOf(figure, room, ...parts) {
  const column = new Column(/** @type {Context} */ (h('canvas').getContext('2d')), 0, 0, room);
  for (const part of parts) part(column, figure);
  return column.y;
}

/** Plan a figure, of which the fonts have loaded. @param {Figure} figure @param {Shape} shape @returns {Plan} */
export const planOf = (figure, shape) => (shape === 'page' ? pagePlan(figure) : slidePlan(figure));

/** @param {Figure} figure @returns {Plan} */
function pagePlan(figure) {
  const width = Math.round(Math.max(figure.width, LEAST) + 2 * MARGIN);
  const room = width - 2 * MARGIN;
  const y = MARGIN + tallOf(figure, room, head) + 16;
  const below = tallOf(figure, room, legend) + (figure.legend.length ? 12 : 0) + tallOf(figure, room, sources);
  return {
    width,
    height: Math.ceil(y + figure.height + 16 + below + MARGIN - 8),
    x: MARGIN,
    y,
    scale: 1,
    beside: false,
    unit: 1,
  };
}

/** Make the picture as large as it can be, with the text beside it or above and below. @param {Figure} figure @returns {Plan} */
function slidePlan(figure) {
  const covers = (/** @type {Plan} */ { width, height, scale }) =>
    (scale * scale * figure.width * figure.height) / (width * height);
  /** @type {Plan[]} */
  const best = WIDTHS.map((width) => {
    const height = (width * SLIDE.height) / SLIDE.width;
    const plans = [stacked(figure, width, height), ...BESIDE.map((room) => aside(figure, width, height, room))];
    return plans.reduce((most, plan) => (plan.scale > most.scale ? plan : most));
  });
  return best.find((plan) => covers(plan) >= COVERED) ?? best.reduce((a, b) => (covers(b) > covers(a) ? b : a));
}

/** @param {Figure} figure @param {number} width @param {number} height @param {number} room @returns {Plan} */
function aside(figure, width, height, room) {
  const tall = tallOf(figure, room, head, legend, sources) + 40;
  const [wide, high] = [width - 3 * MARGIN - room, height - 2 * MARGIN];
  const scale = tall > high ? 0 : scaleOf(figure, wide, high);
  return {
    width,
    height,
    x: MARGIN,
    y: (height - scale * figure.height) / 2,
    scale,
    beside: true,
    unit: SLIDE.width / width,
  };
}

/** @param {Figure} figure @param {number} width @param {number} height @returns {Plan} */
function stacked(figure, width, height) {
  const room = width - 2 * MARGIN;
  const [above, below] = [tallOf(figure, room, head) + 16, tallOf(figure, room, legend, sources) + 28];
  const high = height - 2 * MARGIN - above - below;
  const scale = scaleOf(figure, room, high);
  const y = MARGIN + above + Math.max(0, high - scale * figure.height) / 2;
  return { width, height, x: (width - scale * figure.width) / 2, y, scale, beside: false, unit: SLIDE.width / width };
}

/** @param {Figure} figure @param {number} wide @param {number} high */
const scaleOf = (figure, wide, high) => Math.max(0, Math.min(ENLARGED, wide / figure.width, high / figure.height));

/** Draw a figure by its plan. @param {Context} context @param {Figure} figure @param {Shape} shape @param {Plan} plan */
export function compose(context, figure, shape, plan) {
  const { width, height, x, y, scale, beside } = plan;
  const left = beside ? x + scale * figure.width + MARGIN : MARGIN;
  const room = width - MARGIN - left;
  const column = new Column(context, left, MARGIN, room);
  head(column, figure);
  context.save();
  context.translate(x, y);
  if (scale !== 1) context.scale(scale, scale);
  figure.draw(context);
  context.restore();
  column.y = beside ? column.y + 16 : y + scale * figure.height + 16;
  legend(column, figure);
  column.y += figure.legend.length ? 12 : 0;
  if (shape === 'slide') column.y = height - MARGIN - tallOf(figure, room, sources);
  sources(column, figure);
}
