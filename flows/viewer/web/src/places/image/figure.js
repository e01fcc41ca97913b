// An image taken apart as a figure: the photo with its overlay, beside the icons of its positions.

import { here } from '../../state/address.js';
import { fileName, from, raster } from '../../ui/figure/figure.js';
import { filled, hatchedKey, words } from '../../ui/figure/keys.js';
import { percent } from '../../ui/format.js';
import { short } from './overlay.js';

/** @typedef {CanvasRenderingContext2D} Context */

const TALL = 420;
const GAP = 24;
const ICONS =
  'On the right, the icon of the most similar cell of the atlas at each position; larger = stronger activation.';

/**
 * @param {About} about
 * @param {import('./explanation.js').Explanation} explanation
 * @param {string} name of the image
 * @returns {import('../../ui/figure/types.js').Figure}
 */
export function imageFigure(about, { layer, explained, overlay, positions, element }, name) {
  const { image, canvas } = positions;
  const [width, height] = fitted(image.naturalWidth, image.naturalHeight);
  const icons = /** @type {HTMLElement | null} */ (element.querySelector('.mosaic-in'));
  const box = icons?.getBoundingClientRect();
  const scale = box ? TALL / Math.max(box.width, box.height) : 0;
  const size = box ? [box.width * scale, box.height * scale] : [0, 0];
  const draw = (/** @type {Context} */ context) => {
    raster(context, [0, 0, width, height], (inner) => {
      inner.drawImage(image, 0, 0, width, height);
      inner.drawImage(canvas, 0, 0, width, height);
    });
    if (!icons || !box) return;
    raster(context, [width + GAP, 0, size[0], size[1]], (inner) => {
      for (const one of icons.querySelectorAll('canvas')) {
        const at = one.getBoundingClientRect();
        const [x, y] = [(at.left - box.left) * scale, (at.top - box.top) * scale];
        inner.drawImage(one, x, y, at.width * scale, at.height * scale);
      }
    });
  };
  const { target, versus } = explained;
  const question = versus ? `${short(target.name)} rather than ${short(versus.name)}` : short(target.name);
  const choices = explained.choices
    .slice(0, 3)
    .map(
      ({ name: choice, probability }) => `${short(choice)}${probability === null ? '' : ` ${percent(probability)}`}`,
    );
  const caption = overlay.caption.firstChild?.textContent?.trim() ?? '';
  const signed = overlay.caption.querySelector('.signs');
  return {
    name: fileName(about.name, about.version, layer.name, name.split('/').at(-1), short(target.name)),
    title: `${name}: ${question}`,
    lead: `First choices: ${choices.join(', ')}. ${layer.name} of ${from(about)}.`,
    width: Math.ceil(width + (box ? GAP + size[0] : 0)),
    height: Math.ceil(Math.max(height, size[1])),
    draw,
    legend: [
      [words(caption), ...(signed ? [filled('for', '--for'), hatchedKey('against', '--against')] : [])],
      ...(box ? [[words(ICONS)]] : []),
    ],
    of: [about],
    state: here(),
  };
}

/** @param {number} wide @param {number} tall @returns {[number, number]} */
function fitted(wide, tall) {
  const scale = Math.min(TALL / tall, (1.6 * TALL) / wide);
  return [Math.round(wide * scale), Math.round(tall * scale)];
}
