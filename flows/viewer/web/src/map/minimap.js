// A small map of all cells that frames the visible part, shown while only a part is visible.

import { picture } from '../data/client.js';
import { showPicture } from '../data/pictures.js';

const SIDE = 144;

export class Minimap {
  /** @param {HTMLElement} parent @param {(x: number, y: number) => void} look */
  constructor(parent, look) {
    this.canvas = document.createElement('canvas');
    this.canvas.className = 'minimap';
    this.canvas.setAttribute('aria-hidden', 'true');
    this.canvas.width = this.canvas.height = SIDE * 2;
    this.canvas.hidden = true;
    parent.append(this.canvas);
    this.image = new Image();
    const point = (/** @type {PointerEvent} */ event) => {
      if (!event.buttons) return;
      event.stopPropagation();
      look(event.offsetX / SIDE, event.offsetY / SIDE);
    };
    for (const kind of ['pointerdown', 'pointermove']) {
      this.canvas.addEventListener(kind, /** @type {EventListener} */ (point));
    }
  }

  /**
   * @param {import('./grid.js').Grid} grid
   * @param {Path2D | undefined} paper
   * @param {{ x: number, y: number, width: number, height: number }} visible
   * @param {Record<string, string>} colours
   */
  draw(grid, paper, visible, colours) {
    const whole = visible.width >= 0.95 && visible.height >= 0.95;
    this.canvas.hidden = whole || !grid.facts.icon;
    if (this.canvas.hidden) return;
    const level = Math.min(8, Math.ceil(Math.log2(grid.size * (grid.facts.icon + 1))));
    const source = picture('tile', { layer: grid.layer.name, grid: grid.size, level, x: 0, y: 0 });
    if (this.image.dataset.source !== source) {
      this.image.dataset.source = source;
      showPicture(this.image, source);
      this.image.onload = () => this.draw(grid, paper, visible, colours);
    }
    const context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext('2d'));
    const side = this.canvas.width;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, side, side);
    if (this.image.complete && this.image.naturalWidth) context.drawImage(this.image, 0, 0, side, side);
    context.setTransform(side, 0, 0, side, 0, 0);
    context.fillStyle = colours.paper;
    if (paper) context.fill(paper, 'evenodd');
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.strokeStyle = colours.accent;
    context.lineWidth = 4;
    context.strokeRect(visible.x * side, visible.y * side, visible.width * side, visible.height * side);
  }
}
