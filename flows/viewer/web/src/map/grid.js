// One grid of a layer: its cells and the squares of their icons on the unit square.

import { ask } from '../data/client.js';
import { percent, signed } from '../ui/format.js';

/** @typedef {'labels' | 'classes' | 'none'} Kind  which names stand on the cells */

const GAP = 1;
const SMALLEST = 0.25;

export class Grid {
  /** @param {LayerFacts} layer @param {GridFacts} facts @param {CellColumns} columns @param {About} [of] the run, where it is not the open one */
  constructor(layer, facts, columns, of) {
    this.of = of;
    this.layer = layer;
    this.facts = facts;
    /** @type {CellColumns & Partial<CellDetails>} */
    this.columns = { ...columns };
    /** Whether the details are loaded. */
    this.detailed = false;
    /** @type {Promise<void> | undefined} */
    this.details = undefined;
    this.size = facts.grid;
    this.length = columns.row.length;
    this.place = new Int32Array(this.size * this.size).fill(-1);
    columns.row.forEach((row, i) => {
      this.place[row * this.size + columns.col[i]] = i;
    });
    /** From the fullest to the emptiest. */
    this.fullest = Array.from({ length: this.length }, (_, i) => i).sort((a, b) => columns.count[b] - columns.count[a]);
    /** The largest mean attribution of any cell to its strongest class. */
    this.largest = 1;
    this.squares = squares(this.size, facts.icon, columns);
    /** @type {CellLabels | null} */
    this.labels = null;
    /** The names that stand out in each cell, once loaded. @type {CellNames | null} */
    this.names = null;
    /** @type {Promise<void> | undefined} */
    this.naming = undefined;
  }

  /** Load the names that stand out in the cells, once. @returns {Promise<void>} */
  loadNames() {
    const place = { layer: this.layer.name, grid: this.size };
    const set = (/** @type {CellNames} */ names) => void (this.names = names);
    this.naming ??= ask('names', place, this.of).then(set, (error) => {
      this.naming = undefined;
      throw error;
    });
    return this.naming;
  }

  /** Return the names of a kind that stand out in a cell, the largest lift first. @param {number} i @param {Kind} kind */
  standing(i, kind) {
    const found = kind === 'none' ? null : this.names?.[kind];
    const text = (/** @type {string} */ name) => (kind === 'classes' ? name.split(',')[0] : name);
    return (found?.cells[i] ?? []).map(([name, , share]) => ({ name: text(found?.names[name] ?? ''), share }));
  }

  /** Whether the run has the attribution of the cells to the classes. */
  get hasAttribution() {
    return this.facts.has.includes('attribution');
  }

