// The class that is asked about: one of the model's first choices, or any by its name, alone or against another.

import { fill, h } from '../../ui/dom.js';
import { percent } from '../../ui/format.js';
import { turn } from '../../state/navigate.js';
import { section } from '../../ui/components.js';
import { ClassField } from './classes.js';
import { short } from './overlay.js';
import { holding } from './renew.js';

export class Choices {
  /** @param {boolean} named do the classes have names to choose by? */
  constructor(named) {
    this.list = h('ul', { class: 'choices' });
    this.back = h('p', { class: 'small' });
    /** The class that is asked about, which another may be set against. */
    this.target = -1;
    const fields = named && [
      new ClassField('class-for', 'Another class', (index) => turn({ class: String(index), against: null })),
      new ClassField('class-against', 'Set against it', (index) =>
        turn({ class: String(this.target), against: String(index) }),
      ),
    ];
    this.element = section(
      'The model’s first choices',
      this.list,
      this.back,
      fields && h('div', { class: 'class-fields' }, ...fields.map((field) => field.element)),
    );
  }

  /** @param {import('../../state/address.js').State} state @param {Explained} found */
  update(state, found) {
    this.target = found.target.index;
    const first = found.choices.map(({ index, name, probability }) => ({ index, name, share: percent(probability) }));
    const others = [found.target, found.versus].filter(
      (other) => other && !first.some((choice) => choice.index === other.index),
    );
    const rows = [
      ...first,
      ...others.map((other) => ({ .../** @type {{ index: number, name: string }} */ (other), share: '' })),
    ];
    const hold = holding(this.element);
    fill(this.list, ...rows.map((row) => choice(row, found)));
    fill(
      this.back,
      state.query.class
        ? h(
            'button',
            { class: 'link', 'data-keep': 'first', onclick: () => turn({ class: null, against: null }) },
            'Back to the first choice',
          )
        : null,
    );
    hold();
  }
}

/** @param {{ index: number, name: string, share: string }} row @param {Explained} found */
function choice({ index, name, share }, { target, versus }) {
  const against = versus?.index === index;
  return h(
    'li',
    {},
    h(
      'button',
      {
        class: 'link choice',
        'data-keep': `class ${index}`,
        'aria-pressed': String(index === target.index),
        onclick: () => turn({ class: String(index), against: null }),
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
          'aria-label': against ? `against ${short(name) || index}` : `set against ${short(name) || index}`,
          onclick: () => turn(against ? { against: null } : { class: String(target.index), against: String(index) }),
        },
        against ? 'against it' : 'set against',
      ),
  );
}
