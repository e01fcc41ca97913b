// Two versions side by side, panned and zoomed together: what moved, what changed, which units drifted.

import { here, href } from '../../state/address.js';
import { ask, live, peek } from '../../data/client.js';
import { fill, h } from '../../ui/dom.js';
import { atLayer } from '../../state/layer.js';
import { go, turn } from '../../state/navigate.js';
import { say, title } from '../../ui/announce.js';
import { coming, command, missing } from '../../ui/components.js';
import { pick } from './pick.js';
import { Side } from './side.js';
import { below, cell, key, lead } from './summary.js';

/** @typedef {import('../../state/address.js').State} State */

export class Compare {
  /** @param {{ root: HTMLElement, panel: import('../../ui/panel.js').Panel, about: About }} place */
  constructor({ root, panel, about }) {
    this.root = root;
    this.panel = panel;
    this.b = about;
    this.key = '';
    /** @type {[Side, Side] | null} */
    this.sides = null;
    /** @type {Moved | null} */
    this.moved = null;
    /** @type {Side | null} */
    this.leading = null;
    this.opened = '';
    /** Where the address said to look, when it was last read or written. */
    this.at = '';
    /** Are both maps there? */
    this.entered = false;
  }

  /** @param {State} state */
  async update(state) {
    this.state = state;
    const a = await peek(state.name, state.version);
    this.a = a;
    title('compare', `${a.name}@${a.version}`, `${this.b.name}@${this.b.version}`);
    const layer = this.b.layers.find((known) => known.name === state.what);
    const old = a.layers.find((known) => known.name === state.what);
    const which = `${a.name}@${a.tag} ${state.what}`;
    if (this.key !== which) {
      this.key = which;
      this.#leave();
      this.#frame(state, a);
      const place = /** @type {HTMLElement} */ (this.place);
      if (!live())
        return fill(
          place,
          h(
            'p',
            { class: 'section quiet' },
            `These are exported files of one version. To compare it with another: actlas view ${this.b.name}`,
          ),
        );
      if (a.name === this.b.name && a.tag === this.b.tag) return fill(place, this.#alone());
      if (!layer || !old || !layer.grids.length || !old.grids.length)
        return fill(place, missing(`${state.what} has no atlas in both of these.`, undefined));
      await coming(
        place,
        () => ask('moved', { layer: layer.name, since: `${a.name}@${a.tag}` }),
        (/** @type {Moved} */ moved) => this.#draw(moved, a, old, layer),
        [0, 24],
        [0, 420],
      );
    }
    if (this.sides && this.moved && this.entered) {
      if (this.#looked(state)) this.sides[1].follow(this.sides[0]);
      await this.#show(state, this.moved, this.sides);
    }
  }

  /** Look where the address says, if that is not where it was read or written last: back and pasted addresses. @param {State} state */
  #looked(state) {
    const words = state.query.at ?? '';
    const at = words.split(',').map(Number);
    if (!this.sides || !words || words === this.at || at.length !== 3 || !at.every(Number.isFinite)) return false;
    this.at = words;
    this.leading = this.sides[0];
    this.leading.map.look({ x: at[0], y: at[1], zoom: at[2] }, true);
    return true;
  }

  /** @param {State} state @param {About} a */
  #frame(state, a) {
    const { b } = this;
    const shared = b.layers.filter((layer) => a.layers.some((known) => known.name === layer.name));
    this.place = h('div', { class: 'compare-place' });
    fill(
      this.root,
      h(
        'article',
        { class: 'page full' },
        h('h1', { class: 'unseen' }, `What moved from ${a.name}@${a.version} to ${b.name}@${b.version}`),
        h(
          'div',
          { class: 'page-head' },
          h(
            'div',
            { class: 'pair' },
            pick(a, 'before', (name, version) => go({ name, version })),
            h(
              'button',
              {
                class: 'icon-button',
                title: 'Swap',
                'aria-label': 'Swap the two',
                onclick: () => go({ name: b.name, version: b.version, other: `${a.name}@${a.version}` }),
              },
              '⇄',
            ),
            pick(b, 'after', (name, version) => go({ other: `${name}@${version}` })),
          ),
          h(
            'nav',
            { class: 'steps-layers', 'aria-label': 'layers' },
            ...shared.map((layer) =>
              h(
                'a',
                { href: href(atLayer(state, layer.name)), 'aria-current': layer.name === state.what ? 'true' : null },
                layer.name,
              ),
            ),
          ),
        ),
        this.place,
      ),
    );
  }

