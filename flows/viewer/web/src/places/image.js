// One image, taken apart: what a layer sees at each position, what speaks for a class, and which positions belong together.

import { href } from '../address.js';
import { ask, live, picture, send } from '../data.js';
import { fill, h } from '../dom.js';
import { number, percent, signed } from '../format.js';
import { layerOf } from '../frame.js';
import { turn } from '../go.js';
import { say, title } from '../live.js';
import { cellHref, chip, coming, section } from '../parts.js';
import { load } from './atlas/grid.js';
import { icon } from './atlas/sprites.js';
import { Positions } from './positions.js';
import { swing } from './unit.js';

/** @typedef {import('../address.js').State} State */
/** @typedef {import('./atlas/grid.js').Grid} Grid */

export class ImagePlace {
  /** @param {{ root: HTMLElement, about: About }} place */
  constructor({ root, about }) {
    this.root = root;
    this.about = about;
    this.key = '';
    /** @type {Map<string, Promise<Explained>>} */
    this.asked = new Map();
  }

  /** @param {State} state */
  async update(state) {
    const id = Number(state.what);
    title(`image ${id}`, `${this.about.name}@${this.about.version}`);
    const layer = /** @type {LayerFacts} */ (this.about.layers.find((known) => known.name === layerOf(state, this.about)));
    const key = `${id} ${layer.name} ${state.query.class ?? ''} ${state.query.against ?? ''}`;
    if (key === this.key) return;
    this.key = key;
    const page = h('article', { class: 'page wide' });
    const apart = h('div');
    const head = h('div');
    fill(this.root, page);
    fill(page, head, this.#tools(state, layer), apart);
    await coming(head, () => ask('image', { id }), (/** @type {ImageFacts} */ found) => facts(state, layer, found), [320, 36], [240, 24]);
    if (!live() || !this.about.uploads) {
      fill(apart, photo(id), h('p', { class: 'quiet section' }, live()
        ? 'This viewer was started with --no-uploads: it does not run the model. Start it without, and the image is taken apart here.'
        : `These are exported files without the model. To take the image apart: actlas view ${this.about.name}`));
      return;
    }
    await coming(apart, () => this.#explain(id, layer, state), (found) => this.#draw(state, id, layer, found), [560, 420], [0, 120]);
  }

  /** @param {State} state @param {LayerFacts} layer */
  #tools(state, layer) {
    const layers = h('nav', { class: 'steps-layers', 'aria-label': 'layers' }, ...this.about.layers.map((known) =>
      h('a', { href: href({ ...state, query: { ...state.query, layer: known.name, at: '' } }), 'aria-current': known === layer ? 'true' : null }, known.name)));
    const locate = h('a', { class: 'button flat', href: href({ ...state, place: 'atlas', what: layer.name, query: { locate: state.what } }) }, 'Locate on the atlas');
    return h('div', { class: 'page-head image-tools' }, layers, live() && this.about.uploads && locate);
  }

  /** @param {number} id @param {LayerFacts} layer @param {State} state @returns {Promise<Explained>} */
  #explain(id, layer, state) {
    const words = { ...(state.query.class ? { of: state.query.class } : {}), ...(state.query.against ? { against: state.query.against } : {}) };
    const key = JSON.stringify([id, layer.name, words]);
    const found = this.asked.get(key) ?? send('explain', { layer: layer.name, id, ...words }, new Blob([]));
    this.asked.set(key, found);
    found.catch(() => this.asked.delete(key));
    return found;
  }

