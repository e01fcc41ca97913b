// The line below the map that explains what is asked for: its scale in words, which cells keep their colour, how far others fade.

import { atlasOfThese } from '../../ui/components.js';
import { classAtlas, labelAtlas } from '../../data/commands.js';
import { h } from '../../ui/dom.js';
import { hatched } from '../../ui/hatch.js';
import { number, percent } from '../../ui/format.js';
import { withTerms } from '../../ui/term.js';
import { NOTHING } from '../../state/question.js';
import { setQuery } from '../../state/navigate.js';
import { peakLine } from './peaks.js';

/** @typedef {import('./answer.js').Answer} Answer */

/** The default fading of cells that have nothing of what is asked for, in per cent. */
const INTENSITY = 80;

/** The sign of the attribution that keeps its colour. @type {[string, string][]} */
const WAYS = [
  ['', 'For it'],
  ['against', 'Against it'],
  ['both', 'Both'],
];

const HELP = 'How far cells that have nothing of it fade: at 0 they keep their colour, at 100 they disappear';

/** @param {import('../../state/address.js').State} state @returns {'against' | 'both' | undefined} */
export const wayOf = (state) =>
  WAYS.some(([way]) => way && way === state.query.side) ? /** @type {'both'} */ (state.query.side) : undefined;

/** From 0 to 1. @param {import('../../state/address.js').State} state */
export function intensityOf(state) {
  const percent = Number(state.query.intensity || INTENSITY);
  return (Number.isFinite(percent) ? Math.min(100, Math.max(0, percent)) : INTENSITY) / 100;
}

/** A number of the scale. @param {Answer} answer @param {number} value */
const scaleNumber = ({ kind }, value) => (kind === 'label' ? percent(value) : number(value));

/** The value at full colour. @param {Answer} answer */
export const most = ({ low, high }) => Math.max(-low, high);

/** Say where no cell has what keeps its colour, which would otherwise only leave a pale map. @param {Answer} answer @param {import('../../map/scene.js').Scene['way']} way */
export function absence({ kind, parts: [one, other], low, high }, way) {
  const [pro, contra] = [high > 0, low < 0];
  const chance = kind === 'label' ? ': no cell has more of it than chance explains' : '';
  if (other) {
    if (!pro && !contra) return `Nothing here speaks for ${one.name} or ${other.name}${chance}.`;
    if (pro && contra) return '';
    const [less, more] = pro ? [other, one] : [one, other];
    return `Nothing here speaks more for ${less.name} than for ${more.name}.`;
  }
  if (kind === 'label') return pro ? '' : `Nothing here speaks for ${one.name}${chance}.`;
  if (!pro && !contra) return `Nothing here speaks for or against ${one.name}.`;
  if (way !== 'against' && way !== 'both' && !pro) return `Nothing here speaks for ${one.name}.`;
  return way === 'against' && !contra ? `Nothing here speaks against ${one.name}.` : '';
}

/** Say in a sentence which classes are the strongest of no sample, though cells have their colour. @param {Answer} answer */
export function leaning({ parts }) {
  const [one, other] = parts.filter((part) => part.leaning);
  if (!one) return '';
  const names = other ? `${one.name} or ${other.name}` : one.name;
  return `No sample has ${names} as its strongest class: cells only lean towards ${other ? 'them' : 'it'}.`;
}

/** What the colours of a class mean, by the sign that keeps its colour: hatching is drawn where that is not `for` alone. */
const COLOURS = {
  for: 'full colour = for, pale = little or against',
  against: 'full colour and hatched = against, pale = little or for',
  both: 'full colour = for, hatched = against',
};

/** Explain the colours in words. @param {Answer} answer @param {import('../../map/scene.js').Scene['way']} way */
export function sentence({ kind, parts: [one, other] }, way) {
  const chance = 'cells that chance explains are blank';
  if (kind === 'label') {
    if (!other) return `Samples labelled ${one.name}, as a share of each cell: full colour = most; ${chance}.`;
    return `Samples labelled ${one.name} against ${other.name}, by their shares of each cell: solid frame = ${one.name}, dashed = ${other.name}; ${chance}.`;
  }
  if (!other) return `Evidence for ${one.name}: ${COLOURS[way ?? 'for']}.`;
  return `Evidence for ${one.name} against ${other.name}: solid frame = more for ${one.name}, dashed = more for ${other.name}.`;
}

