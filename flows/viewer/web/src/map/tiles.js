// The tiles of a map, by OpenSeadragon: one image per grid over the unit square; the one that suits the zoom is visible.

import OpenSeadragon from 'openseadragon';
import { picture } from '../data/client.js';
import { tiles } from '../data/pictures.js';
import { reducedMotion } from '../ui/theme.js';

const FINEST = 40;
const MARGIN = 0.03;
const DEEPEST = 640;

/** How long the previous grid stays visible while the tiles of the next load, in milliseconds. */
const TIMEOUT = 1200;

/** @typedef {{ x: number, y: number, zoom: number }} View */

export class Tiles {
  /**
   * @param {HTMLElement} element
   * @param {{ moved: () => void, settled: () => void, resized: () => void, clicked: (x: number, y: number) => void }} listeners
   * @param {About} [of] the run, where it is not the open one
   */
  constructor(element, listeners, of) {
    this.of = of;
    preventStyle();
    const viewer = OpenSeadragon(
      /** @type {any} */ ({
        element,
        drawer: 'canvas',
        prefixUrl: '',
        showNavigationControl: false,
        gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
        gestureSettingsTouch: { clickToZoom: false },
        gestureSettingsPen: { clickToZoom: false },
        gestureSettingsUnknown: { clickToZoom: false },
        visibilityRatio: 0.4,
        minZoomImageRatio: 0.5,
        maxZoomPixelRatio: 64,
        zoomPerScroll: 1.25,
        animationTime: reducedMotion() ? 0 : 0.35,
        blendTime: 0,
        immediateRender: true,
        imageLoaderLimit: 6,
        maxImageCacheCount: 400,
        crossOriginPolicy: false,
        tabIndex: -1,
      }),
    );
    this.viewer = viewer;
    /** Tiles that failed to load: OpenSeadragon takes them for tiles that do not exist. @type {any[]} */
    let failures = [];
    viewer.addHandler('tile-load-failed', ({ tile, tiledImage }) => {
      failures.push({ tile, tiledImage });
    });
    this.retry = () => {
      for (const { tile, tiledImage } of failures) {
        tile.exists = true;
        tiledImage.update(true);
      }
      failures = [];
      viewer.forceRedraw();
    };
    addEventListener('answersagain', this.retry);
    /** Whether the user has moved the map since it last came to rest. */
    this.touched = false;
    this.layer = '';
    this.shown = '';
    /** @type {GridFacts[]} */
    this.grids = [];
    /** The part of the unit square that has cells. */
    this.box = { x: 0, y: 0, width: 1, height: 1 };
    /** @type {number | null} */
    this.chosen = null;
    // The page handles the keys itself: they walk from cell to cell.
    const { innerTracker } = /** @type {any} */ (viewer);
    innerTracker.keyHandler = innerTracker.keyDownHandler = null;
    viewer.addHandler('update-viewport', listeners.moved);
    viewer.addHandler('animation-finish', listeners.settled);
    viewer.addHandler('resize', () =>
      requestAnimationFrame(() => {
        listeners.resized();
        listeners.moved();
      }),
    );
    for (const name of /** @type {const} */ (['canvas-drag', 'canvas-scroll', 'canvas-pinch', 'canvas-double-click'])) {
      viewer.addHandler(name, () => {
        this.touched = true;
      });
    }
    viewer.addHandler('canvas-click', (/** @type {any} */ event) => {
      if (!event.quick) return;
      const point = viewer.viewport.pointFromPixel(event.position, true);
      listeners.clicked(point.x, point.y);
    });
  }