  /** @param {State} state @param {number} id @param {LayerFacts} layer @param {Explained} found */
  #draw(state, id, layer, found) {
    const image = /** @type {HTMLImageElement} */ (photo(id));
    const place = h('div', { class: 'image-at' });
    const { rows, cols } = found.grid;
    const view = { speaks: scaled(found.attribution.blocks), length: scaled(found.grid.norm) };
    /** @type {Promise<Grid | null>} */
    const grid = found.grid.cells ? load(layer, /** @type {GridFacts} */ (layer.grids.find((known) => known.grid === found.grid.grid))) : Promise.resolve(null);
    const show = (/** @type {number} */ y, /** @type {number} */ x) => {
      if (y < 0) return;
      turn({ at: `${y},${x}` }, { replace: true, quiet: true });
      grid.then((known) => fill(place, ...this.#position(state, layer, found, known, y, x)));
    };
    const positions = new Positions(image, { rows, cols, seen: found.seen, words: 'The image' }, { hover: show, press: show });
    positions.values = view.speaks;
    const lay = h('div', { class: 'mosaic' });
    grid.then((known) => known && fill(lay, mosaic(found, known, show)));
    const [y, x] = (state.query.at ?? '').split(',').map(Number);
    const start = y >= 0 && y < rows && x >= 0 && x < cols ? [y, x] : strongest(found.grid.norm);
    positions.mark(start[0], start[1]);
    show(start[0], start[1]);
    say(`Taken apart at ${layer.name}.`);
    return [
      h('div', { class: 'image-top' },
        h('figure', { class: 'image-photo' }, positions.element, h('figcaption', { class: 'quiet small' }, `Coloured by what speaks for “${short(found.target.name)}”${found.versus ? ` against “${short(found.versus.name)}”` : ''} at each position: blue for, orange against.`)),
        h('figure', { class: 'image-icons' }, lay, h('figcaption', { class: 'quiet small' }, `What ${layer.name} sees: the icon of the likest cell, its size by the activation’s length.`)),
        place),
      h('div', { class: 'columns' }, this.#choices(state, found), this.#speakers(state, layer, found), groups(found, positions, view.speaks, grid)),
      ...found.notes.map((note) => h('p', { class: 'note' }, `${note}.`)),
    ];
  }

  /** @param {State} state @param {LayerFacts} layer @param {Explained} found @param {Grid | null} grid @param {number} y @param {number} x */
  #position(state, layer, found, grid, y, x) {
    const { units, values, relative, cells, cosine } = found.grid;
    const cell = cells?.[y]?.[x];
    const i = grid && cell ? grid.at(cell[0], cell[1]) : -1;
    const most = Math.max(...relative[y][x].map(Math.abs), 1e-9);
    return [
      h('h2', {}, `Position ${y},${x}`),
      grid && cell && i >= 0 && h('a', { href: cellHref(state, layer.name, grid.size, cell[0], cell[1]), title: `cell ${cell[0]},${cell[1]}` }, icon(grid, i, 160, `icon of cell ${cell[0]},${cell[1]}`)),
      cell && h('p', { class: 'quiet small' }, `The likest cell is ${cell[0]},${cell[1]}, cosine ${number(cosine?.[y][x])}.`),
      h('ul', { class: 'links narrow' }, ...units[y][x].map((unit, k) => h('li', { class: 'speaker' },
        chip(state, layer.name, unit), swing(relative[y][x][k] / most), h('span', { class: 'num' }, signed(values[y][x][k]))))),
    ];
  }

  /** @param {State} state @param {Explained} found */
  #choices(state, found) {
    const press = (/** @type {number} */ index) => turn({ class: String(index), against: null });
    const against = (/** @type {number} */ index) => turn({ class: String(found.target.index), against: String(index) });
    return section('The model’s first choices', h('ul', { class: 'choices' }, ...found.choices.map((choice) =>
      h('li', {}, h('button', { class: 'link choice', 'aria-pressed': String(choice.index === found.target.index), onclick: () => press(choice.index) }, short(choice.name) || String(choice.index)),
        h('span', { class: 'num' }, percent(choice.probability)),
        choice.index !== found.target.index && h('button', { class: 'link small', 'aria-pressed': String(choice.index === found.versus?.index), onclick: () => against(choice.index) }, found.versus?.index === choice.index ? 'against it' : 'set against')))),
    state.query.class ? h('p', { class: 'small' }, h('button', { class: 'link', onclick: () => turn({ class: null, against: null }) }, 'Back to the first choice')) : null);
  }

  /** @param {State} state @param {LayerFacts} layer @param {Explained} found */
  #speakers(state, layer, found) {
    const rows = [...found.attribution.for.slice(0, 4), ...found.attribution.against.slice(0, 3)];
    const most = Math.max(...rows.map((row) => Math.abs(row.attribution)), 1e-9);
    return section(`Units that speak for “${short(found.target.name)}”, and against`, h('ul', { class: 'links narrow' }, ...rows.map((row) =>
      h('li', { class: 'speaker' }, chip(state, layer.name, row.unit), swing(row.attribution / most), h('span', { class: 'num' }, signed(row.attribution))))));
  }
}

