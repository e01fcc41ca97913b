// At the deepest zoom real patches fade in over the foot of each icon: an icon is an optimum, these are what is there.

import { ask, live, picture } from '../../data/client.js';
import { show } from '../../data/pictures.js';
import { cellOf } from '../../map/grid.js';
import { square, visible } from '../../map/overlay.js';

const FROM = 240;
const WHOLE = 330;
const EACH = 4;
const MOST = 40;
const KEPT = 400;

/** @typedef {import('../../map/overlay.js').Scene} Scene */

export class Patches {
  /** @param {() => void} arrived */
  constructor(arrived) {
    this.arrived = arrived;
    /** @type {Map<string, HTMLImageElement>} */
    this.images = new Map();
  }

  /** @param {CanvasRenderingContext2D} context @param {Scene} scene */
  draw(context, scene) {
    const { grid, frame } = scene;
    if (!grid || frame.side / grid.size < FROM || !grid.facts.has.includes('members')) return;
    const box = context.canvas.getBoundingClientRect();
    const seen = visible(scene, box.width, box.height).slice(0, MOST);
    const strong = Math.min(1, (frame.side / grid.size - FROM) / (WHOLE - FROM));
    for (const i of seen) {
      const { x, y, side } = square(scene, i);
      if (side < FROM / 2) continue;
      const [wide, gap] = [(side - 16) / EACH - 1, 1];
      for (let index = 0; index < Math.min(EACH, grid.columns.count[i]); index++) {
        const image = this.#image(grid, i, index);
        if (!image.complete || !image.naturalWidth) continue;
        context.globalAlpha = strong;
        cover(context, image, x + 8 + index * (wide + gap), y + 8, wide);
      }
    }
    context.globalAlpha = 1;
  }

  /** @param {import('../../map/grid.js').Grid} grid @param {number} i @param {number} index */
  #image(grid, i, index) {
    const cell = cellOf(grid, i);
    const source = `${grid.layer.name}/${grid.size}/${i}/${index}`;
    let image = this.images.get(source);
    if (!image) {
      const made = (image = new Image());
      made.onload = this.arrived;
      const load = () => show(made, picture('member', { ...cell, index }, grid.of));
      // In exported files a cell's patches lie with what is told of it.
      if (live()) load();
      else ask('cell', cell, grid.of ?? undefined).then(load, () => {});
    }
    this.images.delete(source);
    this.images.set(source, image);
    for (const oldest of this.images.keys()) if (this.images.size > KEPT) this.images.delete(oldest);
    return image;
  }
}

/** Draw the middle square of a picture. @param {CanvasRenderingContext2D} context @param {HTMLImageElement} image @param {number} x @param {number} y @param {number} side */
function cover(context, image, x, y, side) {
  const part = Math.min(image.naturalWidth, image.naturalHeight);
  context.drawImage(
    image,
    (image.naturalWidth - part) / 2,
    (image.naturalHeight - part) / 2,
    part,
    part,
    x,
    y,
    side,
    side,
  );
}