  /** One version cannot be compared with itself. */
  #alone() {
    return h(
      'div',
      { class: 'section' },
      h(
        'p',
        {},
        'These are one and the same. Choose another above, or make one: train the model on, and run it again under the same name.',
      ),
      command(`${this.b.commands.run} --weights NEW-WEIGHTS.pt`),
    );
  }

  /** @param {Moved} moved @param {About} a @param {LayerFacts} old @param {LayerFacts} layer */
  #draw(moved, a, old, layer) {
    this.moved = moved;
    const told = {
      moved: (/** @type {Side} */ side) => this.#moved(side),
      settled: (/** @type {Side} */ side) => this.#settled(side),
      hover: (/** @type {Side} */ _, /** @type {number} */ row, /** @type {number} */ col) => this.#hover(row, col),
      clicked: (/** @type {number} */ row, /** @type {number} */ col) => this.#clicked(row, col),
    };
    const sides = /** @type {[Side, Side]} */ ([new Side(a, 'Before', told), new Side(this.b, 'After', told)]);
    for (const side of sides) {
      for (const name of ['pointerenter', 'wheel', 'pointerdown', 'focusin'])
        side.stage.addEventListener(
          name,
          () => {
            this.leading = side;
          },
          { passive: true, capture: true },
        );
      side.stage.addEventListener('keydown', (event) => this.#key(event));
    }
    this.sides = sides;
    this.counts = h('div', { class: 'keys small', role: 'status' });
    this.grid = h('select', { id: 'grid', onchange: () => turn({ grid: this.grid?.value || null, cell: null }) });
    this.arrows = h('input', {
      type: 'checkbox',
      id: 'arrows',
      onchange: () => turn({ motion: this.arrows?.checked ? null : 'off' }),
    });
    Promise.all([sides[0].enter(old), sides[1].enter(layer)]).then(() =>
      this.sides === sides ? this.#entered(here()) : undefined,
    );
    return [
      h('p', { class: 'lead' }, lead(moved)),
      !moved.same_layout &&
        (moved.displacement.noise_median ?? null) === null &&
        h(
          'div',
          { class: 'missing' },
          h('p', {}, 'How much of this another seed alone would move is not measured yet. Measure it:'),
          command(`actlas compare ${a.name}@${a.version} ${this.b.name}@${this.b.version}`),
        ),
      !moved.same_frame &&
        h(
          'p',
          { class: 'note' },
          'These two were laid out apart: places of the one mean nothing in the other. Motion is drawn on the older map, after the newer layout was brought over.',
        ),
      h(
        'div',
        { class: 'tools compare-tools' },
        h('label', { class: 'tool', for: 'grid' }, h('span', { class: 'quiet tool-name' }, 'Grid'), this.grid),
        h('label', { class: 'tool', for: 'arrows' }, this.arrows, 'Motion'),
        this.counts,
      ),
      h(
        'div',
        { class: 'sides' },
        ...sides.map((side) =>
          h(
            'figure',
            {},
            h(
              'figcaption',
              { class: 'small' },
              h(
                'a',
                {
                  href: href({
                    ...here(),
                    place: 'atlas',
                    name: side.about.name,
                    version: side.about.version,
                    what: layer.name,
                    query: {},
                  }),
                },
                `${side.about.name} @ ${side.about.version}`,
              ),
            ),
            side.element,
          ),
        ),
      ),
      below(moved, { a, b: this.b, state: here() }),
    ];
  }

  /** @param {State} state */
  async #entered(state) {
    if (!this.sides || !this.moved) return;
    const [old] = this.sides;
    this.leading = old;
    this.entered = true;
    if (!this.#looked(state)) old.map.home(true);
    this.sides[1].follow(old);
    await this.#show(here(), this.moved, this.sides);
  }

  /** @param {State} state @param {Moved} moved @param {[Side, Side]} sides */
  async #show(state, moved, sides) {
    const asked = Number(state.query.grid) || null;
    for (const side of sides) side.map.chosen = asked;
    const size = this.#size();
    if (!size) return;
    const motion = state.query.motion !== 'off' && !moved.same_layout;
    const grids = moved.cells.map((cells) => cells.grid);
    fill(
      /** @type {HTMLElement} */ (this.grid),
      h('option', { value: '' }, `by zoom (${size})`),
      ...grids.map((grid) => h('option', { value: grid }, `${grid} × ${grid}`)),
    );
    /** @type {HTMLSelectElement} */ (this.grid).value = asked ? String(asked) : '';
    const box = /** @type {HTMLInputElement} */ (this.arrows);
    box.checked = motion;
    box.disabled = moved.same_layout;
    this.shown = `${size} ${motion}`;
    await Promise.all(sides.map((side, which) => side.use(size, moved, which === 0, motion)));
    fill(/** @type {HTMLElement} */ (this.counts), ...key(moved, size));
    this.#open(state, moved, sides);
  }

  /** The grid that both maps have and that suits the zoom. */
  #size() {
    const wanted = (this.leading ?? this.sides?.[0])?.map.grid() ?? 0;
    const both = this.moved?.cells.map((cells) => cells.grid) ?? [];
    return both.includes(wanted) ? wanted : (both[0] ?? 0);
  }

  /** @param {Side} side */
  #moved(side) {
    if (!this.sides || !this.moved || side !== this.leading) return;
    const other = this.sides[side === this.sides[0] ? 1 : 0];
    other.follow(side);
    for (const one of this.sides) one.card.hide();
    const motion = here().query.motion !== 'off' && !this.moved.same_layout;
    if (this.shown && this.shown !== `${this.#size()} ${motion}`) this.#show(here(), this.moved, this.sides);
  }

  /** @param {Side} side */
  #settled(side) {
    if (side !== this.leading || !side.map.touched || here().place !== 'compare') return;
    side.map.touched = false;
    const { x, y, zoom } = side.map.view();
    this.at = [x.toFixed(4), y.toFixed(4), zoom.toFixed(3)].join(',');
    turn({ at: this.at }, { replace: true, quiet: true });
  }

  /** @param {number} row @param {number} col */
  #hover(row, col) {
    for (const side of this.sides ?? []) side.hover(row, col, true);
  }

  /** @param {number} row @param {number} col */
  #clicked(row, col) {
    const there = this.sides?.some((side) => (side.scene.grid?.at(row, col) ?? -1) >= 0);
    turn(there ? { grid: String(this.#size()), cell: `${row},${col}` } : { cell: null });
  }

  /** @param {State} state @param {Moved} moved @param {[Side, Side]} sides */
  #open(state, moved, sides) {
    const named = state.query.cell ?? '';
    const [row, col] = named.split(',').map(Number);
    for (const side of sides) side.open(named ? row : -1, named ? col : -1);
    const grids = sides.map((side) => side.scene.grid);
    if (!named || !grids[0] || !grids[1]) {
      this.opened = '';
      return this.panel.close();
    }
    const which = `${named} ${grids[0].size}`;
    if (this.opened === which && this.panel.isOpen()) return;
    this.opened = which;
    const body = this.panel.open(`Cell ${named}`, () => turn({ cell: null }));
    const both = { a: /** @type {About} */ (this.a), b: this.b, state };
    coming(
      body,
      () => cell(moved, /** @type {any} */ (grids), row, col, both),
      (parts) => parts,
      [320, 160],
      [0, 120],
    );
    say(`Cell row ${row}, column ${col}, before and after.`);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const side = this.leading ?? this.sides?.[0];
    const grid = side?.scene.grid;
    if (!side || !grid || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = /** @type {Record<string, [number, number]>} */ ({
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    })[event.key];
    if (step) {
      const from = side.scene.cursor;
      const next = from < 0 ? grid.fullest[0] : grid.step(from, step[0], step[1]);
      if (next < 0) say('There is no cell that way.');
      else {
        side.scene.cursor = next;
        this.#hover(grid.columns.row[next], grid.columns.col[next]);
        say(
          `Cell row ${grid.columns.row[next]}, column ${grid.columns.col[next]}: ${grid.columns.count[next]} samples.`,
        );
      }
    } else if (event.key === 'Enter' && side.scene.cursor >= 0)
      this.#clicked(grid.columns.row[side.scene.cursor], grid.columns.col[side.scene.cursor]);
    else if (event.key === '+' || event.key === '=') side.map.zoom(1.6);
    else if (event.key === '-') side.map.zoom(1 / 1.6);
    else if (event.key === '0') side.map.home();
    else return;
    event.preventDefault();
  }

  #leave() {
    for (const side of this.sides ?? []) side.close();
    this.sides = null;
    this.moved = null;
    this.entered = false;
    this.at = '';
    this.shown = '';
    this.opened = '';
    this.panel.close();
  }

  close() {
    this.#leave();
  }
}
