// Keys on the two maps: walking, opening and zooming.

import { say } from '../../ui/announce.js';

/** @typedef {import('./side.js').Side} Side */

/** @type {Record<string, [number, number]>} */
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/**
 * Handle a key on the map that leads.
 * @param {KeyboardEvent} event
 * @param {Side} side
 * @param {(row: number, col: number) => void} hover
 * @param {(row: number, col: number) => void} open
 */
export function handleKey(event, { scene, map }, hover, open) {
  const { grid, cursor } = scene;
  if (!grid || event.ctrlKey || event.metaKey || event.altKey) return;
  const { row, col, count } = grid.columns;
  const step = STEPS[event.key];
  if (step) {
    const next = cursor < 0 ? grid.fullest[0] : grid.step(cursor, ...step);
    if (next < 0) say('There is no cell that way.');
    else {
      scene.cursor = next;
      hover(row[next], col[next]);
      say(`Cell row ${row[next]}, column ${col[next]}: ${count[next]} samples.`);
    }
  } else if (event.key === 'Enter' && cursor >= 0) open(row[cursor], col[cursor]);
  else if (event.key === '+' || event.key === '=') map.zoom(1.6);
  else if (event.key === '-') map.zoom(1 / 1.6);
  else if (event.key === '0') map.home();
  else return;
  event.preventDefault();
}
