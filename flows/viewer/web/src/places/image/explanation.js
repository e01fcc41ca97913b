// The explanation of one image at one layer: drawn once; later changes redraw only the part they affect.

import { cellHref, chip, section } from '../../ui/components.js';
import { swing } from '../../ui/charts.js';
import { fill, h } from '../../ui/dom.js';
import { number, signed } from '../../ui/format.js';
import { parsePosition, part, span } from '../../data/positions.js';
import { Positions } from '../../ui/positions.js';
import { say } from '../../ui/announce.js';
import { load } from '../../map/grid.js';
import { icon } from '../../map/sprites.js';
import { Choices } from './choices.js';
import { DebouncedQuery } from './debounce.js';
import { Follow } from './follow.js';
import { blocks, groups, scaled } from './groups.js';
import { Mosaic } from './mosaic.js';
import { ImageOverlay, short } from './overlay.js';
import { replace } from './refresh.js';

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {import('../../map/grid.js').Grid} Grid */
/** @typedef {(layer: LayerFacts, parameters: Record<string, string>, signal: AbortSignal) => Promise<any>} Ask */

export class Explanation {
  /** @param {{ about: About, layer: LayerFacts, image: HTMLImageElement, ask: Ask }} parts @param {State} state @param {Explained} explained */
  constructor({ about, layer, image, ask }, state, explained) {
    this.layer = layer;
    this.state = state;
    this.explained = explained;
    this.grid = gridOf(layer, explained);
    this.address = new DebouncedQuery();
    /** The position in the address. */
    this.at = '';
    /** The position on show. */
    this.shown = '';
    this.place = h('div', { class: 'image-at' });
    this.positions = this.#positions(image);
    this.pooled = explained.groups.maps.map((map) => scaled(blocks(map, explained.grid.top, explained.grid.left)));
    const request = (/** @type {Record<string, string>} */ words, /** @type {AbortSignal} */ signal) =>
      ask(layer, words, signal);
    this.overlay = new ImageOverlay(this.positions, request, this.grid, about.saliency);
    this.choices = new Choices(about.classes > 0);
    this.speakers = h('div');
    this.groups = h('div');
    const deeper = about.layers.slice(about.layers.indexOf(layer) + 1);
    this.follow = deeper.length ? this.#follow(deeper, ask) : null;
    this.element = this.#page();
    this.#mark(state);
    this.#updateClasses(state, explained);
    this.#updateRest(state);
    say(`Explained at ${layer.name}.`);
  }

  /** @param {HTMLImageElement} image */
  #positions(image) {
    const { seen, grid } = this.explained;
    const hover = (/** @type {number} */ y, /** @type {number} */ x) => {
      if (y >= 0) this.#show(y, x);
    };
    const press = (/** @type {number} */ y, /** @type {number} */ x) => {
      hover(y, x);
      if (y >= 0) say(this.#sentence(y, x));
    };
    const facts = { rows: grid.rows, cols: grid.cols, seen, words: 'The image' };
    const positions = new Positions(image, facts, { hover, press, walk: press });
    positions.canvas.dataset.keep = 'positions';
    return positions;
  }

