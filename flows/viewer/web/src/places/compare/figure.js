// A comparison as a figure: both maps beside each other, with the changes of cells and the motion of samples.

import { here } from '../../state/address.js';
import { arrowLines } from '../../map/arrows.js';
import { mapPicture } from '../../map/figure.js';
import { count } from '../../ui/format.js';
import { fileName, from } from '../../ui/figure/figure.js';
import { framed, words } from '../../ui/figure/keys.js';
import { colour } from '../../ui/theme.js';
import { lead, measured } from './summary.js';

/** @typedef {CanvasRenderingContext2D} Context */

const GAP = 24;
const HEAD = 26;
const FONT = '550 14px "Inter Variable", Inter, system-ui, sans-serif';

/** @param {[import('./side.js').Side, import('./side.js').Side]} sides @param {Moved} moved @returns {Promise<import('../../ui/figure/types.js').Figure | null>} */
export async function compareFigure(sides, moved) {
  if (sides.some(({ scene }) => !scene.grid)) return null;
  const pictures = await Promise.all(
    sides.map(({ scene, map, stage, overlay }) => {
      scene.frame = map.frame();
      return mapPicture(scene, stage.getBoundingClientRect(), overlay.colours);
    }),
  );
  const [before, after] = pictures;
  const [a, b] = sides.map(({ about }) => about);
  const draw = (/** @type {Context} */ context) => {
    pictures.forEach((picture, k) => {
      context.save();
      context.translate(k * (before.width + GAP), 0);
      context.font = FONT;
      context.textAlign = 'left';
      context.textBaseline = 'alphabetic';
      context.fillStyle = colour('--ink');
      context.fillText(`${k ? 'After' : 'Before'}: ${sides[k].about.name}@${sides[k].about.version}`, 0, 14);
      context.translate(0, HEAD);
      picture.draw(context);
      context.restore();
    });
  };
  return {
    name: fileName(`${a.name}@${a.version}`, `${b.name}@${b.version}`, moved.layer),
    title: `${moved.layer}: what moved from ${a.name}@${a.version} to ${b.name}@${b.version}`,
    lead: `${lead(moved)} ${from(a)}; ${from(b)}.`,
    width: before.width + GAP + after.width,
    height: HEAD + Math.max(before.height, after.height),
    draw,
    legend: legendOf(sides, moved),
    of: [a, b],
    state: here(),
  };
}

/** @param {[import('./side.js').Side, import('./side.js').Side]} sides @param {Moved} moved @returns {import('../../ui/figure/types.js').Key[][]} */
function legendOf(sides, moved) {
  const cells = moved.cells.find(({ grid }) => grid === sides[0].scene.grid?.size);
  const maybe = measured(moved) ? '' : 'maybe ';
  const changes = cells && [
    framed(`≠ ${count(cells.changed)} cells ${maybe}changed`, '--against'),
    framed(`− ${count(cells.emptied)} ${maybe}emptied`, '--ink', true),
    framed(`+ ${count(cells.appeared)} ${maybe}appeared`, '--for'),
    words(`${count(cells.kept)} kept`),
  ];
  const arrows = sides.some(({ scene }) => scene.arrows) ? arrowLines() : [];
  return [changes ?? [], arrows].filter((line) => line.length);
}
