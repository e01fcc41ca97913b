// Gradients over patches: what in them drives a unit. They are stored with the run, or drawn once the user hovers a patch.

import { askModel, live } from '../../data/client.js';
import { decodedPicture } from '../../data/pictures.js';
import { say } from '../../ui/announce.js';
import { command, failed } from '../../ui/components.js';
import { fill, h } from '../../ui/dom.js';
import { computing, timed } from '../../ui/waiting.js';

/** @typedef {{ layer: string, unit: number, side: 'positive' | 'negative' | 'range' }} Side */
/** @typedef {{ method: string, addresses: Map<number, string> }} Drawing */

/** Drawings by run, unit and side. @type {Map<string, Drawing>} */
const drawings = new Map();

const WHAT = {
  positive: 'what in it drives the unit',
  negative: 'what in it drives the unit down',
  range: 'what in it drives the unit',
};

/**
 * Add gradients to patches, and return a line that describes them.
 * @param {Element} patches links with their number in `data-patch`
 * @param {Side} side
 * @param {string | null} method of the stored gradients
 * @param {About} about
 * @param {AbortSignal} closing
 */
export function gradients(patches, side, method, about, closing) {
  const status = h('div', { class: 'quiet small', role: 'status' });
  const what = WHAT[side.side];
  const describe = (/** @type {string} */ by) => {
    status.textContent = `Hover or focus a patch: ${what} (${by}).`;
  };
  const drawing = drawings.get(keyOf(side, about));
  if (drawing) overlay(patches, drawing);
  const hasModel = live() && about.uploads;
  const stored = method && (!hasModel || !without(patches).length) ? method : null;
  if (drawing || stored) describe(drawing?.method ?? /** @type {string} */ (stored));
  else if (!patches.querySelector('a[data-patch]')) return null;
  else if (!hasModel) {
    const words = `The model is needed to show ${what}: start the viewer`;
    if (live()) status.textContent = `${words} without --no-uploads.`;
    else fill(status, `${words}.`, command(about.commands.view));
  } else {
    status.textContent = `Hover or focus a patch, and the model draws ${what}.`;
    drawOnDemand(patches, side, about, closing, status, describe);
  }
  return status;
}

/** @param {Element} patches @param {Side} side @param {About} about @param {AbortSignal} closing @param {HTMLElement} status @param {(method: string) => void} describe */
function drawOnDemand(patches, side, about, closing, status, describe) {
  const draw = async () => {
    patches.removeEventListener('pointerover', begin);
    patches.removeEventListener('focusin', begin);
    status.textContent = computing('gradients');
    try {
      const drawing = await request(side, about, closing);
      overlay(patches, drawing);
      describe(drawing.method);
      say('The gradients are drawn.');
    } catch (error) {
      if (!closing.aborted) fill(status, failed(error, draw));
    }
  };
  const begin = (/** @type {Event} */ event) => {
    const patch = event.target instanceof Element && event.target.closest('a[data-patch]');
    if (patch && !patch.querySelector('.gradient')) draw();
  };
  patches.addEventListener('pointerover', begin);
  patches.addEventListener('focusin', begin);
}

/** @param {Side} side @param {About} about @param {AbortSignal} closing @returns {Promise<Drawing>} */
async function request(side, about, closing) {
  const answer = /** @type {DrawnGradients} */ (await timed('gradients', askModel('gradients', side, closing)));
  const addresses = answer.gradients.map(
    ({ number, picture }) => /** @type {[number, string]} */ ([number, decodedPicture(picture, 'image/png')]),
  );
  const drawing = { method: answer.method, addresses: new Map(addresses) };
  drawings.set(keyOf(side, about), drawing);
  return drawing;
}

/** Return the patches that have no gradient yet. @param {Element} patches @returns {HTMLElement[]} */
const without = (patches) =>
  [.../** @type {NodeListOf<HTMLElement>} */ (patches.querySelectorAll('a[data-patch]'))].filter(
    (patch) => !patch.querySelector('.gradient'),
  );

/** Put gradients over the patches that have none. @param {Element} patches @param {Drawing} drawing */
function overlay(patches, { addresses }) {
  for (const patch of without(patches)) {
    const src = addresses.get(Number(patch.dataset.patch));
    if (src) patch.append(h('img', { class: 'gradient', src, alt: '' }));
  }
}

/** @param {Side} side @param {About} about */
const keyOf = ({ layer, unit, side }, about) => `${about.name}@${about.address} ${layer}:${unit} ${side}`;
