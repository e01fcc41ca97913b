// The atlas of a layer: the map, its overlays, and the open cell.

import { here } from '../../state/address.js';
import { setQuery } from '../../state/navigate.js';
import { GridCache } from '../../map/grid.js';
import { Minimap } from '../../map/minimap.js';
import { Overlay } from '../../map/overlay.js';
import { ROOM } from '../../map/paint.js';
import { emptyScene } from '../../map/scene.js';
import { Tiles } from '../../map/tiles.js';
import { formatView, parseView } from '../../map/view.js';
import { title } from '../../ui/announce.js';
import { figureButton } from '../../ui/figure/save.js';
import { fillAsync, failed, missing, relink } from '../../ui/components.js';
import { fill, h } from '../../ui/dom.js';
import { absences, IMAGE_ID } from './absences.js';
import { atlasFigure } from './figure.js';
import { CellList } from './list.js';
import { Locate } from './locate.js';
import { cellPanel } from './panel.js';
import { Patches } from './patches.js';
import { Pointer } from './pointer.js';
import { Shading } from './shading.js';
import { fillGrids, tools } from './tools.js';

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {import('../../map/grid.js').Grid} Grid */
/** @typedef {{ root: HTMLElement, panel: import('../../ui/panel.js').Panel, about: About }} Place */

export class Atlas {
  /** @param {Place} place */
  constructor({ root, panel, about }) {
    this.root = root;
    this.panel = panel;
    this.about = about;
    this.grids = new GridCache();
    /** @type {LayerFacts | null} */
    this.layer = null;
    /** The last requested grid. */
    this.requested = '';
    /** @type {Promise<void> | undefined} */
    this.request = undefined;
    /** The view in the address, when it was last read or written. */
    this.at = '';
    this.scene = emptyScene();
    this.stage = h('div', { class: 'stage', tabindex: 0, role: 'application', 'aria-roledescription': 'map' });
    this.tools = tools({ zoom: (factor) => this.map.zoom(factor), home: () => this.map.home() });
    this.list = new CellList();
    this.foot = h('div', { class: 'map-foot' });
    /** Why the requested grid is not shown. */
    this.unmet = h('div', { class: 'map-unmet' });
    /** What the address names but the run does not have. */
    this.absent = h('p', { class: 'map-absent quiet small', role: 'status' });
    this.heading = h('h1', { class: 'unseen' });
    const actions = { redraw: () => this.redraw(), retry: () => this.update(here()) };
    this.shading = new Shading(this.scene, this.tools.shade, this.foot, actions, about);
    const bar = h('div', { class: 'map-bar' }, this.tools.left, this.tools.right);
    const top = h('div', { class: 'map-top' }, bar, this.shading.bar.element);
    const body = h('div', { class: 'map-body' }, this.stage, this.shading.legend, this.list.element);
    const parts = [top, body, this.unmet, this.absent, this.foot];
    fill(this.root, this.heading, h('div', { class: 'map' }, ...parts));
    this.map = new Tiles(this.stage, {
      moved: () => this.#moved(),
      settled: () => this.#settled(),
      resized: () => this.#resized(),
      clicked: (x, y) => this.pointer.click(x, y),
    });
    this.overlay = new Overlay(this.stage);
    this.patches = new Patches(() => this.redraw());
    this.pointer = new Pointer(this.stage, this.scene, this.map, {
      redraw: () => this.redraw(),
      hovered: (i) => this.locate.answer(i),
      describe: (i) => this.shading.words(i),
    });
    this.minimap = new Minimap(this.stage, (x, y) => {
      this.map.touched = true;
      this.map.look({ ...this.map.view(), x, y });
    });
    this.locate = new Locate(this);
    this.tools.left.append(
      this.locate.button,
      this.locate.file,
      figureButton(() => atlasFigure(this)),
    );
    this.restyle = () => {
      this.overlay.restyle();
      this.redraw();
    };
    addEventListener('themechange', this.restyle);
    document.fonts.ready.then(this.restyle);
  }

  /** @param {State} state */
  async update(state) {
    const layer = this.about.layers.find(({ name }) => name === state.what);
    if (!layer) return;
    title(layer.name, 'atlas', `${this.about.name}@${this.about.version}`);
    this.heading.textContent = `Atlas of ${layer.name}`;
    const help = 'Arrow keys walk from cell to cell, Enter opens one, l shows the list.';
    this.stage.setAttribute('aria-label', `Atlas of ${layer.name}. ${help}`);
    this.map.chosen = state.query.grid ? Number(state.query.grid) : null;
    if (this.layer !== layer) await this.#enter(layer, state);
    else this.#look(state);
    this.scene.names = this.tools.names.update(state, this.about, layer);
    await this.#useGrid(true);
    await this.shading.update(state);
    this.#open(state);
    this.#updateList(state);
    this.#updateLocate(state);
    this.redraw();
  }