/** @param {State} state @param {LayerFacts} layer @param {ImageFacts} found */
function facts(state, layer, found) {
  const size = found.width && found.height ? `${found.width} × ${found.height} px` : 'size not known';
  const label = found.label ? h('a', { href: href({ ...state, place: 'units', what: layer.name, query: { label: found.label } }) }, found.label) : 'no label';
  return [h('h1', { class: 'title' }, found.key), h('p', { class: 'lead' }, label, ` · ${size} · image ${found.image_id}`),
    found.reason && h('p', { class: 'note' }, `This image was not used: ${found.reason}.`)];
}

/** @param {number} id */
function photo(id) {
  const image = h('img', { src: picture('photo', { id }), alt: `image ${id}`, class: 'photo-itself', onerror: () => image.replaceWith(h('p', { class: 'note' }, 'The image itself is not here.')) });
  return image;
}

/** The icons of the positions, each as large as its activation is long. @param {Explained} found @param {Grid} grid @param {(y: number, x: number) => void} show */
function mosaic(found, grid, show) {
  const { rows, cols, cells, side } = found.grid;
  const wide = Math.floor(420 / cols);
  const box = h('div', { class: 'mosaic-in', 'aria-hidden': 'true' });
  box.style.gridTemplateColumns = `repeat(${cols}, ${wide}px)`;
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < cols; x++) {
      const cell = /** @type {[number, number][][]} */ (cells)[y][x];
      const i = grid.at(cell[0], cell[1]);
      const place = h('span', { class: 'mosaic-place', onpointerenter: () => show(y, x) });
      place.style.width = place.style.height = `${wide}px`;
      if (i >= 0) place.append(icon(grid, i, Math.max(4, Math.round((wide - 1) * side[y][x])), ''));
      box.append(place);
    }
  }
  return box;
}

/** @param {Explained} found @param {Positions} positions @param {number[][]} before @param {Promise<Grid | null>} grid */
function groups(found, positions, before, grid) {
  const { maps, share, attribution, explained, cells } = found.groups;
  const pooled = maps.map((map) => scaled(blocks(map, found.grid.top, found.grid.left)));
  const show = (/** @type {number[][]} */ values) => { positions.values = values; positions.draw(); };
  return section('Positions that belong together', h('ul', { class: 'groups' }, ...maps.map((_, k) => {
    const swatch = h('span', { class: 'swatch' });
    grid.then((known) => {
      const i = known && cells ? known.at(cells[k][0], cells[k][1]) : -1;
      if (known && i >= 0) swatch.append(icon(known, i, 40, ''));
    });
    return h('li', {}, h('button', { class: 'group', onpointerenter: () => show(pooled[k]), onpointerleave: () => show(before), onfocus: () => show(pooled[k]), onblur: () => show(before),
      'aria-label': `group ${k + 1}: ${percent(share[k])} of the activation, adds ${signed(attribution[k])} to the class` },
    swatch, h('span', {}, percent(share[k])), h('span', { class: 'num quiet' }, signed(attribution[k]))));
  })), h('p', { class: 'quiet small' }, `Point at a group to see where it is. Together they hold ${percent(explained)} of the activation.`));
}

/** The mean of a map over each block. @param {number[][]} map @param {number[]} top @param {number[]} left */
function blocks(map, top, left) {
  return top.slice(0, -1).map((start, y) => left.slice(0, -1).map((edge, x) => {
    const part = map.slice(start, top[y + 1]).flatMap((row) => row.slice(edge, left[x + 1]));
    return part.reduce((sum, value) => sum + value, 0) / Math.max(1, part.length);
  }));
}

/** @param {number[][]} values */
function scaled(values) {
  const most = Math.max(...values.flat().map(Math.abs), 1e-12);
  return values.map((row) => row.map((value) => value / most));
}

/** @param {number[][]} values */
function strongest(values) {
  let best = [0, 0];
  values.forEach((row, y) => row.forEach((value, x) => { if (value > values[best[0]][best[1]]) best = [y, x]; }));
  return best;
}

const short = (/** @type {string} */ name) => name.split(',')[0];
