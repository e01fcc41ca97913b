// The atlas of a layer: the map, what is over it, and the cell that is open.

import { ask } from '../../data/client.js';
import { fill, h } from '../../ui/dom.js';
import { count, many, number, ordinal, signed } from '../../ui/format.js';
import { here } from '../../state/address.js';
import { turn } from '../../state/navigate.js';
import { say, title } from '../../ui/announce.js';
import { coming, failed, missing, relink } from '../../ui/components.js';
import { filterLine, intensityOf, wayOf } from './filter.js';
import { cellOf, extremes, load } from '../../map/grid.js';
import { Card } from '../../map/card.js';
import { CellList } from './list.js';
import { Locate } from './locate.js';
import { Tiles } from '../../map/tiles.js';
import { Minimap } from '../../map/minimap.js';
import { motion } from './motion.js';
import { Overlay, ROOM, square } from '../../map/overlay.js';
import { cellPanel } from './panel.js';
import { Patches } from './patches.js';
import { fillGrids, legend, SHADES, tools } from './tools.js';

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {import('../../map/grid.js').Grid} Grid */
/** @typedef {{ root: HTMLElement, panel: import('../../ui/panel.js').Panel, about: About }} Place */

const FAR = 120;

/** Milliseconds after which the cursor rests. */
const REST = 150;

