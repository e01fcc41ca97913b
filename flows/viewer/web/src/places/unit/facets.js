// Facets: other pictures that excite a unit as much, drawn when they are asked for.

import { live, study } from '../../data/client.js';
import { fill, h } from '../../ui/dom.js';
import { many, number } from '../../ui/format.js';
import { say } from '../../ui/announce.js';
import { command, failed } from '../../ui/components.js';

/** How long the last drawing of a layer took, in seconds. @type {Map<string, number>} */
const took = new Map();

/** @typedef {{ found: Facets, addresses: string[] }} Drawn */

/** What was drawn, by run and unit. @type {Map<string, Drawn>} */
const drawn = new Map();

/** @param {Unit} unit @param {About} about @param {AbortSignal} leaving the page is left */
export function facets(unit, about, leaving) {
  const target = `${unit.layer}:${unit.unit}`;
  const box = h('div', { class: 'facets' });
  if (!live() || !about.uploads) {
    fill(
      box,
      h(
        'details',
        { class: 'small' },
        h('summary', {}, 'Other pictures that excite it'),
        h(
          'p',
          { class: 'quiet' },
          live()
            ? 'This viewer was started with --no-uploads: it does not ask the model.'
            : 'Exported files have no model to draw them with:',
        ),
        command(`actlas show ${target} --facets 4 --run ${about.name}@${about.version}`),
      ),
    );
    return box;
  }
  const known = drawn.get(`${about.tag} ${target}`);
  if (known) fill(box, ...pictures(known));
  else offer(box, unit, about, leaving);
  return box;
}

/** @param {HTMLElement} box @param {Unit} unit @param {About} about @param {AbortSignal} leaving */
function offer(box, unit, about, leaving) {
  const usual = took.get(unit.layer);
  fill(
    box,
    h('button', { class: 'button', onclick: () => draw(box, unit, about, leaving) }, 'Draw four facets'),
    h(
      'p',
      { class: 'quiet small' },
      `Pictures of the same unit that differ. ${usual ? `About ${many(Math.ceil(usual), 'second')}.` : 'Some seconds to a minute.'}`,
    ),
  );
}

/** @param {HTMLElement} box @param {Unit} unit @param {About} about @param {AbortSignal} leaving */
async function draw(box, unit, about, leaving) {
  const stop = new AbortController();
  const told = h('p', { class: 'quiet small' }, 'Drawing …');
  const started = performance.now();
  const clock = setInterval(() => {
    told.textContent = soFar((performance.now() - started) / 1000, took.get(unit.layer));
  }, 1000);
  const button = h('button', { class: 'button', onclick: () => stop.abort() }, 'Stop');
  fill(box, button, told);
  button.focus();
  say('Drawing four facets.');
  try {
    const found = /** @type {Facets} */ (
      await study('facets', { layer: unit.layer, unit: unit.unit }, AbortSignal.any([stop.signal, leaving]))
    );
    took.set(unit.layer, found.seconds);
    const made = { found, addresses: found.facets.map((facet) => address(facet.picture)) };
    drawn.set(`${about.tag} ${unit.layer}:${unit.unit}`, made);
    fill(box, ...pictures(made));
    say('Four facets are drawn.');
  } catch (error) {
    if (stop.signal.aborted) offer(box, unit, about, leaving);
    else if (!leaving.aborted)
      fill(
        box,
        failed(error, () => draw(box, unit, about, leaving)),
      );
  } finally {
    clearInterval(clock);
  }
}

/** @param {number} seconds @param {number | undefined} usual */
const soFar = (seconds, usual) =>
  `Drawing: ${Math.round(seconds)} ${usual ? `of about ${Math.ceil(usual)} s` : 's so far'}.`;

/** @param {string} picture in base64 */
const address = (picture) =>
  URL.createObjectURL(
    new Blob([Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0))], { type: 'image/webp' }),
  );

/** @param {Drawn} made */
function pictures({ found, addresses }) {
  return [
    h(
      'div',
      { class: 'facet-pictures' },
      ...found.facets.map(({ ratio }, i) => {
        const words = `facet ${i + 1}${ratio === null ? '' : `, ${number(ratio)} × the strongest patch`}`;
        return h('img', { src: addresses[i], alt: `${words}, of unit ${found.unit} of ${found.layer}`, title: words });
      }),
    ),
    h(
      'p',
      { class: 'quiet small' },
      `Facets: pictures that excite it and differ${strength(found)}. Recipe ${found.recipe}, ${found.steps} steps, ${found.side} px.`,
    ),
  ];
}

/** @param {Facets} found */
function strength(found) {
  const ratios = found.facets.map((facet) => facet.ratio).filter((ratio) => ratio !== null);
  if (!ratios.length) return '';
  const [low, high] = [number(Math.min(...ratios)), number(Math.max(...ratios))];
  return low === high
    ? `; they reach ${low} × its strongest patch`
    : `; they reach ${low} to ${high} × its strongest patch`;
}
