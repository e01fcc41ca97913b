// Full-size icons, in sheets of 8 × 8 cells that load on first use.

import { picture } from '../data/client.js';
import { showPicture } from '../data/pictures.js';

export const BLOCK = 8;

/** @type {Map<string, HTMLImageElement>} */
const sheets = new Map();

/** @param {import('./grid.js').Grid} grid @param {number} i */
function sheetOf(grid, i) {
  const y = Math.floor(grid.columns.row[i] / BLOCK);
  const x = Math.floor(grid.columns.col[i] / BLOCK);
  return picture('icons', { layer: grid.layer.name, grid: grid.size, y, x }, grid.of);
}

/** Return the sheet that holds a cell's icon, and start loading it. @param {import('./grid.js').Grid} grid @param {number} i */
export function sheet(grid, i) {
  const source = sheetOf(grid, i);
  let image = sheets.get(source);
  if (!image) {
    image = new Image();
    image.decoding = 'async';
    showPicture(image, source);
    sheets.set(source, image);
    image.addEventListener('error', () => sheets.delete(source));
  }
  return image;
}

/** Draw a cell's icon into a canvas once it has loaded. @param {HTMLCanvasElement} canvas @param {import('./grid.js').Grid} grid @param {number} i @param {(canvas: HTMLCanvasElement) => void} [meanwhile] draws a stand-in @param {() => void} [done] */
export function drawIcon(canvas, grid, i, meanwhile, done) {
  const image = sheet(grid, i);
  const stamp = `${sheetOf(grid, i)}#${i}`;
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
