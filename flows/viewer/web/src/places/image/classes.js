// A field that finds any class of the model by name.

import { Combobox } from '../../ui/combobox.js';
import { ask } from '../../data/client.js';
import { h } from '../../ui/dom.js';
import { bestMatches } from '../../data/match.js';

const MOST = 8;

export class ClassField {
  /** @param {string} id @param {string} words the label @param {(index: number) => void} choose */
  constructor(id, words, choose) {
    const box = new Combobox({
      id: `${id}-found`,
      label: `${words}: classes found`,
      none: 'No match.',
      field: { id, type: 'text', class: 'field', 'data-keep': id },
      find: async (text) =>
        bestMatches((await ask('classes').catch(() => ({ names: [] }))).names, text)
          .slice(0, MOST)
          .map(({ name, i }) => ({ words: name, act: () => choose(i) })),
    });
    this.input = box.input;
    // Escape first empties the field.
    box.input.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || (!box.input.value && box.list.hidden)) return;
      box.input.value = '';
      box.close();
      event.preventDefault();
    });
    this.element = h(
      'div',
      { class: 'class-field' },
      h('label', { class: 'quiet small', for: id }, words),
      box.input,
      box.list,
    );
  }
}
