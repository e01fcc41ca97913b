// The part of a map on show, to be drawn in a figure: icons at full size, and what is painted over them.

import { clipped, raster } from '../ui/figure/figure.js';
import { colour } from '../ui/theme.js';
import { outline, paint } from './paint.js';
import { square, visible } from './scene.js';
import { BLOCK, sheet } from './sprites.js';

/** @typedef {import('./scene.js').Scene} Scene */
/** @typedef {CanvasRenderingContext2D} Context */

/** Room around the cells, in pixels. */
const ROOM = 6;

/**
 * Load what a map shows; return its size, without empty borders, and a function that draws it.
 * @param {Scene} scene
 * @param {{ width: number, height: number }} room  of the map on the screen
 * @param {Record<string, string>} colours
 * @param {(context: Context, scene: Scene, width: number, height: number) => void} [more] draws over the icons
 */
export async function mapPicture(scene, room, colours, more) {
  const grid = /** @type {import('./grid.js').Grid} */ (scene.grid);
  const cells = visible(scene, room.width, room.height);
  const sheets = new Map(cells.map((i) => [i, grid.facts.icon ? sheet(grid, i) : null]));
  await Promise.all([...new Set(sheets.values())].map((image) => image && arrived(image)));
  if (scene.names !== 'none') await grid.loadNames().catch(() => {});
  const part = bounds(scene, cells, room);
  const { left, top, side } = scene.frame;
  const own = { ...scene, frame: { left: left - part.x, top: top - part.y, side } };
  const icons = (/** @type {Context} */ context) => {
    for (const i of cells) drawCell(context, own, i, sheets.get(i) ?? null);
    more?.(context, own, part.width, part.height);
  };
  const draw = (/** @type {Context} */ context) => {
    raster(context, [0, 0, part.width, part.height], icons);
    context.save();
    clipped(context, part.width, part.height);
    paint(context, own, cells, colours);
    if (own.open >= 0) outline(context, own, own.open, 3, colours.accent, colours);
    context.restore();
  };
  return { width: part.width, height: part.height, whole: cells.length === grid.length, draw };
}

/** Wait for an image, or for its failure. @param {HTMLImageElement} image @returns {Promise<void>} */
function arrived(image) {
  if (image.complete && image.naturalWidth) return Promise.resolve();
  return new Promise((resolve) => {
    for (const event of ['load', 'error']) image.addEventListener(event, () => resolve(), { once: true });
  });
}

/** Return the box around the cells on the screen. @param {Scene} scene @param {number[]} cells @param {{ width: number, height: number }} room */
function bounds(scene, cells, room) {
  let [left, top, right, bottom] = [room.width, room.height, 0, 0];
  for (const i of cells) {
    const { x, y, side } = square(scene, i);
    left = Math.min(left, x);
    top = Math.min(top, y);
    right = Math.max(right, x + side);
    bottom = Math.max(bottom, y + side);
  }
  const [x, y] = [Math.floor(Math.max(0, left - ROOM)), Math.floor(Math.max(0, top - ROOM))];
  const width = Math.ceil(Math.min(room.width, right + ROOM)) - x;
  return { x, y, width: Math.max(1, width), height: Math.max(1, Math.ceil(Math.min(room.height, bottom + ROOM)) - y) };
}

/** @param {Context} context @param {Scene} scene @param {number} i @param {HTMLImageElement | null} image */
function drawCell(context, scene, i, image) {
  const { facts, columns } = /** @type {import('./grid.js').Grid} */ (scene.grid);
  const { x, y, side } = square(scene, i);
  context.fillStyle = colour('--shape');
  if (!image?.naturalWidth) return context.fillRect(x, y, side, side);
  const [left, top] = [(columns.col[i] % BLOCK) * facts.icon, (columns.row[i] % BLOCK) * facts.icon];
  context.drawImage(image, left, top, facts.icon, facts.icon, x, y, side, side);
}
