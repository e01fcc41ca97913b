// What is drawn over the tiles of a map: the grid, the marked cells and their values.

/** @typedef {import('./grid.js').Grid} Grid */
/** @typedef {import('./grid.js').Kind} Kind */
/** @typedef {{ x: number, y: number, side: number }} Square */
/**
 * @typedef {object} Scene
 * @property {Grid | null} grid
 * @property {{ left: number, top: number, side: number }} frame  the unit square on the screen
 * @property {number} hover  cell under the pointer, −1 for none
 * @property {number} cursor  cell last reached by keyboard or opened, −1 for none
 * @property {number} open  cell shown in the panel, −1 for none
 * @property {(Float32Array | null)} share  by cell, −1 to 1, how much it has of the class or label asked for; of two, the first less the second
 * @property {boolean} [pair]  whether two are asked for
 * @property {number} intensity  how far cells that have nothing of it fade, 0 to 1
 * @property {(Float32Array | null)} amount  value of the shade by cell, 0 to 1
 * @property {Map<number, number>} lit  cells that contain positions of the located image, with their count
 * @property {Kind} names  which names to write on the cells
 * @property {'for' | 'against' | 'both' | undefined} [way]  sign of the share that keeps its colour
 * @property {Map<number, Mark> | null} [marks]  changes of the cells since another version
 * @property {boolean} [maybe]  whether the changes may be chance: the noise is not measured
 * @property {Arrows | null} [arrows]  motion of the samples since another version
 */

/** @returns {Scene} */
export const emptyScene = () => ({
  grid: null,
  frame: { left: 0, top: 0, side: 1 },
  hover: -1,
  cursor: -1,
  open: -1,
  share: null,
  intensity: 0,
  amount: null,
  lit: new Map(),
  names: 'none',
  marks: null,
  arrows: null,
});

/** Return where a cell's icon is drawn, in pixels. @param {Scene} scene @param {number} i @returns {Square} */
export function square({ grid, frame }, i) {
  const squares = /** @type {Grid} */ (grid).squares;
  return {
    x: frame.left + squares[3 * i] * frame.side,
    y: frame.top + squares[3 * i + 1] * frame.side,
    side: squares[3 * i + 2] * frame.side,
  };
}

/** Return the cells on the screen. @param {Scene} scene @param {number} width @param {number} height */
export function visible(scene, width, height) {
  const grid = /** @type {Grid} */ (scene.grid);
  const cells = [];
  for (let i = 0; i < grid.length; i++) {
    const { x, y, side } = square(scene, i);
    if (x < width && y < height && x + side > 0 && y + side > 0) cells.push(i);
  }
  return cells;
}
