// The class filter: which cells keep their colour, and how far the others fade.

import { h } from '../../ui/dom.js';
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

/**
 * @param {string} name of the class
 * @param {import('../../map/scene.js').Scene} scene
 * @param {(intensity: number) => void} changed
 */
export function filterLine(name, scene, changed) {
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
    h('p', { class: 'small' }, `How much each cell speaks for ${name}: full colour for it, hatched against it. `),
    h(
      'div',
      { class: 'filter small' },
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
    ),
  ];
}