  /** @param {LayerFacts[]} deeper @param {Ask} ask */
  #follow(deeper, ask) {
    return new Follow(this.layer, deeper, {
      links: (to, state, signal) => ask(this.layer, { ...classParameters(state), to: to.name }, signal),
      explain: (to, state, signal) => ask(to, classParameters(state), signal),
      grid: gridOf,
    });
  }

  #page() {
    const mosaic = h('div', { class: 'mosaic' });
    this.grid.then((grid) => {
      if (grid) fill(mosaic, new Mosaic(this.explained, grid, (y, x) => this.#show(y, x)).element);
    });
    const photoCaption = h('figcaption', { class: 'quiet small' }, this.overlay.caption);
    const icons = 'Nearest atlas icon at each position; larger = stronger activation.';
    const top = h(
      'div',
      { class: 'image-top' },
      h('figure', { class: 'image-photo' }, this.positions.element, this.overlay.controls.element, photoCaption),
      this.place,
      h(
        'figure',
        { class: 'image-icons', 'data-layer': this.layer.name },
        mosaic,
        h('figcaption', { class: 'quiet small' }, icons),
      ),
    );
    const columns = h('div', { class: 'columns' }, this.choices.element, this.speakers, this.groups);
    const notes = this.explained.notes.map((note) => h('p', { class: 'note' }, `${note}.`));
    return h('div', {}, top, columns, this.follow?.element ?? '', ...notes);
  }

  /** Show another overlay, position or later layer. @param {State} state */
  update(state) {
    this.state = state;
    if (state.query.at && state.query.at !== this.at && !this.address.isPending()) this.#mark(state);
    this.#updateRest(state, true);
  }

  /** Explain another class. @param {State} state @param {Explained} explained */
  changeClass(state, explained) {
    this.explained = explained;
    this.#updateClasses(state, explained);
    this.update(state);
    say(`What speaks for ${question(explained)}.`);
  }

  /** Mark the position in the address, or the strongest. @param {State} state */
  #mark(state) {
    const { rows, cols, top, left, norm } = this.explained.grid;
    const place = parsePosition(state.query.at, this.layer.height, this.layer.width);
    const [y, x] = place ? [part(top, rows, place[0]), part(left, cols, place[1])] : strongest(norm);
    this.positions.mark(y, x);
    this.#draw(y, x);
    this.at = state.query.at ?? '';
  }

  /** @param {State} state @param {boolean} [byUser] */
  #updateRest(state, byUser) {
    this.overlay.update(state, this.explained, this.pooled);
    this.follow?.update(state, this.explained, byUser);
  }

  /** @param {State} state @param {Explained} explained */
  #updateClasses(state, explained) {
    this.choices.update(state, explained);
    const preview = (/** @type {number} */ k) => (k < 0 ? this.overlay.draw() : this.overlay.preview(this.pooled[k]));
    replace(this.speakers, [speakers(state, this.layer, explained)]);
    replace(this.groups, [groups(explained, this.pooled, preview, this.grid)]);
  }

  /** @param {number} y @param {number} x */
  #show(y, x) {
    this.#draw(y, x);
    const { top, left } = this.explained.grid;
    this.at = `${top[y]},${left[x]}`; // of the layer, as patches and tables have it
    this.address.set({ at: this.at });
  }

  /** @param {number} y @param {number} x */
  async #draw(y, x) {
    this.shown = `${y},${x}`;
    const grid = await this.grid;
    if (this.shown === `${y},${x}`) replace(this.place, this.#position(grid, y, x));
  }

  /** Describe a position: its nearest cell and its strongest units. @param {Grid | null} grid @param {number} y @param {number} x */
  #position(grid, y, x) {
    const { units, values, relative, cosine } = this.explained.grid;
    const [row, col] = this.explained.grid.cells?.[y]?.[x] ?? [-1, -1];
    const i = grid?.at(row, col) ?? -1;
    const most = Math.max(...relative[y][x].map(Math.abs), 1e-9);
    const rows = units[y][x].map((unit, k) =>
      speaker(this.state, this.layer, unit, relative[y][x][k] / most, values[y][x][k]),
    );
    const address = grid ? cellHref(this.state, this.layer.name, grid.size, row, col) : '';
    const name = `cell ${row},${col}`;
    return [
      h('h2', {}, this.#name(y, x)),
      grid && i >= 0 && h('a', { href: address, title: name }, icon(grid, i, 160, `icon of ${name}`)),
      row >= 0 &&
        h('p', { class: 'quiet small' }, `The nearest cell is ${row},${col}, cosine ${number(cosine?.[y][x])}.`),
      h('ul', { class: 'links narrow' }, ...rows),
    ];
  }

  /** Describe a position for screen readers. @param {number} y @param {number} x */
  #sentence(y, x) {
    const { units, cells } = this.explained.grid;
    const cell = cells?.[y]?.[x];
    const nearest = cell ? `; the nearest cell is ${cell[0]},${cell[1]}` : '';
    return `${this.#name(y, x)}: units ${units[y][x].join(', ')}${nearest}.`;
  }

  /** Name the positions of the layer that a block holds. @param {number} y @param {number} x */
  #name(y, x) {
    const { rows, cols, top, left } = this.explained.grid;
    const [down, across] = [span(top, rows, y, this.layer.height), span(left, cols, x, this.layer.width)];
    return `${/–/.test(down + across) ? 'Positions' : 'Position'} ${down},${across}`;
  }

  /** Stop writing to the address: another layer is on its way. */
  detach() {
    this.address.cancel();
    this.follow?.address.cancel();
  }

  close() {
    this.detach();
    this.positions.close();
    this.overlay.close();
    this.follow?.close();
  }
}

/** Return the parameters of the classes in the address. @param {State} state @returns {Record<string, string>} */
export const classParameters = ({ query }) => ({
  ...(query.class ? { of: query.class } : {}),
  ...(query.against ? { against: query.against } : {}),
});

/** Name the class, and the one it is compared with. @param {Explained} explained */
const question = ({ target, versus }) =>
  `“${short(target.name)}”${versus ? ` rather than “${short(versus.name)}”` : ''}`;

/** @param {State} state @param {LayerFacts} layer @param {Explained} explained */
function speakers(state, layer, { attribution, target }) {
  const rows = [...attribution.for.slice(0, 4), ...attribution.against.slice(0, 3)];
  const most = Math.max(...rows.map((row) => Math.abs(row.attribution)), 1e-9);
  const items = rows.map((row) => speaker(state, layer, row.unit, row.attribution / most, row.attribution));
  const heading = `Units that speak for “${short(target.name)}”, and against`;
  return section(heading, h('ul', { class: 'links narrow' }, ...items));
}

/** A unit with a bar and a number. @param {State} state @param {LayerFacts} layer @param {number} unit @param {number} share @param {number} value */
function speaker(state, layer, unit, share, value) {
  const attributes = { class: 'speaker' };
  return h('li', attributes, chip(state, layer.name, unit), swing(share), h('span', { class: 'num' }, signed(value)));
}

/** Load the grid whose icons the image is drawn with. @param {LayerFacts} layer @param {Explained} explained @returns {Promise<Grid | null>} */
function gridOf(layer, { grid }) {
  const facts = layer.grids.find((one) => one.grid === grid.grid);
  return grid.cells && facts ? load(layer, facts) : Promise.resolve(null);
}

/** Return the position of the largest value. @param {number[][]} values */
function strongest(values) {
  let best = [0, 0];
  values.forEach((row, y) =>
    row.forEach((value, x) => {
      if (value > values[best[0]][best[1]]) best = [y, x];
    }),
  );
  return best;
}
