// A unit as a figure: the picture optimised to excite it, beside the patches of the side on show.

import { ask, picture } from '../../data/client.js';
import { here, unitOf } from '../../state/address.js';
import { number } from '../../ui/format.js';
import { fileName, from, loaded, raster } from '../../ui/figure/figure.js';
import { words } from '../../ui/figure/keys.js';
import { colour } from '../../ui/theme.js';
import { summary } from './card.js';

/** @typedef {CanvasRenderingContext2D} Context */

const MADE = 240;
const SHOT = 116;
const GAP = 8;
const LINE = 32;
const COLUMNS = 6;
const SHOTS = 12;
const TEXT = '"Inter Variable", Inter, system-ui, sans-serif';

/** @type {Record<string, string>} */
const SIDES = { positive: 'Its strongest patches', negative: 'Its most negative patches' };

/** @param {About} about @returns {Promise<import('../../ui/figure/types.js').Figure>} */
export async function unitFigure(about) {
  const state = here();
  const { layer, unit } = unitOf(state.what);
  const [facts, card] = await Promise.all([ask('unit', { layer, unit }), ask('card', { layer, unit })]);
  const side = /** @type {'positive' | 'negative'} */ (state.query.side === 'negative' ? 'negative' : 'positive');
  const patches = patchesOf(facts[side]);
  const load = (/** @type {Patch} */ { rank }) => loaded(picture('patch', { layer, unit, sign: side, rank }));
  const [made, ...shots] = await Promise.all([
    facts.gallery ? loaded(picture('synthetic', { layer, unit })) : null,
    ...patches.map(load),
  ]);
  const left = made ? MADE + 2 * GAP : 0;
  const rows = Math.ceil(patches.length / COLUMNS);
  const height = Math.max(made ? MADE + LINE : 0, rows * (SHOT + LINE + GAP));
  const draw = (/** @type {Context} */ context) => {
    if (made) drawShot(context, made, 0, 0, MADE, [`synthetic: reaches ${number(facts.gallery?.best)}`]);
    shots.forEach((shot, k) => {
      const [x, y] = [left + (k % COLUMNS) * (SHOT + GAP), Math.floor(k / COLUMNS) * (SHOT + LINE + GAP)];
      drawShot(context, shot, x, y, SHOT, [number(patches[k].value), patches[k].label ?? '']);
    });
  };
  const optimised = 'On the left, a picture optimised to excite the unit, one of many that would. ';
  return {
    name: fileName(about.name, about.version, layer, unit, side === 'positive' ? '' : side),
    title: `Unit ${unit} of ${layer}`,
    lead: `${summary(facts, card)} ${from(about)}.`,
    width: left + COLUMNS * (SHOT + GAP) - GAP,
    height,
    draw,
    legend: [
      [
        words(
          `${made ? optimised : ''}${SIDES[side]} of all images${made ? ', on the right' : ''}, with its value and the label of the image.`,
        ),
      ],
    ],
    of: [about],
    state,
  };
}

/** The patches to show: near-duplicates only once. @param {Side} side */
const patchesOf = (side) =>
  side.patches
    .slice(0, Math.max(side.pictures, 0))
    .filter((patch) => patch.same_as === null)
    .slice(0, SHOTS);

/** Draw a picture, not stretched, with lines of text below it. @param {Context} context @param {HTMLImageElement | null} image @param {number} x @param {number} y @param {number} side @param {string[]} lines */
function drawShot(context, image, x, y, side, lines) {
  raster(context, [x, y, side, side], (inner) => {
    inner.fillStyle = colour('--shape');
    inner.fillRect(0, 0, side, side);
    if (!image) return;
    const scale = side / Math.max(image.naturalWidth, image.naturalHeight);
    const [wide, tall] = [image.naturalWidth * scale, image.naturalHeight * scale];
    inner.drawImage(image, (side - wide) / 2, (side - tall) / 2, wide, tall);
  });
  context.font = `400 11px ${TEXT}`;
  context.textAlign = 'left';
  context.textBaseline = 'alphabetic';
  lines.forEach((text, k) => {
    context.fillStyle = colour(k ? '--quiet' : '--ink');
    context.fillText(cut(context, text, side), x, y + side + 13 + 14 * k);
  });
}

/** @param {Context} context @param {string} text @param {number} room */
function cut(context, text, room) {
  let shown = text.slice(0, 60);
  while (shown.length > 1 && context.measureText(shown).width > room)
    shown = `${shown.replace(/…$/, '').slice(0, -1)}…`;
  return shown;
}
