// The class filter: which cells keep their colour, and how far the others fade.

import { atlasOfThese } from '../../ui/components.js';
import { h } from '../../ui/dom.js';
import { hatched } from '../../ui/hatch.js';
import { number } from '../../ui/format.js';
import { setQuery } from '../../state/navigate.js';

/** The default fading of cells without attribution to the class, in per cent. */
const INTENSITY = 80;

/** The sign of the attribution that keeps its colour. @type {[string, string][]} */
const WAYS = [
  ['', 'For it'],
  ['against', 'Against it'],
  ['both', 'Both'],
];

const HELP = 'How far cells without attribution to the class fade: at 0 they keep their colour, at 100 they disappear';

/** @param {import('../../state/address.js').State} state @returns {'against' | 'both' | undefined} */
export const wayOf = (state) =>
  WAYS.some(([way]) => way && way === state.query.side) ? /** @type {'both'} */ (state.query.side) : undefined;

/** From 0 to 1. @param {import('../../state/address.js').State} state */
export function intensityOf(state) {
  const percent = Number(state.query.intensity || INTENSITY);
  return (Number.isFinite(percent) ? Math.min(100, Math.max(0, percent)) : INTENSITY) / 100;
}

/** The least and the largest mean attribution of any cell to a class. @typedef {{ low: number, high: number }} Range */

/** Say where no cell has the sign that keeps its colour, which would otherwise only leave a pale map. @param {string} name @param {Range} range @param {import('../../map/scene.js').Scene['way']} way */
function absence(name, { low, high }, way) {
  const [pro, contra] = [high > 0, low < 0];
  if (!pro && !contra) return `Nothing here speaks for or against ${name}.`;
  if (way !== 'against' && way !== 'both' && !pro) return `Nothing here speaks for ${name}.`;
  return way === 'against' && !contra ? `Nothing here speaks against ${name}.` : '';
}

/** Explain the colours: the attribution at full colour, and at the densest hatching. @param {Range} range */
function scale({ low, high }) {
  const most = Math.max(-low, high);
  if (!(most > 0)) return null;
  const words = 'Mean attribution of a cell’s samples, in units of the class’s score';
  return h(
    'span',
    { class: 'scale', title: words },
    low < 0 && [hatched(), h('span', { class: 'num' }, number(-most))],
    h('span', { class: 'num' }, '0'),
    h('span', { class: 'scale-ramp', 'aria-hidden': 'true' }),
    h('span', { class: 'num' }, `${number(most)} = full colour`),
    h('span', { class: 'quiet' }, `cells have ${number(low)} to ${number(high)}`),
  );
}

/**
 * @param {string} name of the class
 * @param {import('../../map/scene.js').Scene} scene
 * @param {Range} range
 * @param {string} of the command of an atlas of what speaks for it
 * @param {(intensity: number) => void} changed
 */
export function filterLine(name, scene, range, of, changed) {
  const ways = WAYS.map(([way, words]) =>
    h(
      'button',
      {
        class: 'link way',
        'data-way': way,
        'aria-pressed': String((scene.way ?? '') === way),
        onclick: () => setQuery({ side: way || null }),
      },
      words,
    ),
  );
  const value = h('output', { class: 'num', for: 'intensity' }, `${Math.round(scene.intensity * 100)} %`);
  const slider = h('input', {
    type: 'range',
    id: 'intensity',
    min: 0,
    max: 100,
    step: 5,
    value: Math.round(scene.intensity * 100),
    title: HELP,
    oninput: () => {
      value.textContent = `${slider.value} %`;
      setQuery({ intensity: Number(slider.value) === INTENSITY ? null : slider.value }, { replace: true, quiet: true });
      changed(Number(slider.value) / 100);
    },
  });
  return [
    h(
      'p',
      { class: 'small' },
      h('span', {}, `Evidence for ${name}: full colour = for, hatched = against. `),
      h('b', {}, absence(name, range, scene.way)),
    ),
    h(
      'div',
      { class: 'filter small' },
      scale(range),
      h('div', { class: 'ways', role: 'group', 'aria-label': 'Cells that keep their colour' }, ...ways),
      h(
        'label',
        { class: 'slider', for: 'intensity', title: HELP },
        h('span', { class: 'quiet' }, 'Intensity'),
        slider,
        value,
      ),
      h(
        'button',
        { class: 'link', onclick: () => setQuery({ class: null, side: null, intensity: null }) },
        'Show all classes',
      ),
      atlasOfThese(of),
    ),
  ];
}
