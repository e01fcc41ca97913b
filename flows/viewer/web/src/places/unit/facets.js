// Facets: different pictures that excite the same unit, drawn on request.

import { askModel, live } from '../../data/client.js';
import { actlas, versionName } from '../../data/commands.js';
import { decodedPicture } from '../../data/pictures.js';
import { fill, h } from '../../ui/dom.js';
import { many, number } from '../../ui/format.js';
import { say } from '../../ui/announce.js';
import { command, failed } from '../../ui/components.js';

/** How long the last drawing for a layer took, in seconds. @type {Map<string, number>} */
const durations = new Map();

/** @typedef {{ facets: Facets, addresses: string[] }} Drawing */

/** Drawings by run and unit. @type {Map<string, Drawing>} */
const drawings = new Map();

const NO_UPLOADS = 'This viewer was started with --no-uploads: it does not run the model.';
const NO_MODEL = 'Exported files have no model to draw them with:';

/** Show a unit's facets, or offer to draw them. @param {Unit} unit @param {About} about @param {AbortSignal} closing */
export function facets(unit, about, closing) {
  const target = `${unit.layer}:${unit.unit}`;
  const box = h('div', { class: 'facets' });
  if (!live() || !about.uploads) {
    const summary = h('summary', {}, 'Other pictures that excite it');
    const reason = h('p', { class: 'quiet' }, live() ? NO_UPLOADS : NO_MODEL);
    const options = ['--facets', '4', '--run', versionName(about), '--out', `unit-${unit.unit}.png`];
    const remedy = command(actlas(about, 'show', target, ...options));
    fill(box, h('details', { class: 'small' }, summary, reason, remedy));
    return box;
  }
  const earlier = drawings.get(`${about.tag} ${target}`);
  if (earlier) fill(box, ...pictures(earlier));
  else offer(box, unit, about, closing);
  return box;
}

/** @param {HTMLElement} box @param {Unit} unit @param {About} about @param {AbortSignal} closing */
function offer(box, unit, about, closing) {
  const usual = durations.get(unit.layer);
  const duration = usual ? `About ${many(Math.ceil(usual), 'second')}.` : 'This takes some seconds to a minute.';
  const button = h('button', { class: 'button', onclick: () => draw(box, unit, about, closing) }, 'Draw four facets');
  fill(box, button, h('p', { class: 'quiet small' }, `Different pictures of the same unit. ${duration}`));
}

/** @param {HTMLElement} box @param {Unit} unit @param {About} about @param {AbortSignal} closing */
async function draw(box, unit, about, closing) {
  const stop = new AbortController();
  const status = h('p', { class: 'quiet small' }, 'Drawing …');
  const started = performance.now();
  const clock = setInterval(() => {
    status.textContent = progress((performance.now() - started) / 1000, durations.get(unit.layer));
  }, 1000);
  const button = h('button', { class: 'button', onclick: () => stop.abort() }, 'Stop');
  fill(box, button, status);
  button.focus();
  say('Drawing four facets.');
  try {
    const answer = /** @type {Facets} */ (
      await askModel('facets', { layer: unit.layer, unit: unit.unit }, AbortSignal.any([stop.signal, closing]))
    );
    durations.set(unit.layer, answer.seconds);
    const drawing = {
      facets: answer,
      addresses: answer.facets.map((facet) => decodedPicture(facet.picture, 'image/webp')),
    };
    drawings.set(`${about.tag} ${unit.layer}:${unit.unit}`, drawing);
    fill(box, ...pictures(drawing));
    say('The four facets are ready.');
  } catch (error) {
    if (stop.signal.aborted) offer(box, unit, about, closing);
    else if (!closing.aborted) {
      const again = () => draw(box, unit, about, closing);
      fill(box, failed(error, again));
    }
  } finally {
    clearInterval(clock);
  }
}

/** @param {number} seconds @param {number | undefined} usual */
const progress = (seconds, usual) =>
  `Drawing: ${Math.round(seconds)} ${usual ? `of about ${Math.ceil(usual)} s` : 's so far'}.`;

/** @param {Drawing} drawing */
function pictures({ facets: answer, addresses }) {
  return [
    h(
      'div',
      { class: 'facet-pictures' },
      ...answer.facets.map(({ ratio }, i) => {
        const words = `facet ${i + 1}${ratio === null ? '' : `, ${number(ratio)} × the strongest patch`}`;
        return h('img', {
          src: addresses[i],
          alt: `${words}, of unit ${answer.unit} of ${answer.layer}`,
          title: words,
        });
      }),
    ),
    h(
      'p',
      { class: 'quiet small' },
      `Facets: different pictures that excite it${strength(answer)}. Recipe ${answer.recipe}, ${answer.steps} steps, ${answer.side} px.`,
    ),
  ];
}

/** @param {Facets} answer */
function strength(answer) {
  const ratios = answer.facets.map((facet) => facet.ratio).filter((ratio) => ratio !== null);
  if (!ratios.length) return '';
  const [low, high] = [number(Math.min(...ratios)), number(Math.max(...ratios))];
  return low === high
    ? `; they reach ${low} × its strongest patch`
    : `; they reach ${low} to ${high} × its strongest patch`;
}
