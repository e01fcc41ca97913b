// Two versions side by side, panned and zoomed together: what moved, which cells changed, which units drifted.

import { ask, peek } from '../../data/client.js';
import { here } from '../../state/address.js';
import { setQuery } from '../../state/navigate.js';
import { formatView, parseView } from '../../map/view.js';
import { say, title } from '../../ui/announce.js';
import { fillAsync, missing } from '../../ui/components.js';
import { fill, h } from '../../ui/dom.js';
import { figureButton } from '../../ui/figure/save.js';
import { compareFigure } from './figure.js';
import { handleKey } from './keys.js';
import { comparison, controls, header, obstacle } from './page.js';
import { Side } from './side.js';
import { cellPanel, key } from './summary.js';

/** @typedef {import('../../state/address.js').State} State */

export class Compare {
  /** @param {{ root: HTMLElement, panel: import('../../ui/panel.js').Panel, about: About }} parts */
  constructor({ root, panel, about }) {
    this.root = root;
    this.panel = panel;
    this.b = about;
    /** The earlier version and the layer on show. */
    this.subject = '';
    /** @type {[Side, Side] | null} */
    this.sides = null;
    /** @type {Moved | null} */
    this.moved = null;
    /** The map that the other one follows. @type {Side | null} */
    this.leading = null;
    this.body = h('div', { class: 'compare-place' });
    this.tools = controls();
    /** The grid and whether motion is drawn. */
    this.shown = '';
    this.opened = '';
    /** The view in the address, when it was last read or written. */
    this.at = '';
    /** Whether both maps have loaded. */
    this.ready = false;
  }

  /** @param {State} state */
  async update(state) {
    const a = await peek(state.name, state.version);
    this.a = a;
    title('compare', `${a.name}@${a.version}`, `${this.b.name}@${this.b.version}`);
    const subject = `${a.name}@${a.tag} ${state.what}`;
    if (this.subject !== subject) {
      this.subject = subject;
      this.#clear();
      const drawn = this.#draw(state, a);
      if (!drawn) return;
      await drawn;
    }
    if (!this.sides || !this.moved || !this.ready) return;
    if (this.#look(state)) this.sides[1].follow(this.sides[0]);
    await this.#show(state, this.moved, this.sides);
  }

  /** Draw the page; return null where there is nothing to compare. @param {State} state @param {About} a */
  #draw(state, a) {
    const { b } = this;
    this.body = h('div', { class: 'compare-place' });
    const heading = h('h1', { class: 'unseen' }, `What moved from ${a.name}@${a.version} to ${b.name}@${b.version}`);
    fill(this.root, h('article', { class: 'page full' }, heading, header(state, a, b), this.body));
    const reason = obstacle(a, b);
    if (reason) {
      fill(this.body, reason);
      return null;
    }
    const [old, layer] = [a, b].map((about) => about.layers.find(({ name }) => name === state.what));
    if (!layer?.grids.length || !old?.grids.length) {
      fill(this.body, missing(`${state.what} has no atlas in both of these.`, undefined));
      return null;
    }
    const request = () => ask('moved', { layer: layer.name, since: `${a.name}@${a.tag}` });
    const draw = (/** @type {Moved} */ moved) => this.#drawMaps(moved, a, old, layer);
    return fillAsync(this.body, request, draw, [0, 24], [0, 420]);
  }