  /** Move to the view in the address, if it is new: after going back, or a pasted address. @param {State} state */
  #look(state) {
    const { at = '' } = state.query;
    if (!at || at === this.at) return;
    this.at = at;
    const view = parseView(at);
    if (view) this.map.look(view, true);
  }

  /** Locate the image in the address, or clear it. @param {State} state */
  #updateLocate(state) {
    const id = state.query.locate ?? '';
    if (IMAGE_ID.test(id) && !state.query.cell) return this.locate.locateImage(Number(id));
    if (!this.locate.inAddress) return;
    this.locate.clear();
    this.panel.close();
  }

  /** @param {LayerFacts} layer @param {State} state */
  async #enter(layer, state) {
    const first = this.layer === null;
    this.layer = layer;
    this.requested = '';
    const empty = { hover: -1, cursor: -1, open: -1, share: null, amount: null, lit: new Map() };
    Object.assign(this.scene, { grid: null, ...empty });
    this.pointer.card.hide();
    if (this.locate.located) this.panel.close();
    this.locate.clear();
    if (!layer.grids.some((grid) => grid.has.includes('tiles'))) {
      return fill(this.foot, missing(`This run has no atlas of ${layer.name} yet.`, this.about.commands.run));
    }
    const [grid] = await Promise.all([this.grids.load(layer, layer.grids[0]), this.map.show(layer)]);
    this.map.box = grid.box();
    this.at = '';
    if (state.query.at) this.#look(state);
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
      if (this.unmet.firstChild) this.requested = '';
      return fill(this.unmet);
    }
    const key = `${layer.name}/${size}`;
    if (this.requested !== key) {
      this.requested = key;
      this.request = this.grids
        .load(layer, facts)
        .then((grid) => this.#show(grid))
        .catch((error) => this.#refuse(error));
    }
    if (wait) await this.request;
  }

  /** Show why a grid did not load. Every move of the map requests it, so it is retried only by hand. @param {unknown} error */
  #refuse(error) {
    const retry = () => {
      this.requested = '';
      this.update(here());
    };
    fill(this.unmet, failed(error, retry));
  }

  /** @param {Grid} grid */
  async #show(grid) {
    if (grid.layer !== this.layer || grid.size !== this.map.grid()) return;
    const first = this.scene.grid === null;
    fill(this.unmet);
    Object.assign(this.scene, { grid, hover: -1, cursor: -1, open: -1, share: null, amount: null });
    this.pointer.card.hide();
    this.shading.describe(grid);
    this.locate.light();
    if (!first) {
      const state = here();
      await this.shading.update(state);
      this.#open(state);
      this.#updateList(state);
    }
    this.redraw();
    if (performance.getEntriesByName('map').length) return;
    this.map.complete(grid.size, () => requestAnimationFrame(() => performance.mark('map')));
  }

  /** Open the cell in the address, or close the panel. @param {State} state */
  #open(state) {
    const { grid, open: before } = this.scene;
    const named = /^(\d{1,4}),(\d{1,4})$/.exec(state.query.cell ?? '') ?? [];
    const [row, col] = [Number(named[1]), Number(named[2])];
    const i = grid?.at(row, col) ?? -1;
    this.scene.open = i;
    fill(this.absent, absences(state, this.layer, this.scene));
    if (i < 0 || !grid) {
      if (before >= 0) this.pointer.rest();
      if (before >= 0 || !this.locate.shown) this.panel.close();
      return;
    }
    this.locate.clear();
    if (before === i && this.panel.isOpen()) return;
    this.scene.cursor = i;
    this.pointer.reveal(i);
    const body = this.panel.open(`Cell ${row},${col}`, () => setQuery({ cell: null }));
    fillAsync(
      body,
      () => cellPanel(grid, i, here(), this.about),
      (parts) => parts,
      [160, 160],
      [0, 120],
      [0, 200],
    );
    this.pointer.announce();
  }

  /** @param {State} state */
  #updateList(state) {
    const asList = state.query.view === 'list';
    this.tools.list.setAttribute('aria-pressed', String(asList));
    this.list.element.hidden = !asList;
    const { grid } = this.scene;
    if (asList && grid) this.list.show(grid, state, this.shading.answer, this.scene.names);
    if (asList && grid && !(grid.detailed && grid.names)) {
      const again = () => this.scene.grid === grid && this.#updateList(here());
      Promise.all([grid.loadDetails(), grid.loadNames()]).then(again, () => {});
    }
    relink(this.panel.element, state);
  }

  /** Keep the view, in more or less room. */
  #resized() {
    if (!here().query.at) this.map.home(true);
    if (this.scene.open >= 0) this.pointer.reveal(this.scene.open);
    this.redraw();
  }

  #moved() {
    this.pointer.reset();
    this.redraw();
    if (this.layer) this.#useGrid();
  }

  /** Write the view into the address, if the user moved the map. */
  #settled() {
    if (!this.layer || here().place !== 'atlas' || !this.map.touched) return;
    this.map.touched = false;
    this.at = this.map.isHome() ? '' : formatView(this.map.view());
    setQuery({ at: this.at || null }, { replace: true, quiet: true });
    for (const links of [this.list.element, this.panel.element]) relink(links, here());
  }

  /** Draw the overlay in the next animation frame. */
  redraw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.scene.frame = this.map.frame();
      const changed = this.overlay.draw(this.scene);
      const { grid, frame } = this.scene;
      this.patches.draw(this.overlay.front, this.scene, this.stage.clientWidth, this.stage.clientHeight);
      if (!grid) return;
      if (!grid.names && this.scene.names !== 'none' && frame.side / grid.size >= ROOM)
        grid.loadNames().then(
          () => this.redraw(),
          () => {},
        );
      if (changed) this.minimap.draw(grid, this.overlay.paper(grid), this.map.visible(), this.overlay.colours);
    });
  }

  /** The located image was closed. */
  locateClosed() {
    this.panel.close();
    if (here().query.locate) setQuery({ locate: null });
  }

  close() {
    this.pointer.close();
    removeEventListener('themechange', this.restyle);
    this.locate.close();
    this.map.close();
    this.panel.close();
  }
}