export class Atlas {
  /** @param {Place} place */
  constructor({ root, panel, about }) {
    this.root = root;
    this.panel = panel;
    this.about = about;
    /** @type {Map<string, Promise<Grid>>} */
    this.grids = new Map();
    /** @type {LayerFacts | null} */
    this.layer = null;
    /** The grid that was asked for last. */
    this.awaited = '';
    /** What a cell says for the class that is asked for. @type {((i: number) => string) | null} */
    this.asked = null;
    /** @type {Promise<void> | undefined} */
    this.arrived = undefined;
    /** @type {import('../../map/overlay.js').Scene} */
    this.scene = {
      grid: null,
      frame: { left: 0, top: 0, side: 1 },
      hover: -1,
      cursor: -1,
      open: -1,
      share: null,
      amount: null,
      lit: new Map(),
      named: true,
      intensity: 0,
    };
    this.stage = h('div', { class: 'stage', tabindex: 0, role: 'application', 'aria-roledescription': 'map' });
    this.tools = tools(
      {
        grid: (grid) => turn({ grid: grid || null, cell: null }),
        shade: (shade) => turn({ shade: shade === 'none' ? null : shade }),
        list: (list) => turn({ view: list ? 'list' : null }),
        zoom: (factor) => this.map.zoom(factor),
        home: () => this.map.home(),
        // The whole page, for what a click on the map opens lies beside it.
        full: () =>
          document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen(),
      },
      about,
    );
    this.legend = h('div', { class: 'legend' });
    this.tools.left.append(this.legend);
    this.list = new CellList();
    this.foot = h('div', { class: 'map-foot' });
    /** Why a grid that is asked for is not shown. */
    this.unmet = h('div', { class: 'map-unmet' });
    /** What the address names and there is not. */
    this.absent = h('p', { class: 'map-absent quiet small', role: 'status' });
    this.heading = h('h1', { class: 'unseen' });
    fill(
      this.root,
      this.heading,
      h(
        'div',
        { class: 'map' },
        h('div', { class: 'map-top' }, this.tools.left, this.tools.right),
        this.stage,
        this.list.element,
        this.unmet,
        this.absent,
        this.foot,
      ),
    );
    this.map = new Tiles(this.stage, {
      moved: () => this.moved(),
      settled: () => this.#settled(),
      resized: () => this.#resized(),
      clicked: (x, y) => this.#clicked(x, y),
    });
    /** Where the address said to look, when it was last read or written. */
    this.at = '';
    this.overlay = new Overlay(this.stage);
    this.patches = new Patches(() => this.redraw());
    this.card = new Card(this.stage);
    this.minimap = new Minimap(this.stage, (x, y) => {
      this.map.touched = true;
      this.map.look({ ...this.map.view(), x, y });
    });
    this.stage.addEventListener('pointermove', (event) => this.#pointed(event));
    this.stage.addEventListener('pointerleave', () => this.hover(-1));
    this.stage.addEventListener('keydown', (event) => this.#key(event));
    this.locate = new Locate(this);
    this.legend.before(this.locate.button, this.locate.file);
    this.restyle = () => {
      this.overlay.restyle();
      this.redraw();
    };
    addEventListener('themechange', this.restyle);
    document.fonts.ready.then(this.restyle);
  }

  /** Show what the address says. @param {State} state */
  async update(state) {
    const layer = this.about.layers.find((known) => known.name === state.what);
    if (!layer) return;
    title(layer.name, 'atlas', `${this.about.name}@${this.about.version}`);
    this.heading.textContent = `Atlas of ${layer.name}`;
    this.stage.setAttribute(
      'aria-label',
      `Atlas of ${layer.name}. Arrow keys walk from cell to cell, Enter opens one, l shows the list.`,
    );
    this.map.chosen = state.query.grid ? Number(state.query.grid) : null;
    if (this.layer !== layer) await this.#enter(layer, state);
    else this.#looked(state);
    await this.#useGrid(true);
    await Promise.all([this.#shade(state), this.#classes(state)]);
    this.#open(state);
    this.#listed(state);
    this.#located(state);
    this.redraw();
  }

  /** Look where the address says, if that is not where it was read or written last: back and pasted addresses. @param {State} state */
  #looked(state) {
    const words = state.query.at ?? '';
    if (!words || words === this.at) return;
    this.at = words;
    const at = words.split(',').map(Number);
    if (at.length === 3 && at.every(Number.isFinite)) this.map.look({ x: at[0], y: at[1], zoom: at[2] }, true);
  }

  /** Light the cells of an image that the address names, and no longer once it does not. @param {State} state */
  #located(state) {
    const id = state.query.locate ?? '';
    if (/^\d{1,9}$/.test(id) && !state.query.cell) return this.locate.ofRun(Number(id));
    if (!this.locate.named) return;
    this.locate.forget();
    this.panel.close();
  }

  /** @param {LayerFacts} layer @param {State} state */
  async #enter(layer, state) {
    const first = this.layer === null;
    this.layer = layer;
    this.awaited = '';
    Object.assign(this.scene, {
      grid: null,
      hover: -1,
      cursor: -1,
      open: -1,
      share: null,
      amount: null,
      lit: new Map(),
    });
    this.card.hide();
    if (this.locate.found) this.panel.close();
    this.locate.forget();
    if (!layer.grids.some((grid) => grid.has.includes('tiles'))) {
      fill(this.foot, missing(`This run has no atlas of ${layer.name} yet.`, this.about.commands.run));
      return;
    }
    const [grid] = await Promise.all([this.#load(layer, layer.grids[0]), this.map.show(layer)]);
    this.map.box = grid.box();
    this.at = '';
    if (state.query.at) this.#looked(state);
    else if (first) this.map.home(true);
  }

  /** Load and show the grid that suits the zoom. @param {boolean} [wait] */
  async #useGrid(wait = false) {
    const layer = this.layer;
    const size = this.map.grid();
    const facts = layer?.grids.find((grid) => grid.grid === size);
    if (!layer || !facts) return;
    this.map.fade(size);
    fillGrids(this.tools.grid, layer, here().query.grid, size);
    if (this.scene.grid?.layer === layer && this.scene.grid.size === size) {
      if (this.unmet.firstChild) this.awaited = '';
      return fill(this.unmet);
    }
    const key = `${layer.name}/${size}`;
    if (this.awaited !== key) {
      this.awaited = key;
      this.arrived = this.#load(layer, facts)
        .then((grid) => this.#arrived(grid))
        .catch((error) => {
          // Every move of the map comes by here: it is not asked for again before somebody says so.
          fill(
            this.unmet,
            failed(error, () => {
              this.awaited = '';
              this.update(here());
            }),
          );
        });
    }
    if (wait) await this.arrived;
  }

  /** @param {LayerFacts} layer @param {GridFacts} facts @returns {Promise<Grid>} */
  #load(layer, facts) {
    const key = `${layer.name}/${facts.grid}`;
    const found = this.grids.get(key) ?? load(layer, facts);
    this.grids.set(key, found);
    found.catch(() => this.grids.delete(key));
    return found;
  }

  /** @param {Grid} grid */
  async #arrived(grid) {
    if (grid.layer !== this.layer || grid.size !== this.map.grid()) return;
    const first = this.scene.grid === null;
    fill(this.unmet);
    Object.assign(this.scene, { grid, hover: -1, cursor: -1, open: -1, share: null, amount: null });
    this.card.hide();
    this.#foot(grid);
    this.locate.light();
    if (!first) {
      const state = here();
      await Promise.all([this.#shade(state), this.#classes(state)]);
      this.#open(state);
      this.#listed(state);
    }
    this.redraw();
    if (!performance.getEntriesByName('map').length)
      this.map.complete(grid.size, () => requestAnimationFrame(() => performance.mark('map')));
  }

  /** @param {Grid} grid */
  #foot(grid) {
    fill(
      this.foot,
      h(
        'p',
        { class: 'quiet small' },
        `${grid.layer.name}: ${many(grid.layer.units, 'unit')} at ${grid.layer.height} × ${grid.layer.width} positions; ` +
          `${many(grid.length, 'cell')} of ${count(grid.facts.samples)} samples, each an average, drawn as a picture.`,
      ),
    );
  }

  /** @param {State} state */
  async #shade(state) {
    const grid = this.scene.grid;
    const shade = state.query.shade ?? 'none';
    this.tools.shade.value = shade;
    if (!this.tools.shade.value) this.tools.shade.value = 'none';
    this.scene.amount = null;
    this.scene.arrows = null;
    fill(this.legend);
    if (!grid || shade === 'none') return;
    if (shade.startsWith('motion:')) return this.#motion(grid, shade.slice(7));
    const values = await amounts(grid, shade).catch((error) => this.#unshaded(grid, error));
    if (!values || this.scene.grid !== grid) return;
    const [low, high] = extremes(values);
    this.scene.amount = Float32Array.from(values, (value) =>
      value === null ? NaN : (value - low) / (high - low || 1),
    );
    const named = shade.startsWith('unit:') ? `mean of unit ${shade.slice(5)}` : SHADES[shade];
    fill(this.legend, ...legend(named, [number(low), number(high)]));
  }

  /** How far the samples of each cell have come since another version, and from where. @param {Grid} grid @param {string} since */
  async #motion(grid, since) {
    fill(this.legend, h('span', { class: 'quiet', role: 'status' }, `comparing with ${since} …`));
    try {
      const shown = await motion(grid, since);
      if (this.scene.grid !== grid || here().query.shade !== `motion:${since}`) return;
      this.scene.amount = shown.amount;
      this.scene.arrows = shown.arrows;
      fill(this.legend, ...shown.legend);
    } catch (error) {
      this.#unshaded(grid, error);
    }
    this.redraw();
  }

  /** Say in place of the legend why there is no shade. @param {Grid} grid @param {unknown} error @returns {null} */
  #unshaded(grid, error) {
    if (this.scene.grid === grid)
      fill(this.legend, h('span', { role: 'alert' }, error instanceof Error ? error.message : String(error)));
    return null;
  }

