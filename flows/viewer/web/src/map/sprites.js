// Full-size icons, in sheets of 8 × 8 cells that load on first use.

import { ask, live, picture } from '../data/client.js';
import { showPicture } from '../data/pictures.js';

export const BLOCK = 8;

/** @type {Map<string, HTMLImageElement>} */
const sheets = new Map();

/** Return the place of the sheet that holds a cell's icon. @param {import('./grid.js').Grid} grid @param {number} i */
function placeOf(grid, i) {
  const y = Math.floor(grid.columns.row[i] / BLOCK);
  const x = Math.floor(grid.columns.col[i] / BLOCK);
  return { layer: grid.layer.name, grid: grid.size, y, x };
}

/** Return a name for that sheet: its address, or in an export, which holds one run, its place. @param {import('./grid.js').Grid} grid @param {number} i */
const nameOf = (grid, i) =>
  live() ? picture('icons', placeOf(grid, i), grid.of) : Object.values(placeOf(grid, i)).join('/');

/** Return the sheet that holds a cell's icon, and start loading it. @param {import('./grid.js').Grid} grid @param {number} i */
export function sheet(grid, i) {
  const name = nameOf(grid, i);
  const known = sheets.get(name);
  if (known) return known;
  const image = new Image();
  image.decoding = 'async';
  sheets.set(name, image);
  image.addEventListener('error', () => sheets.delete(name));
  const place = placeOf(grid, i);
  const show = () => showPicture(image, picture('icons', place, grid.of));
  // An export holds its sheets in scripts.
  if (live()) show();
  else ask('icons', place, grid.of).then(show, () => image.dispatchEvent(new Event('error')));
  return image;
}

/** Draw a cell's icon into a canvas once it has loaded. @param {HTMLCanvasElement} canvas @param {import('./grid.js').Grid} grid @param {number} i @param {(canvas: HTMLCanvasElement) => void} [meanwhile] draws a stand-in @param {() => void} [done] */
export function drawIcon(canvas, grid, i, meanwhile, done) {
  const image = sheet(grid, i);
  const stamp = `${nameOf(grid, i)}#${i}`;
  canvas.dataset.icon = stamp;
  const draw = () => {
    if (canvas.dataset.icon !== stamp) return;
    const side = grid.facts.icon;
    const left = (grid.columns.col[i] % BLOCK) * side;
    const top = (grid.columns.row[i] % BLOCK) * side;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    context.imageSmoothingQuality = 'high';
    context.drawImage(image, left, top, side, side, 0, 0, canvas.width, canvas.height);
    done?.();
  };
  if (image.complete && image.naturalWidth) draw();
  else {
    meanwhile?.(canvas);
    image.addEventListener('load', draw, { once: true });
  }
}

/** Return a cell's icon as an element. @param {import('./grid.js').Grid} grid @param {number} i @param {number} side @param {string} words */
export function icon(grid, i, side, words) {
  const canvas = document.createElement('canvas');
  const dots = Math.min(2, Math.ceil(devicePixelRatio || 1));
  canvas.width = canvas.height = side * dots;
  canvas.style.width = canvas.style.height = `${side}px`;
  canvas.className = 'icon';
  if (words) {
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', words);
  } else canvas.setAttribute('aria-hidden', 'true');
  if (grid.facts.icon) drawIcon(canvas, grid, i);
  return canvas;
}
