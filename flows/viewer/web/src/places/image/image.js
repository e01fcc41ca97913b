// One image, taken apart: what a layer sees at each position, what speaks for a class, and which positions belong together.

import { href } from '../../address.js';
import { ask, live, picture, send } from '../../data.js';
import { fill, h } from '../../dom.js';
import { number, percent, signed } from '../../format.js';
import { layerOf } from '../../frame.js';
import { turn } from '../../go.js';
import { say, title } from '../../live.js';
import { cellHref, chip, coming, section } from '../../parts.js';
import { load } from '../atlas/grid.js';
import { icon } from '../atlas/sprites.js';
import { swing } from '../unit.js';
import { blocks, groups, scaled } from './groups.js';
import { signs } from './hatch.js';
import { againstOf, choice, grouped, heat, icons, SHOWN } from './laid.js';
import { later } from './later.js';
import { mosaic } from './mosaic.js';
import { Positions } from './positions.js';

/** @typedef {import('../../address.js').State} State */
/** @typedef {import('../atlas/grid.js').Grid} Grid */

export class ImagePlace {
  /** @param {{ root: HTMLElement, about: About }} place @param {File} [own] a picture that is none of the run's */
  constructor({ root, about }, own) {
    this.root = root;
    this.about = about;
    this.own = own;
    this.shot = own && URL.createObjectURL(own);
    this.key = '';
    /** @type {Map<string, Promise<any>>} */
    this.asked = new Map();
    this.leaving = new AbortController();
    /** What is being asked of the model: another image, layer or class gives up what is on its way. */
    this.question = '';
  }

  /** @param {State} state */
  async update(state) {
    const id = Number(state.what);
    title(this.own?.name ?? `image ${id}`, `${this.about.name}@${this.about.version}`);
    const layer = /** @type {LayerFacts} */ (this.about.layers.find((known) => known.name === layerOf(state, this.about)));
    const { class: of = '', against = '', show = '', to = '' } = state.query;
    const key = `${id} ${layer.name} ${of} ${against} ${show} ${to}`;
    if (key === this.key) return;
    this.key = key;
    const question = `${id} ${layer.name} ${of} ${against}`;
    if (question !== this.question) this.close();
    this.question = question;
    const page = h('article', { class: 'page wide' });
    const apart = h('div');
    const head = h('div');
    fill(this.root, page);
    fill(page, head, this.#tools(state, layer), apart);
    if (this.own) fill(head, ...ownFacts(state, layer, this.own));
    else await coming(head, () => ask('image', { id }), (/** @type {ImageFacts} */ found) => facts(state, layer, found), [320, 36], [240, 24]);
    if (!live() || !this.about.uploads) {
      fill(apart, this.#photo(id), h('p', { class: 'quiet section' }, live()
        ? 'This viewer was started with --no-uploads: it does not run the model. Start it without, and the image is taken apart here.'
        : `These are exported files without the model. To take the image apart: actlas view ${this.about.name}`));
      return;
    }
    await coming(apart, () => this.#explain(id, layer, state), (found) => this.#draw(state, id, layer, found), [560, 420], [0, 120]);
  }

  close() {
    this.leaving.abort();
    this.leaving = new AbortController();
  }

  /** A picture of one's own is let go. */
  leave() {
    this.close();
    if (this.shot) URL.revokeObjectURL(this.shot);
  }

  /** @param {number} id */
  #photo(id) {
    const words = this.own ? 'the picture of yours' : `image ${id}`;
    const image = h('img', { src: this.shot ?? picture('photo', { id }), alt: words, class: 'photo-itself', onerror: () => image.replaceWith(h('p', { class: 'note' }, 'The image itself is not here.')) });
    return image;
  }

