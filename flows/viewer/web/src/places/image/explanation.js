// What one layer makes of an image: drawn once, and of what changes only the part that it changes.

import { fill, h } from '../../ui/dom.js';
import { number, signed } from '../../ui/format.js';
import { say } from '../../ui/announce.js';
import { cellHref, chip, section } from '../../ui/components.js';
import { load } from '../../map/grid.js';
import { icon } from '../../map/sprites.js';
import { swing } from '../../ui/charts.js';
import { Choices } from './choices.js';
import { Follow } from './follow.js';
import { blocks, groups, scaled } from './groups.js';
import { Mosaic } from './mosaic.js';
import { Over, short } from './overlay.js';
import { placed, Positions } from '../../ui/positions.js';
import { put } from './renew.js';
import { Rest } from './debounce.js';

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {import('../../map/grid.js').Grid} Grid */
/** @typedef {(layer: LayerFacts, words: Record<string, string>, leaving: AbortSignal) => Promise<any>} Ask */

export class Apart {
  /** @param {{ about: About, layer: LayerFacts, image: HTMLImageElement, ask: Ask }} what @param {State} state @param {Explained} found */
  constructor({ about, layer, image, ask }, state, found) {
    this.layer = layer;
    this.state = state;
    this.found = found;
    this.grid = gridOf(layer, found);
    this.rest = new Rest();
    /** Where one is, as the address has it. */
    this.at = '';
    /** The position that is drawn. */
    this.shown = '';
    this.place = h('div', { class: 'image-at' });
    const { rows, cols } = found.grid;
    const show = (/** @type {number} */ y, /** @type {number} */ x) => {
      if (y >= 0) this.#show(y, x);
    };
    const tell = (/** @type {number} */ y, /** @type {number} */ x) => {
      show(y, x);
      if (y >= 0) say(this.#told(y, x));
    };
    this.positions = new Positions(
      image,
      { rows, cols, seen: found.seen, words: 'The image' },
      { hover: show, press: tell, walk: tell },
    );
    this.positions.canvas.dataset.keep = 'positions';
    this.pooled = found.groups.maps.map((map) => scaled(blocks(map, found.grid.top, found.grid.left)));
    this.over = new Over(this.positions, (words, leaving) => ask(layer, words, leaving), this.grid);
    this.choices = new Choices(about.classes > 0);
    this.speakers = h('div');
    this.groups = h('div');
    const deeper = about.layers.slice(about.layers.indexOf(layer) + 1);
    this.follow = deeper.length
      ? new Follow(layer, deeper, {
          links: (to, now, leaving) => ask(layer, { ...asked(now), to: to.name }, leaving),
          there: (to, now, leaving) => ask(to, asked(now), leaving),
          grid: gridOf,
        })
      : null;
    this.element = this.#page();
    this.#look(state);
    this.#classes(state, found);
    this.#others(state);
    say(`Taken apart at ${layer.name}.`);
  }

  #page() {
    const mosaic = h('div', { class: 'mosaic' });
    this.grid.then((known) => known && fill(mosaic, new Mosaic(this.found, known, (y, x) => this.#show(y, x)).element));
    return h(
      'div',
      {},
      h(
        'div',
        { class: 'image-top' },
        h(
          'figure',
          { class: 'image-photo' },
          this.positions.element,
          this.over.tools.element,
          h('figcaption', { class: 'quiet small' }, this.over.caption),
        ),
        h(
          'figure',
          { class: 'image-icons' },
          mosaic,
          h(
            'figcaption',
            { class: 'quiet small' },
            `What ${this.layer.name} sees: the icon of the likest cell, its size by the activation’s length.`,
          ),
        ),
        this.place,
      ),
      h('div', { class: 'columns' }, this.choices.element, this.speakers, this.groups),
      this.follow?.element ?? '',
      ...this.found.notes.map((note) => h('p', { class: 'note' }, `${note}.`)),
    );
  }

  /** Another overlay, position or later layer is named. @param {State} state */
  update(state) {
    this.state = state;
    if (state.query.at && state.query.at !== this.at && !this.rest.waits()) this.#look(state);
    this.#others(state, true);
  }

  /** Another class is asked about. @param {State} state @param {Explained} found */
  turn(state, found) {
    this.found = found;
    this.#classes(state, found);
    this.update(state);
    say(
      `What speaks for “${short(found.target.name)}”${found.versus ? ` rather than “${short(found.versus.name)}”` : ''}.`,
    );
  }

  /** @param {State} state */
  #look(state) {
    const { rows, cols, norm } = this.found.grid;
    const [y, x] = placed(state.query.at, rows, cols) ?? strongest(norm);
    this.positions.mark(y, x);
    this.#draw(y, x);
    this.at = state.query.at ?? '';
  }

  /** @param {State} state @param {boolean} [wanted] */
  #others(state, wanted) {
    this.over.update(state, this.found, this.pooled);
    this.follow?.update(state, this.found, wanted);
  }

  /** @param {State} state @param {Explained} found */
  #classes(state, found) {
    this.choices.update(state, found);
    put(this.speakers, [speakers(state, this.layer, found)]);
    put(this.groups, [
      groups(found, this.pooled, (k) => (k < 0 ? this.over.again() : this.over.instead(this.pooled[k])), this.grid),
    ]);
  }

