// The class filter: which cells keep their colour, and how much of it the others lose.

import { h } from '../../ui/dom.js';
import { turn } from '../../state/navigate.js';

/** How much of its colour a cell loses that says nothing for the class, in per cent, where the address does not say. */
const USUAL = 80;

/** Which cells keep their colour under a class. @type {[string, string][]} */
const WAYS = [
  ['', 'For it'],
  ['against', 'Against it'],
  ['both', 'Both'],
];

const HELP =
  'How much of its colour a cell loses that says nothing for the class: at 0 all keep it, at 100 they are gone';

/** @param {import('../../state/address.js').State} state @returns {'against' | 'both' | undefined} */
export const wayOf = (state) =>
  WAYS.some(([way]) => way && way === state.query.side) ? /** @type {'both'} */ (state.query.side) : undefined;

/** From 0 to 1. @param {import('../../state/address.js').State} state */
export function intensityOf(state) {
  const asked = Number(state.query.intensity || USUAL);
  return (Number.isFinite(asked) ? Math.min(100, Math.max(0, asked)) : USUAL) / 100;
}

/**
 * @param {string} name the class's
 * @param {import('../../map/overlay.js').Scene} scene
 * @param {(intensity: number) => void} faded
 */
export function filterLine(name, scene, faded) {
  const ways = WAYS.map(([way, words]) =>
    h(
      'button',
      {
        class: 'link way',
        'data-way': way,
        'aria-pressed': String((scene.way ?? '') === way),
        onclick: () => turn({ side: way || null }),
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
      turn({ intensity: Number(slider.value) === USUAL ? null : slider.value }, { replace: true, quiet: true });
      faded(Number(slider.value) / 100);
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
        { class: 'link', onclick: () => turn({ class: null, side: null, intensity: null }) },
        'Show all classes',
      ),
    ),
  ];
}
