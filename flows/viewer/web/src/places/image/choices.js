// The class to explain: one of the model's first choices, or any by name, alone or against another.

import { fill, h } from '../../ui/dom.js';
import { percent } from '../../ui/format.js';
import { setQuery } from '../../state/navigate.js';
import { section } from '../../ui/components.js';
import { searchButton } from '../../ui/name_chip.js';
import { short } from './overlay.js';
import { focusMemory } from './refresh.js';

export class Choices {
  /** @param {boolean} named whether the classes have names to search */
  constructor(named) {
    this.list = h('ul', { class: 'choices' });
    this.back = h('p', { class: 'small' });
    const words = 'Find any class to explain, or to compare with';
    this.element = section(
      'The model’s first choices',
      this.list,
      this.back,
      named && h('p', {}, searchButton('Another class, or one to compare with …', words, 'Type a class')),
    );
  }

  /** @param {import('../../state/address.js').State} state @param {Explained} explained */
  update(state, explained) {
    const first = explained.choices.map(({ index, name, probability }) => ({
      index,
      name,
      share: probability === null ? '' : percent(probability),
    }));
    const others = [explained.target, explained.versus].filter(
      (other) => other && !first.some((choice) => choice.index === other.index),
    );
    const rows = [
      ...first,
      ...others.map((other) => ({ .../** @type {{ index: number, name: string }} */ (other), share: '' })),
    ];
    const refocus = focusMemory(this.element);
    fill(this.list, ...rows.map((row) => choice(row, explained)));
    fill(
      this.back,
      state.query.class
        ? h(
            'button',
            { class: 'link', 'data-keep': 'first', onclick: () => setQuery({ class: null, against: null }) },
            'Back to the first choice',
          )
        : null,
    );
    refocus();
  }
}

/** @param {{ index: number, name: string, share: string }} row @param {Explained} explained */
function choice({ index, name, share }, { target, versus }) {
  const against = versus?.index === index;
  const words = against ? 'compared' : 'compare with';
  return h(
    'li',
    {},
    h(
      'button',
      {
        class: 'link choice',
        'data-keep': `class ${index}`,
        'aria-pressed': String(index === target.index),
        onclick: () => setQuery({ class: String(index), against: null }),
      },
      short(name) || String(index),
    ),
    h('span', { class: 'num' }, share),
    index !== target.index &&
      h(
        'button',
        {
          class: 'link small',
          'data-keep': `against ${index}`,
          'aria-pressed': String(against),
          'aria-label': `${words} ${against ? 'with ' : ''}${short(name) || index}`,
          onclick: () =>
            setQuery(against ? { against: null } : { class: String(target.index), against: String(index) }),
        },
        words,
      ),
  );
}