  /** @param {number} y @param {number} x */
  #show(y, x) {
    this.#draw(y, x);
    this.at = `${y},${x}`;
    this.rest.write({ at: this.at });
  }

  /** @param {number} y @param {number} x */
  async #draw(y, x) {
    this.shown = `${y},${x}`;
    const grid = await this.grid;
    if (this.shown === `${y},${x}`) put(this.place, this.#position(grid, y, x));
  }

  /** @param {Grid | null} grid @param {number} y @param {number} x */
  #position(grid, y, x) {
    const { units, values, relative, cells, cosine } = this.found.grid;
    const cell = cells?.[y]?.[x];
    const i = grid && cell ? grid.at(cell[0], cell[1]) : -1;
    const most = Math.max(...relative[y][x].map(Math.abs), 1e-9);
    return [
      h('h2', {}, `Position ${y},${x}`),
      grid &&
        cell &&
        i >= 0 &&
        h(
          'a',
          {
            href: cellHref(this.state, this.layer.name, grid.size, cell[0], cell[1]),
            title: `cell ${cell[0]},${cell[1]}`,
          },
          icon(grid, i, 160, `icon of cell ${cell[0]},${cell[1]}`),
        ),
      cell &&
        h('p', { class: 'quiet small' }, `The likest cell is ${cell[0]},${cell[1]}, cosine ${number(cosine?.[y][x])}.`),
      h(
        'ul',
        { class: 'links narrow' },
        ...units[y][x].map((unit, k) =>
          h(
            'li',
            { class: 'speaker' },
            chip(this.state, this.layer.name, unit),
            swing(relative[y][x][k] / most),
            h('span', { class: 'num' }, signed(values[y][x][k])),
          ),
        ),
      ),
    ];
  }

  /** What is at a position, for who does not see it. @param {number} y @param {number} x */
  #told(y, x) {
    const { units, cells } = this.found.grid;
    const cell = cells?.[y]?.[x];
    return `Row ${y}, column ${x}: units ${units[y][x].join(', ')}${cell ? `; the likest cell is ${cell[0]},${cell[1]}` : ''}.`;
  }

  /** Another layer is asked: what is pointed at here is no longer the address's. */
  dropped() {
    this.rest.drop();
    this.follow?.rest.drop();
  }

  close() {
    this.dropped();
    this.positions.close();
    this.over.close();
    this.follow?.close();
  }
}

/** What is asked of the model, as the address has it. @param {State} state @returns {Record<string, string>} */
export const asked = ({ query }) => ({
  ...(query.class ? { of: query.class } : {}),
  ...(query.against ? { against: query.against } : {}),
});

/** @param {State} state @param {LayerFacts} layer @param {Explained} found */
function speakers(state, layer, found) {
  const rows = [...found.attribution.for.slice(0, 4), ...found.attribution.against.slice(0, 3)];
  const most = Math.max(...rows.map((row) => Math.abs(row.attribution)), 1e-9);
  return section(
    `Units that speak for “${short(found.target.name)}”, and against`,
    h(
      'ul',
      { class: 'links narrow' },
      ...rows.map((row) =>
        h(
          'li',
          { class: 'speaker' },
          chip(state, layer.name, row.unit),
          swing(row.attribution / most),
          h('span', { class: 'num' }, signed(row.attribution)),
        ),
      ),
    ),
  );
}

/** The grid whose icons an image is drawn with. @param {LayerFacts} layer @param {Explained} found @returns {Promise<Grid | null>} */
function gridOf(layer, found) {
  const facts = layer.grids.find((known) => known.grid === found.grid.grid);
  return found.grid.cells && facts ? load(layer, facts) : Promise.resolve(null);
}

/** @param {number[][]} values */
function strongest(values) {
  let best = [0, 0];
  values.forEach((row, y) =>
    row.forEach((value, x) => {
      if (value > values[best[0]][best[1]]) best = [y, x];
    }),
  );
  return best;
}