  /** @param {State} state */
  async #classes(state) {
    const grid = this.scene.grid;
    this.scene.share = null;
    this.asked = null;
    if (!grid) return;
    if (!state.query.class) return this.#foot(grid);
    if (!grid.speaks) {
      fill(this.foot, missing('This run does not know what its cells speak for.', this.about.missing.attribution));
      return;
    }
    const found = /** @type {ClassMap | null} */ (
      await ask('class', { layer: grid.layer.name, grid: grid.size, of: state.query.class }).catch((error) => {
        if (this.scene.grid === grid)
          fill(
            this.foot,
            failed(error, () => this.update(here())),
            h(
              'button',
              { class: 'link', onclick: () => turn({ class: null, side: null, intensity: null }) },
              'Show all classes',
            ),
          );
        return null;
      })
    );
    if (!found || this.scene.grid !== grid) return;
    const [low, high] = extremes(found.mean);
    const largest = Math.max(-low, high) || 1;
    this.scene.share = Float32Array.from(found.mean, (mean) => (mean ?? 0) / largest);
    Object.assign(this.scene, { way: wayOf(state), intensity: intensityOf(state) });
    const name = found.name.split(',')[0];
    this.asked = (/** @type {number} */ i) => `${signed(found.mean[i])} for ${name}, its ${ordinal(found.rank[i])}`;
    const pressed = /** @type {HTMLElement} */ (document.activeElement)?.dataset.way;
    fill(
      this.foot,
      ...filterLine(name, this.scene, (intensity) => {
        this.scene.intensity = intensity;
        this.redraw();
      }),
    );
    if (pressed !== undefined)
      /** @type {HTMLElement | null} */ (this.foot.querySelector('[aria-pressed=true]'))?.focus();
  }

  /** @param {State} state */
  #open(state) {
    const grid = this.scene.grid;
    const named = /^(\d{1,4}),(\d{1,4})$/.exec(state.query.cell ?? '') ?? [];
    const [row, col] = [Number(named[1]), Number(named[2])];
    const i = grid?.at(row, col) ?? -1;
    const before = this.scene.open;
    this.scene.open = i;
    this.#absent(state);
    if (i < 0 || !grid) {
      if (before >= 0 || !this.locate.shown) this.panel.close();
      return;
    }
    this.locate.forget();
    if (before === i && this.panel.isOpen()) return;
    this.scene.cursor = i;
    this.reveal(i);
    const body = this.panel.open(`Cell ${row},${col}`, () => turn({ cell: null }));
    coming(
      body,
      () => cellPanel(grid, i, here(), this.about),
      (parts) => parts,
      [160, 160],
      [0, 120],
      [0, 200],
    );
    this.#told(grid, i, () => say(this.#words(i)));
  }

  /** Say what the address names and there is not. @param {State} state */
  #absent(state) {
    const { grid, cell, locate } = state.query;
    fill(
      this.absent,
      [
        grid &&
          !this.layer?.grids.some((known) => String(known.grid) === grid) &&
          `${this.layer?.name} has no grid ${grid}.`,
        cell && this.scene.grid && this.scene.open < 0 && `There is no cell ${cell} in this grid.`,
        locate && !/^\d{1,9}$/.test(locate) && `There is no image ${locate}.`,
      ]
        .filter(Boolean)
        .join(' '),
    );
  }

  /** Do what needs to know what the cells are, if by then it still is about this one. @param {Grid} grid @param {number} i @param {() => void} act */
  #told(grid, i, act) {
    const then = () => {
      if (this.scene.grid === grid && this.scene.cursor === i) act();
    };
    if (grid.known) then();
    else grid.tell().then(then, then);
  }

  /** @param {State} state */
  #listed(state) {
    const asList = state.query.view === 'list';
    this.tools.list.setAttribute('aria-pressed', String(asList));
    this.list.element.hidden = !asList;
    const { grid, share } = this.scene;
    if (asList && grid) this.list.show(grid, state, share);
    if (asList && grid && !grid.known)
      grid.tell().then(
        () => this.scene.grid === grid && this.#listed(here()),
        () => {},
      );
    relink(this.panel.element, state);
  }

  /** Show what was shown, in more or in less room. */
  #resized() {
    if (!here().query.at) this.map.home(true);
    if (this.scene.open >= 0) this.reveal(this.scene.open);
    this.redraw();
  }

  moved() {
    this.card.hide();
    this.scene.hover = -1;
    this.redraw();
    if (this.layer) this.#useGrid();
  }

  /** Write into the address where somebody has moved to; what the page itself does is none of it. */
  #settled() {
    if (!this.layer || here().place !== 'atlas' || !this.map.touched) return;
    this.map.touched = false;
    const { x, y, zoom } = this.map.view();
    const whole = this.map.whole();
    const home =
      Math.abs(x - whole.x) < 0.002 && Math.abs(y - whole.y) < 0.002 && Math.abs(zoom / whole.zoom - 1) < 0.01;
    this.at = home ? '' : [x.toFixed(4), y.toFixed(4), zoom.toFixed(3)].join(',');
    turn({ at: this.at || null }, { replace: true, quiet: true });
    for (const links of [this.list.element, this.panel.element]) relink(links, here());
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.scene.frame = this.map.frame();
      const moved = this.overlay.draw(this.scene);
      const { grid, frame } = this.scene;
      if (grid && !grid.known && frame.side / grid.size >= ROOM)
        grid.tell().then(
          () => this.redraw(),
          () => {},
        );
      this.patches.draw(this.overlay.front, this.scene);
      if (moved && this.scene.grid)
        this.minimap.draw(this.scene.grid, this.overlay.paper(this.scene.grid), this.map.seen(), this.overlay.colours);
    });
  }

  /** @param {PointerEvent} event */
  #pointed(event) {
    if (event.pointerType === 'touch' || event.buttons) return;
    const grid = this.scene.grid;
    if (!grid || (event.target instanceof Element && event.target.closest('.minimap'))) return this.hover(-1);
    const box = this.stage.getBoundingClientRect();
    const frame = this.map.frame();
    this.hover(
      grid.under(
        (event.clientX - box.left - frame.left) / frame.side,
        (event.clientY - box.top - frame.top) / frame.side,
      ),
    );
  }

  /** @param {number} i */
  hover(i) {
    if (i === this.scene.hover) return;
    this.scene.hover = i;
    this.redraw();
    this.locate.answer(i);
    const grid = this.scene.grid;
    if (i < 0 || !grid) return this.card.hide();
    this.scene.frame = this.map.frame();
    const place = square(this.scene, i);
    if (place.side > FAR * 3) return this.card.hide();
    this.card.show(grid, i, place, (canvas) => this.#enlarge(canvas, place), this.asked?.(i));
    this.#rest(grid, i);
  }

  /** Once the cursor rests on a cell, ask what only its patches tell. @param {Grid} grid @param {number} i */
  #rest(grid, i) {
    clearTimeout(this.resting);
    this.resting = setTimeout(async () => {
      const cell = /** @type {Cell | null} */ (await ask('cell', cellOf(grid, i)).catch(() => null));
      if (!cell?.flat || this.scene.grid !== grid || this.card.cell !== i) return;
      this.card.flat();
      if (this.scene.cursor === i) say(`${this.#words(i)} Its patches are flat.`);
    }, REST);
  }

  /** Until the icon itself is there, what is on the screen, enlarged. @param {HTMLCanvasElement} canvas @param {{ x: number, y: number, side: number }} place */
  #enlarge(canvas, { x, y, side }) {
    const source = /** @type {any} */ (this.map.viewer.drawer).canvas;
    const dots = source.width / source.clientWidth || 1;
    const context = canvas.getContext('2d');
    context?.clearRect(0, 0, canvas.width, canvas.height);
    context?.drawImage(source, x * dots, y * dots, side * dots, side * dots, 0, 0, canvas.width, canvas.height);
  }

  /** Bring a cell into view and mark it. @param {number} i */
  reveal(i) {
    const grid = /** @type {Grid} */ (this.scene.grid);
    const [x, y, side] = grid.squares.subarray(3 * i, 3 * i + 3);
    this.map.reveal(x, y, side);
  }

  /** The image that was located is let go. */
  unlocated() {
    this.panel.close();
    if (here().query.locate) turn({ locate: null });
  }

  /** @param {number} x @param {number} y */
  #clicked(x, y) {
    const grid = this.scene.grid;
    const i = grid ? grid.under(x, y) : -1;
    if (!grid || i < 0) turn({ cell: null });
    else turn({ grid: this.#kept(), cell: `${grid.columns.row[i]},${grid.columns.col[i]}` });
  }

  /** The grid as it must stand in the address of a cell. */
  #kept() {
    return (this.layer?.grids.length ?? 0) > 1 ? String(this.scene.grid?.size) : null;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const grid = this.scene.grid;
    const steps = /** @type {Record<string, [number, number]>} */ ({
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    });
    const step = steps[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || !grid) return;
    if (step) this.#walk(grid, step);
    else if (event.key === 'Enter' && this.scene.cursor >= 0) {
      turn({
        grid: this.#kept(),
        cell: `${grid.columns.row[this.scene.cursor]},${grid.columns.col[this.scene.cursor]}`,
      });
    } else if (event.key === '+' || event.key === '=') this.map.zoom(1.6);
    else if (event.key === '-') this.map.zoom(1 / 1.6);
    else if (event.key === '0') this.map.home();
    else return;
    event.preventDefault();
  }

  /** @param {Grid} grid @param {[number, number]} step */
  #walk(grid, [down, right]) {
    const from = this.scene.cursor >= 0 ? this.scene.cursor : grid.fullest[0];
    const next = this.scene.cursor >= 0 ? grid.step(from, down, right) : from;
    if (next < 0) return say('There is no cell that way.');
    this.scene.cursor = next;
    this.reveal(next);
    this.redraw();
    if (this.scene.open >= 0) turn({ cell: `${grid.columns.row[next]},${grid.columns.col[next]}` }, { replace: true });
    else {
      this.scene.frame = this.map.frame();
      const place = square(this.scene, next);
      this.card.show(grid, next, place, (canvas) => this.#enlarge(canvas, place), this.asked?.(next));
      this.#told(grid, next, () => say(this.#words(next)));
      this.#rest(grid, next);
    }
  }

  /** A cell in words. @param {number} i */
  #words(i) {
    const grid = /** @type {Grid} */ (this.scene.grid);
    const words = grid
      .words(i, 2)
      .map((word) => word.name.split(',')[0])
      .join(', ');
    const cosine = grid.columns.cosine?.[i];
    return (
      `Cell row ${grid.columns.row[i]}, column ${grid.columns.col[i]}: ${many(grid.columns.count[i], 'sample')}` +
      `${words ? `, mostly ${words}` : ''}${cosine ? `, fidelity ${number(cosine)}` : ''}.`
    );
  }

  close() {
    clearTimeout(this.resting);
    removeEventListener('themechange', this.restyle);
    this.locate.close();
    this.map.close();
    this.panel.close();
  }
}

/** What a shade means, cell by cell. @param {Grid} grid @param {string} shade @returns {Promise<(number | null)[] | null>} */
async function amounts(grid, shade) {
  if (shade === 'density') return grid.columns.count;
  if (shade === 'fidelity' || shade === 'spread') {
    await grid.tell();
    return grid.columns[shade === 'spread' ? 'spread' : 'cosine'] ?? null;
  }
  const unit = /^unit:(\d{1,9})$/.exec(shade)?.[1];
  if (!unit) return null;
  return (await ask('map', { layer: grid.layer.name, grid: grid.size, unit: Number(unit) })).mean;
}