/** What the numbers of the scale are. @param {Answer} answer */
const unitOf = ({ kind, parts }) =>
  kind === 'label'
    ? `Share of a cell’s samples${parts[1] ? ', of the first label less that of the second' : ''}`
    : `Mean attribution of a cell’s samples, in units of the class’s score${parts[1] ? ', to the first class less that to the second' : ''}`;

/** The ends of the scale from the left, as text, '' for one that is not drawn: what full colour means as a number. @param {Answer} answer @param {import('../../map/scene.js').Scene['way']} way */
export function ends(answer, way) {
  const full = scaleNumber(answer, most(answer));
  const [one, other] = answer.parts;
  if (other) return [`${one.name} ${full}`, `${other.name} ${full} = full colour`];
  const hatched = answer.low < 0 && (way === 'against' || way === 'both');
  return [
    hatched ? `${scaleNumber(answer, -most(answer))}${way === 'against' ? ' = full colour' : ''}` : '',
    way === 'against' ? '' : `${full} = full colour`,
  ];
}

/** Explain the colours by a scale. @param {Answer} answer @param {import('../../map/scene.js').Scene['way']} way */
function scale(answer, way) {
  if (!(most(answer) > 0)) return null;
  const [low, high] = ends(answer, way);
  const pair = answer.parts.length > 1;
  const swatch = (/** @type {string} */ more) => h('span', { class: `swatch ${more}`, 'aria-hidden': 'true' });
  const end = (/** @type {Node | null} */ sign, /** @type {string} */ words) =>
    h('span', { class: 'num scale-end' }, sign, words);
  return h(
    'span',
    { class: 'scale', title: unitOf(answer) },
    low && end(pair ? swatch('') : hatched(), low),
    pair && h('span', { class: 'scale-ramp first', 'aria-hidden': 'true' }),
    end(null, '0'),
    high && h('span', { class: pair ? 'scale-ramp second' : 'scale-ramp', 'aria-hidden': 'true' }),
    high && end(swatch(pair ? 'second' : ''), high),
  );
}

/** The choice of the sign that keeps its colour. @param {import('../../map/scene.js').Scene} scene */
function ways(scene) {
  const buttons = WAYS.map(([way, words]) => {
    const pressed = String((scene.way ?? '') === way);
    const onclick = () => setQuery({ side: way });
    return h('button', { class: 'link way', 'data-way': way, 'aria-pressed': pressed, onclick }, words);
  });
  return h('div', { class: 'ways', role: 'group', 'aria-label': 'Cells that keep their colour' }, ...buttons);
}

/** @param {import('../../map/scene.js').Scene} scene @param {(intensity: number) => void} changed */
function slider(scene, changed) {
  const value = h('output', { class: 'num', for: 'intensity' }, `${Math.round(scene.intensity * 100)} %`);
  const slide = () => {
    value.textContent = `${input.value} %`;
    const intensity = Number(input.value) === INTENSITY ? null : input.value;
    setQuery({ intensity }, { replace: true, quiet: true });
    changed(Number(input.value) / 100);
  };
  const range = { type: 'range', min: 0, max: 100, step: 5, value: Math.round(scene.intensity * 100) };
  const input = h('input', { ...range, id: 'intensity', title: HELP, oninput: slide });
  const name = h('span', { class: 'quiet' }, 'Intensity');
  return h('label', { class: 'slider', for: 'intensity', title: HELP }, name, input, value);
}

/** Return the command of an atlas of what is asked for. @param {About} about @param {Answer} answer */
function atlasOf(about, { kind, parts }) {
  const [first, ...others] = parts.map(({ of }) => of);
  return kind === 'class' ? classAtlas(about, first, others[0]) : labelAtlas(about, first, ...others);
}

/** @param {Answer} answer @param {import('../../map/scene.js').Scene} scene @param {About} about @param {(intensity: number) => void} changed @param {(i: number) => void} ring a cell on the map, −1 for none */
export function filterLine(answer, scene, about, changed, ring) {
  const all = answer.kind === 'class' ? 'Show all classes' : 'Show all labels';
  const alone = answer.kind === 'class' && answer.parts.length === 1;
  return [
    h(
      'p',
      { class: 'small' },
      h('span', {}, ...withTerms(`${sentence(answer, scene.way)} `)),
      h('b', {}, absence(answer, scene.way)),
      ` ${leaning(answer)}`,
    ),
    h(
      'div',
      { class: 'filter small' },
      scale(answer, scene.way),
      peakLine(answer, scene, ring),
      alone && ways(scene),
      slider(scene, changed),
      h('button', { class: 'link', onclick: () => setQuery(NOTHING) }, all),
      atlasOfThese(atlasOf(about, answer)),
    ),
  ];
}