  /** @param {Moved} moved @param {About} a @param {LayerFacts} old @param {LayerFacts} layer */
  #drawMaps(moved, a, old, layer) {
    this.moved = moved;
    const listeners = {
      moved: (/** @type {Side} */ side) => this.#move(side),
      settled: (/** @type {Side} */ side) => this.#settle(side),
      hover: (/** @type {number} */ row, /** @type {number} */ col) => this.#hover(row, col),
      clicked: (/** @type {number} */ row, /** @type {number} */ col) => this.#choose(row, col),
    };
    const sides = /** @type {[Side, Side]} */ ([
      new Side(a, 'Before', listeners),
      new Side(this.b, 'After', listeners),
    ]);
    for (const side of sides) this.#listen(side);
    this.sides = sides;
    this.tools = controls();
    this.tools.element.append(figureButton(() => compareFigure(sides, moved)));
    Promise.all([sides[0].enter(old), sides[1].enter(layer)]).then(() => {
      if (this.sides === sides) return this.#start(here());
    });
    return comparison(moved, sides, this.tools.element);
  }

  /** @param {Side} side */
  #listen(side) {
    const lead = () => {
      this.leading = side;
    };
    for (const name of ['pointerenter', 'wheel', 'pointerdown', 'focusin']) {
      side.stage.addEventListener(name, lead, { passive: true, capture: true });
    }
    side.stage.addEventListener('keydown', (event) => {
      const leading = this.leading ?? side;
      handleKey(
        event,
        leading,
        (row, col) => this.#hover(row, col),
        (row, col) => this.#choose(row, col),
      );
    });
  }

  /** Move to the view in the address, if it is new: after going back, or a pasted address. @param {State} state */
  #look(state) {
    const { at = '' } = state.query;
    const view = parseView(at);
    if (!this.sides || !view || at === this.at) return false;
    this.at = at;
    this.leading = this.sides[0];
    this.leading.map.look(view, true);
    return true;
  }

  /** Show both maps once they have loaded. @param {State} state */
  async #start(state) {
    if (!this.sides || !this.moved) return;
    const [old] = this.sides;
    this.leading = old;
    this.ready = true;
    if (!this.#look(state)) old.map.home(true);
    this.sides[1].follow(old);
    await this.#show(here(), this.moved, this.sides);
  }

  /** @param {State} state @param {Moved} moved @param {[Side, Side]} sides */
  async #show(state, moved, sides) {
    const chosen = Number(state.query.grid) || null;
    for (const side of sides) side.map.chosen = chosen;
    const size = this.#size();
    if (!size) return;
    const motion = drawsMotion(state, moved);
    const grids = moved.cells.map(({ grid }) => h('option', { value: grid }, `${grid} × ${grid}`));
    fill(this.tools.grid, h('option', { value: '' }, `by zoom (${size})`), ...grids);
    this.tools.grid.value = chosen ? String(chosen) : '';
    this.tools.arrows.checked = motion;
    this.tools.arrows.disabled = moved.same_layout;
    this.shown = `${size} ${motion}`;
    await Promise.all(sides.map((side, which) => side.use(size, moved, which === 0, motion)));
    fill(this.tools.counts, ...key(moved, size));
    this.#open(state, moved, sides);
  }

  /** Return the grid that suits the zoom, of those that both maps have. */
  #size() {
    const suited = (this.leading ?? this.sides?.[0])?.map.grid() ?? 0;
    const both = this.moved?.cells.map((cells) => cells.grid) ?? [];
    return both.includes(suited) ? suited : (both[0] ?? 0);
  }

  /** Let the other map follow. @param {Side} side */
  #move(side) {
    if (!this.sides || !this.moved || side !== this.leading) return;
    const other = this.sides[side === this.sides[0] ? 1 : 0];
    other.follow(side);
    for (const one of this.sides) one.card.hide();
    const shown = `${this.#size()} ${drawsMotion(here(), this.moved)}`;
    if (this.shown && this.shown !== shown) this.#show(here(), this.moved, this.sides);
  }

  /** Write the view into the address, if the user moved the map. @param {Side} side */
  #settle(side) {
    if (side !== this.leading || !side.map.touched || here().place !== 'compare') return;
    side.map.touched = false;
    this.at = formatView(side.map.view());
    setQuery({ at: this.at }, { replace: true, quiet: true });
  }

  /** @param {number} row @param {number} col */
  #hover(row, col) {
    for (const side of this.sides ?? []) side.hover(row, col);
  }

  /** Open a cell that either map has, or close the open one. @param {number} row @param {number} col */
  #choose(row, col) {
    const exists = this.sides?.some((side) => (side.scene.grid?.at(row, col) ?? -1) >= 0);
    setQuery(exists ? { grid: String(this.#size()), cell: `${row},${col}` } : { cell: null });
  }

  /** Open the cell in the address, or close the panel. @param {State} state @param {Moved} moved @param {[Side, Side]} sides */
  #open(state, moved, sides) {
    const name = state.query.cell ?? '';
    const [row, col] = name.split(',').map(Number);
    for (const side of sides) side.open(name ? row : -1, name ? col : -1);
    const [before, after] = sides.map((side) => side.scene.grid);
    if (!name || !before || !after) {
      this.opened = '';
      return this.panel.close();
    }
    const opened = `${name} ${before.size}`;
    if (this.opened === opened && this.panel.isOpen()) return;
    this.opened = opened;
    const body = this.panel.open(`Cell ${name}`, () => setQuery({ cell: null }));
    const both = { a: /** @type {About} */ (this.a), b: this.b, state };
    const get = () => cellPanel(moved, [before, after], row, col, both);
    fillAsync(body, get, (parts) => parts, [320, 160], [0, 120]);
    say(`Cell row ${row}, column ${col}, before and after.`);
  }

  #clear() {
    for (const side of this.sides ?? []) side.close();
    this.sides = null;
    this.moved = null;
    this.ready = false;
    this.at = '';
    this.shown = '';
    this.opened = '';
    this.panel.close();
  }

  close() {
    this.#clear();
  }
}

/** @param {State} state @param {Moved} moved */
const drawsMotion = ({ query }, moved) => query.motion !== 'off' && !moved.same_layout;