  /** @param {State} state @param {LayerFacts} layer */
  #tools(state, layer) {
    const layers = h('nav', { class: 'steps-layers', 'aria-label': 'layers' }, ...this.about.layers.map((known) =>
      h('a', { href: href({ ...state, query: { ...state.query, layer: known.name, at: '' } }), 'aria-current': known === layer ? 'true' : null }, known.name)));
    const locate = h('a', { class: 'button flat', href: href({ ...state, place: 'atlas', what: layer.name, query: { locate: state.what } }) }, 'Locate on the atlas');
    return h('div', { class: 'page-head image-tools' }, layers, live() && this.about.uploads && !this.own && locate);
  }

  /** @param {number} id @param {LayerFacts} layer @param {State} state @param {Record<string, string>} [more] @returns {Promise<any>} */
  #explain(id, layer, state, more = {}) {
    const words = { ...more, ...(state.query.class ? { of: state.query.class } : {}), ...(state.query.against ? { against: state.query.against } : {}) };
    const key = JSON.stringify([id, layer.name, words]);
    const found = this.asked.get(key) ?? send('explain', { layer: layer.name, ...(this.own ? {} : { id }), ...words }, this.own ?? new Blob([]), this.leaving.signal);
    this.asked.set(key, found);
    found.catch(() => this.asked.delete(key));
    return found;
  }

  /** @param {State} state @param {number} id @param {LayerFacts} layer @param {Explained} found */
  #draw(state, id, layer, found) {
    const image = this.#photo(id);
    const place = h('div', { class: 'image-at' });
    const { rows, cols } = found.grid;
    /** @type {Promise<Grid | null>} */
    const grid = gridOf(layer, found);
    const show = (/** @type {number} */ y, /** @type {number} */ x) => {
      if (y < 0) return;
      turn({ at: `${y},${x}` }, { replace: true, quiet: true });
      grid.then((known) => fill(place, ...this.#position(state, layer, found, known, y, x)));
    };
    const positions = new Positions(image, { rows, cols, seen: found.seen, words: 'The image' }, { hover: show, press: show });
    const pooled = found.groups.maps.map((map) => scaled(blocks(map, found.grid.top, found.grid.left)));
    const caption = h('span', { role: 'status' });
    const base = this.#lay(state, id, layer, found, { positions, pooled, caption, grid });
    const group = (/** @type {number} */ k) => {
      if (k < 0) return base();
      Object.assign(positions, { picture: null, against: null, values: pooled[k] });
      positions.draw();
    };
    const lay = h('div', { class: 'mosaic' });
    grid.then((known) => known && fill(lay, mosaic(found, known, show)));
    const [y, x] = (state.query.at ?? '').split(',').map(Number);
    const start = y >= 0 && y < rows && x >= 0 && x < cols ? [y, x] : strongest(found.grid.norm);
    positions.mark(start[0], start[1]);
    show(start[0], start[1]);
    say(`Taken apart at ${layer.name}.`);
    return [
      h('div', { class: 'image-top' },
        h('figure', { class: 'image-photo' }, positions.element, choice(shownOf(state), positions.mix * 100, (mix) => { positions.mix = mix / 100; positions.draw(); }), h('figcaption', { class: 'quiet small' }, caption)),
        h('figure', { class: 'image-icons' }, lay, h('figcaption', { class: 'quiet small' }, `What ${layer.name} sees: the icon of the likest cell, its size by the activation’s length.`)),
        place),
      h('div', { class: 'columns' }, this.#choices(state, found), this.#speakers(state, layer, found), groups(found, pooled, group, grid)),
      this.#later(state, id, layer, found, grid),
      ...found.notes.map((note) => h('p', { class: 'note' }, `${note}.`)),
    ];
  }

  /**
   * Lay over the photo what the address names; what needs the model comes when it has come.
   * @param {State} state @param {number} id @param {LayerFacts} layer @param {Explained} found
   * @param {{ positions: Positions, pooled: number[][][], caption: HTMLElement, grid: Promise<Grid | null> }} at
   * @returns {() => void} lay it over again
   */
  #lay(state, id, layer, found, { positions, pooled, caption, grid }) {
    const shown = shownOf(state);
    const speaks = scaled(found.attribution.blocks);
    /** @type {HTMLCanvasElement | null} */
    let picture = null;
    /** @type {HTMLCanvasElement | null} */
    let against = null;
    const again = () => {
      Object.assign(positions, { picture, against, veiled: shown !== 'groups' && shown !== 'icons', values: shown === 'speaks' ? speaks : null });
      positions.draw();
    };
    positions.mix = Math.min(100, Math.max(0, Number(state.query.mix ?? 70) || 0)) / 100;
    const mine = (/** @type {HTMLCanvasElement} */ made, /** @type {HTMLCanvasElement | null} */ contrary = null) => { [picture, against] = [made, contrary]; again(); };
    caption.textContent = CAPTIONS[shown] ?? 'Waiting for the model …';
    if (shown === 'speaks') fill(caption, `Coloured by what speaks for “${short(found.target.name)}”${found.versus ? ` rather than “${short(found.versus.name)}”` : ''} at each position. `, signs());
    else if (shown === 'groups') picture = grouped(pooled);
    else if (shown === 'icons') grid.then((known) => known && mine(icons(found, known, again)));
    else {
      this.#explain(id, layer, { ...state, query: { class: state.query.class ?? '' } }, { method: shown }).then((/** @type {Salient} */ salient) => {
        fill(caption, `How much each pixel moves the score of “${short(found.target.name)}”, ${number(salient.score)}, by ${salient.method}. `, salient.signed && signs());
        mine(heat(salient), againstOf(salient));
      }, (error) => { caption.textContent = error.message; });
    }
    again();
    return again;
  }

  /** What the positions move in a later layer: asked for when it is wanted. @param {State} state @param {number} id @param {LayerFacts} layer @param {Explained} found @param {Promise<Grid | null>} grid */
  #later(state, id, layer, found, grid) {
    const deeper = this.about.layers.slice(this.about.layers.indexOf(layer) + 1);
    if (!deeper.length) return null;
    const box = h('div');
    const to = deeper.find((known) => known.name === state.query.to);
    if (to) {
      coming(box, async () => {
        const links = /** @type {Linked} */ (await this.#explain(id, layer, state, { to: to.name }));
        const there = /** @type {Explained} */ (await this.#explain(id, to, state));
        return { links, there, grids: await Promise.all([grid, gridOf(to, there)]) };
      }, ({ links, there, grids }) => later(state, [found, grids[0]], [there, grids[1]], links), [780, 320]);
    }
    return h('div', {}, section('Where it goes', h('p', { class: 'follow' }, 'Follow what is here to a later layer: ', ...deeper.map((known) =>
      h('button', { class: 'link', 'aria-pressed': String(known === to), onclick: () => turn({ to: known === to ? null : known.name }) }, known.name)))), box);
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

/** What is known of a picture that is none of the run's. @param {State} state @param {LayerFacts} layer @param {File} own */
function ownFacts(state, layer, own) {
  return [h('h1', { class: 'title' }, own.name), h('p', { class: 'lead' }, 'A picture of yours: it is looked at, and not kept. ',
    h('a', { href: href({ ...state, what: '', query: { layer: layer.name } }) }, 'All images of the run'))];
}

/** @type {Record<string, string>} */
const CAPTIONS = {
  groups: 'Each position in the colour of the group that holds most of it.',
  icons: 'The icon of the likest cell at each position.',
};

/** @param {State} state */
const shownOf = (state) => (SHOWN.some(([name]) => name === state.query.show) ? state.query.show : 'speaks');

/** The grid whose icons an image is drawn with. @param {LayerFacts} layer @param {Explained} found @returns {Promise<Grid | null>} */
function gridOf(layer, found) {
  const facts = layer.grids.find((known) => known.grid === found.grid.grid);
  return found.grid.cells && facts ? load(layer, facts) : Promise.resolve(null);
}

/** @param {number[][]} values */
function strongest(values) {
  let best = [0, 0];
  values.forEach((row, y) => row.forEach((value, x) => { if (value > values[best[0]][best[1]]) best = [y, x]; }));
  return best;
}

const short = (/** @type {string} */ name) => name.split(',')[0];