  /** Show another layer. @param {LayerFacts} layer */
  async show(layer) {
    const view = this.grids.length ? this.view() : null;
    this.viewer.world.removeAll();
    this.layer = layer.name;
    this.shown = '';
    this.grids = layer.grids.filter((grid) => grid.has.includes('tiles'));
    await Promise.all(this.grids.map((grid, index) => this.#add(layer, grid, index)));
    if (this.layer === layer.name && view) this.look(view, true);
  }

  /** @param {LayerFacts} layer @param {GridFacts} facts @param {number} index */
  #add(layer, facts, index) {
    const side = facts.grid * (facts.icon + 1);
    return new Promise((resolve) => {
      this.viewer.addTiledImage(
        /** @type {any} */ ({
          tileSource: {
            ...tiles,
            width: side,
            height: side,
            tileSize: facts.tile,
            tileOverlap: 0,
            minLevel: Math.min(8, Math.ceil(Math.log2(side))),
            getTileUrl: (/** @type {number} */ level, /** @type {number} */ x, /** @type {number} */ y) =>
              picture('tile', { layer: layer.name, grid: facts.grid, level, x, y }, this.of),
          },
          x: 0,
          y: 0,
          width: 1,
          index,
          opacity: 0,
          success: resolve,
          error: resolve,
        }),
      );
    });
  }

  /** Return left, top and side of the unit square on the screen, in pixels. */
  frame() {
    const viewport = this.viewer.viewport;
    const start = viewport.pixelFromPoint(new OpenSeadragon.Point(0, 0), true);
    const end = viewport.pixelFromPoint(new OpenSeadragon.Point(1, 0), true);
    return { left: start.x, top: start.y, side: end.x - start.x };
  }

  /** Return the chosen grid, or the finest whose cells are large enough at this zoom. */
  grid() {
    if (this.chosen && this.grids.some((grid) => grid.grid === this.chosen)) return this.chosen;
    const side = this.frame().side;
    const fine = this.grids.filter((grid) => side / grid.grid >= FINEST);
    return (fine.at(-1) ?? this.grids[0])?.grid ?? 0;
  }

  /** Show a grid and fade the others. @param {number} size */
  fade(size) {
    if (this.shown === `${this.layer} ${size}`) return;
    const items = this.grids.map((_, index) => this.viewer.world.getItemAt(index));
    const next = items[this.grids.findIndex((grid) => grid.grid === size)];
    if (!next) return; // of a layer whose grids are on their way: they are faded in once they are there
    this.shown = `${this.layer} ${size}`;
    const mine = this.shown;
    const leave = () => {
      if (this.shown === mine) items.forEach((item) => item && item !== next && setOpacity(item, 0));
    };
    setOpacity(next, 1);
    const timeout = setTimeout(leave, TIMEOUT);
    const loaded = () => {
      if (next.getFullyLoaded()) {
        clearTimeout(timeout);
        next.removeHandler('fully-loaded-change', loaded);
        leave();
      }
    };
    next.addHandler('fully-loaded-change', loaded);
    loaded();
  }

  /** Call back once all visible tiles of a grid have loaded. @param {number} grid @param {() => void} act */
  complete(grid, act) {
    const item = this.viewer.world.getItemAt(this.grids.findIndex((facts) => facts.grid === grid));
    if (item) item.whenFullyLoaded(act);
  }

  /** @returns {View} */
  view() {
    const viewport = this.viewer.viewport;
    const centre = viewport.getCenter(false);
    return { x: centre.x, y: centre.y, zoom: viewport.getZoom(false) / home(viewport) };
  }

  /** @param {View} view @param {boolean} [now] */
  look(view, now = false) {
    const viewport = this.viewer.viewport;
    const zoom = Math.min(view.zoom * home(viewport), this.#deepest());
    viewport.zoomTo(zoom, undefined, now || reducedMotion());
    viewport.panTo(new OpenSeadragon.Point(view.x, view.y), now || reducedMotion());
    viewport.applyConstraints(now || reducedMotion());
  }

  #deepest() {
    const finest = this.grids.at(-1)?.grid ?? 1;
    return (DEEPEST * finest) / Math.max(1, this.viewer.viewport.getContainerSize().x);
  }

  /** Return the view that shows all cells. @returns {View} */
  whole() {
    const { x, y, width, height } = this.box;
    const size = this.viewer.viewport.getContainerSize();
    const zoom = Math.min(1 / width, size.y / size.x / height) / (1 + 2 * MARGIN) / home(this.viewer.viewport);
    return { x: x + width / 2, y: y + height / 2, zoom };
  }

  /** Whether the view shows all cells, or nearly. */
  isHome() {
    const { x, y, zoom } = this.view();
    const whole = this.whole();
    const near = Math.abs(x - whole.x) < 0.002 && Math.abs(y - whole.y) < 0.002;
    return near && Math.abs(zoom / whole.zoom - 1) < 0.01;
  }

  /** Show all cells. @param {boolean} [now] */
  home(now = false) {
    this.touched = !now;
    this.look(this.whole(), now);
  }

  /** @param {number} factor */
  zoom(factor) {
    const view = this.view();
    this.touched = true;
    this.look({ ...view, zoom: Math.max(0.5, view.zoom * factor) });
  }

  /** Return the visible part of the unit square. */
  visible() {
    return this.viewer.viewport.getBounds(true);
  }

  /** Bring a part of the unit square into view. @param {number} x @param {number} y @param {number} side */
  reveal(x, y, side) {
    const bounds = this.viewer.viewport.getBounds(false);
    const inside =
      x >= bounds.x && y >= bounds.y && x + side <= bounds.x + bounds.width && y + side <= bounds.y + bounds.height;
    if (!inside) this.viewer.viewport.panTo(new OpenSeadragon.Point(x + side / 2, y + side / 2), reducedMotion());
  }

  close() {
    removeEventListener('answersagain', this.retry);
    this.viewer.destroy();
  }
}

/** Return the zoom at which the unit square fits with a margin. @param {OpenSeadragon.Viewport} viewport */
function home(viewport) {
  const size = viewport.getContainerSize();
  return Math.min(1, size.y / size.x) / (1 + 2 * MARGIN);
}

/** Keep OpenSeadragon from writing a style into the page, which the page's policy forbids: it skips that if one exists. */
function preventStyle() {
  if (document.querySelector('style[data-openseadragon-mobile-css]')) return;
  const inert = document.createElementNS('urn:actlas:inert', 'style');
  inert.setAttribute('data-openseadragon-mobile-css', 'true');
  document.head.append(inert);
}

/** @param {OpenSeadragon.TiledImage} item @param {number} goal */
function setOpacity(item, goal) {
  if (reducedMotion()) item.setOpacity(goal);
  else glide(item, goal);
}

/** @type {WeakMap<object, number>} */
const goals = new WeakMap();

/** Change an opacity gradually, in 120 ms. @param {OpenSeadragon.TiledImage} item @param {number} goal */
function glide(item, goal) {
  if (goals.get(item) === goal) return;
  goals.set(item, goal);
  const from = item.getOpacity();
  const start = performance.now();
  const step = (/** @type {number} */ now) => {
    if (goals.get(item) !== goal) return;
    const part = Math.min(1, (now - start) / 120);
    item.setOpacity(from + (goal - from) * part);
    if (part < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}
