// One grid of a layer: its cells, where their icons lie on the unit square, and which cell is where.

import { ask } from '../data/client.js';
import { percent, signed } from '../ui/format.js';

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
    this.known = false;
    /** @type {Promise<void> | undefined} */
    this.telling = undefined;
    this.size = facts.grid;
    this.length = columns.row.length;
    this.place = new Int32Array(this.size * this.size).fill(-1);
    columns.row.forEach((row, i) => {
      this.place[row * this.size + columns.col[i]] = i;
    });
    /** From the fullest to the emptiest. */
    this.fullest = Array.from({ length: this.length }, (_, i) => i).sort((a, b) => columns.count[b] - columns.count[a]);
    /** The largest mean attribution of any cell to its first class. */
    this.loudest = 1;
    this.squares = squares(this.size, facts.icon, columns);
    /** @type {CellLabels | null} */
    this.labels = null;
  }

  /** Does the run know what the cells speak for? */
  get speaks() {
    return this.facts.has.includes('attribution');
  }

  /** Ask how far each cell reaches, how far its icon is to be trusted and what it mostly is: once, when it is wanted. @returns {Promise<void>} */
  tell() {
    this.telling ??= this.#tell().catch((error) => {
      this.telling = undefined;
      throw error;
    });
    return this.telling;
  }

  async #tell() {
    const place = { layer: this.layer.name, grid: this.size };
    const [details, labels] = await Promise.all([
      ask('details', place, this.of),
      this.speaks ? null : ask('labels', place, this.of),
    ]);
    Object.assign(this.columns, /** @type {CellDetails} */ (details));
    this.labels = labels;
    this.loudest = this.columns.classes?.reduce((most, [first]) => Math.max(most, first?.[1] ?? 0), 0) || 1;
    this.known = true;
  }

  /** The number of the cell at a row and column, −1 if there is none. @param {number} row @param {number} col */
  at(row, col) {
    return row >= 0 && col >= 0 && row < this.size && col < this.size ? this.place[row * this.size + col] : -1;
  }

  /** The number of the cell under a point of the unit square. @param {number} x @param {number} y */
  under(x, y) {
    return this.at(Math.floor(y * this.size), Math.floor(x * this.size));
  }

  /**
   * What a cell is mostly: classes where they are known, with their mean attribution and the share of samples of which
   * each is the first; else labels with their share. `part` is from 0 to 1.
   * @param {number} i
   * @param {number} [most]
   * @returns {{ name: string, part: number, value: string, other?: string }[]}
   */
  words(i, most = 3) {
    const { classes, names } = this.columns;
    if (classes) {
      return classes[i].slice(0, most).map(([of, mean, share]) => ({
        name: names?.[of] ?? String(of),
        part: Math.max(0, mean) / this.loudest,
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

  /** The box around all cells on the unit square. */
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

  /** The nearest cell in a direction, by rows or columns and then by distance. @param {number} i @param {number} down @param {number} right */
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

/** How a cell is asked for. @param {Grid} grid @param {number} i */
export const cellOf = (grid, i) => ({
  layer: grid.layer.name,
  grid: grid.size,
  row: grid.columns.row[i],
  col: grid.columns.col[i],
});

/** The least and the largest of many numbers: too many to be arguments. @param {(number | null)[]} values @returns {[number, number]} */
export function extremes(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === null) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** The left, top and side of each icon on the unit square, as the tiles have them. @param {number} size @param {number} icon @param {CellColumns} columns */
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

/** @param {LayerFacts} layer @param {GridFacts} facts @param {About} [of] @returns {Promise<Grid>} */
export async function load(layer, facts, of) {
  return new Grid(layer, facts, await ask('cells', { layer: layer.name, grid: facts.grid }, of), of);
}