  /** Load what the cells are and how faithful their icons are, once. @returns {Promise<void>} */
  loadDetails() {
    this.details ??= this.#requestDetails().catch((error) => {
      this.details = undefined;
      throw error;
    });
    return this.details;
  }

  async #requestDetails() {
    const place = { layer: this.layer.name, grid: this.size };
    const [details, labels] = await Promise.all([
      ask('details', place, this.of),
      this.hasAttribution ? null : ask('labels', place, this.of),
    ]);
    Object.assign(this.columns, /** @type {CellDetails} */ (details));
    this.labels = labels;
    this.largest = this.columns.classes?.reduce((most, [first]) => Math.max(most, first?.[1] ?? 0), 0) || 1;
    this.detailed = true;
  }

  /** Return the cell at a row and column, −1 for none. @param {number} row @param {number} col */
  at(row, col) {
    return row >= 0 && col >= 0 && row < this.size && col < this.size ? this.place[row * this.size + col] : -1;
  }

  /** Return the cell under a point of the unit square, −1 for none. @param {number} x @param {number} y */
  under(x, y) {
    return this.at(Math.floor(y * this.size), Math.floor(x * this.size));
  }

  /**
   * Return the names that describe a cell best: classes with their mean attribution and the share of samples that have
   * each as their strongest class, or labels with their share. `part` is from 0 to 1.
   * @param {number} i
   * @param {number} [most]
   * @returns {{ name: string, part: number, value: string, other?: string }[]}
   */
  words(i, most = 3) {
    const { classes, names } = this.columns;
    if (classes) {
      return classes[i].slice(0, most).map(([of, mean, share]) => ({
        name: names?.[of] ?? String(of),
        part: Math.max(0, mean) / this.largest,
        value: signed(mean),
        other: percent(share),
      }));
    }
    if (!this.labels) return [];
    const { labels, cells } = this.labels;
    return cells[i]
      .filter(([label]) => labels[label])
      .slice(0, most)
      .map(([label, share]) => ({ name: labels[label], part: share, value: percent(share) }));
  }

  /** Return the box around all cells on the unit square. */
  box() {
    const [top, bottom] = extremes(this.columns.row);
    const [left, right] = extremes(this.columns.col);
    return {
      x: left / this.size,
      y: top / this.size,
      width: (right + 1 - left) / this.size,
      height: (bottom + 1 - top) / this.size,
    };
  }

  /** Return the nearest cell in a direction, −1 for none. @param {number} i @param {number} down @param {number} right */
  step(i, down, right) {
    const row = this.columns.row[i];
    const col = this.columns.col[i];
    let best = -1;
    let nearest = Infinity;
    for (let j = 0; j < this.length; j++) {
      const along = (this.columns.row[j] - row) * down + (this.columns.col[j] - col) * right;
      const across = Math.abs((this.columns.row[j] - row) * right) + Math.abs((this.columns.col[j] - col) * down);
      const far = along + 3 * across;
      if (along > 0 && across <= along * 2 && far < nearest) {
        nearest = far;
        best = j;
      }
    }
    return best;
  }
}

/** Return the parameters of a request for a cell. @param {Grid} grid @param {number} i */
export const cellOf = (grid, i) => ({
  layer: grid.layer.name,
  grid: grid.size,
  row: grid.columns.row[i],
  col: grid.columns.col[i],
});

/** Return the minimum and maximum. `Math.min` takes its values as arguments, and these are too many. @param {(number | null)[]} values @returns {[number, number]} */
export function extremes(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === null) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** Return left, top and side of each icon on the unit square, as in the tiles. @param {number} size @param {number} icon @param {CellColumns} columns */
function squares(size, icon, columns) {
  const cell = (icon || 96) + GAP;
  const average = columns.count.reduce((sum, n) => sum + n, 0) / (size * size);
  const out = new Float64Array(columns.row.length * 3);
  columns.row.forEach((row, i) => {
    const part = Math.min(1, Math.max(SMALLEST, Math.sqrt(columns.count[i] / (average || 1))));
    const side = Math.max(1, Math.round((cell - GAP) * part));
    const inset = Math.floor((cell - side) / 2);
    out[3 * i] = (columns.col[i] * cell + inset) / (cell * size);
    out[3 * i + 1] = (row * cell + inset) / (cell * size);
    out[3 * i + 2] = side / (cell * size);
  });
  return out;
}

/** Load a grid. @param {LayerFacts} layer @param {GridFacts} facts @param {About} [of] @returns {Promise<Grid>} */
export async function load(layer, facts, of) {
  return new Grid(layer, facts, await ask('cells', { layer: layer.name, grid: facts.grid }, of), of);
}

/** The grids of a run, each loaded once; one that failed to load is requested again. */
export class GridCache {
  /** @param {About} [of] the run, where it is not the open one */
  constructor(of) {
    this.of = of;
    /** @type {Map<string, Promise<Grid>>} */
    this.grids = new Map();
  }

  /** @param {LayerFacts} layer @param {GridFacts} facts @returns {Promise<Grid>} */
  load(layer, facts) {
    const key = `${layer.name}/${facts.grid}`;
    const grid = this.grids.get(key) ?? load(layer, facts, this.of);
    this.grids.set(key, grid);
    grid.catch(() => this.grids.delete(key));
    return grid;
  }
}
