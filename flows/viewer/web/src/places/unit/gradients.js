// What in a patch drives a unit: a picture over it, kept by the run, or drawn by the model once a patch is looked at.

import { live, study } from '../../data/client.js';
import { fill, h } from '../../ui/dom.js';
import { say } from '../../ui/announce.js';
import { failed } from '../../ui/components.js';

/** @typedef {{ layer: string, unit: number, side: 'positive' | 'negative' | 'range' }} Which */

/** Pictures that were drawn, by run, unit and side: each is made an address once. @type {Map<string, { method: string, addresses: Map<number, string> }>} */
const drawn = new Map();

const WHAT = {
  positive: 'what in it drives the unit',
  negative: 'what in it drives the unit down',
  range: 'what in it drives the unit',
};

/**
 * Lay gradients over patches, which are links with their number in `data-patch`, and say how below them.
 * @param {Element} patches
 * @param {Which} which
 * @param {string | null} method by which those that are there already were made
 * @param {About} about
 * @param {AbortSignal} leaving
 */
export function gradients(patches, which, method, about, leaving) {
  const told = h('p', { class: 'quiet small', role: 'status' });
  const wanting = () =>
    [...patches.querySelectorAll('a[data-patch]')].filter((patch) => !patch.querySelector('.gradient'));
  const how = (/** @type {string} */ by) => {
    told.textContent = `Hover or focus a patch: ${WHAT[which.side]} (${by}).`;
  };
  const known = drawn.get(keyOf(which, about));
  if (known) lay(wanting(), known.addresses);
  const can = live() && about.uploads;
  if (known || (method && (!can || !wanting().length))) how(known?.method ?? /** @type {string} */ (method));
  else if (!patches.querySelector('a[data-patch]')) return null;
  else if (!can)
    told.textContent = `To see ${WHAT[which.side]} the model must be asked: ${live() ? 'start the viewer without --no-uploads' : `actlas view ${about.name}`}.`;
  else {
    told.textContent = `Hover or focus a patch, and the model draws ${WHAT[which.side]}.`;
    const ask = async () => {
      patches.removeEventListener('pointerover', begin);
      patches.removeEventListener('focusin', begin);
      told.textContent = 'The model draws the gradients of these patches …';
      try {
        const found = /** @type {DrawnGradients} */ (await study('gradients', which, leaving));
        const made = {
          method: found.method,
          addresses: new Map(found.gradients.map(({ number, picture }) => [number, address(picture)])),
        };
        drawn.set(keyOf(which, about), made);
        lay(wanting(), made.addresses);
        how(made.method);
        say('The gradients are drawn.');
      } catch (error) {
        if (!leaving.aborted) fill(told, failed(error, ask));
      }
    };
    const begin = (/** @type {Event} */ event) => {
      const patch = event.target instanceof Element && event.target.closest('a[data-patch]');
      if (patch && !patch.querySelector('.gradient')) ask();
    };
    patches.addEventListener('pointerover', begin);
    patches.addEventListener('focusin', begin);
  }
  return told;
}

/** @param {Element[]} patches @param {Map<number, string>} addresses */
function lay(patches, addresses) {
  for (const patch of patches) {
    const found = addresses.get(Number(/** @type {HTMLElement} */ (patch).dataset.patch));
    if (found) patch.append(h('img', { class: 'gradient', src: found, alt: '' }));
  }
}

/** @param {Which} which @param {About} about */
const keyOf = ({ layer, unit, side }, about) => `${about.name}@${about.address} ${layer}:${unit} ${side}`;

/** @param {string} picture in base64 */
const address = (picture) =>
  URL.createObjectURL(
    new Blob([Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0))], { type: 'image/png' }),
  );
