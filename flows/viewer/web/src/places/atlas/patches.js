// Real patches that fade in over the icons at the deepest zoom: an icon is an optimum, these are data.

import { ask, live, picture } from '../../data/client.js';
import { showPicture } from '../../data/pictures.js';
import { cellOf } from '../../map/grid.js';
import { square, visible } from '../../map/scene.js';

const FROM = 240;
const WHOLE = 330;
const EACH = 4;
/** The least side of a patch: small cells show fewer. */
const LEAST = 28;
const KEPT = 1600;

/** @typedef {import('../../map/scene.js').Scene} Scene */

export class Patches {
  /** @param {() => void} loaded */
  constructor(loaded) {
    this.loaded = loaded;
    /** @type {Map<string, HTMLImageElement>} */
    this.images = new Map();
  }

  /** @param {CanvasRenderingContext2D} context @param {Scene} scene @param {number} width @param {number} height of what is seen */
  draw(context, scene, width, height) {
    const { grid, frame } = scene;
    if (!grid || frame.side / grid.size < FROM || !grid.facts.has.includes('members')) return;
    const cells = visible(scene, width, height);
    const strong = Math.min(1, (frame.side / grid.size - FROM) / (WHOLE - FROM));
    for (const i of cells) {
      const { x, y, side } = square(scene, i);
      const edge = Math.min(8, side / 12);
      const fitting = Math.max(1, Math.min(EACH, Math.floor((side - 2 * edge) / LEAST)));
      const wide = Math.min((side - 2 * edge) / fitting - 1, side / 2);
      for (let index = 0; index < Math.min(fitting, grid.columns.count[i]); index++) {
        const image = this.#image(grid, i, index);
        if (!image.complete || !image.naturalWidth) continue;
        context.globalAlpha = strong;
        cover(context, image, x + edge + index * (wide + 1), y + edge, wide);
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
      const fresh = (image = new Image());
      fresh.onload = this.loaded;
      const load = () => showPicture(fresh, picture('member', { ...cell, index }, grid.of));
      // An export stores a cell's patches with its details.
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
