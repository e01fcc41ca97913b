// A field for any class of the model, by its name.

import { Combobox } from '../../ui/combobox.js';
import { ask } from '../../data/client.js';
import { h } from '../../ui/dom.js';
import { likest } from '../../data/match.js';

const MOST = 8;

export class ClassField {
  /** @param {string} id @param {string} words what the class is for @param {(index: number) => void} take */
  constructor(id, words, take) {
    const box = new Combobox({
      id: `${id}-found`,
      label: `${words}: classes found`,
      none: 'No class is called that.',
      field: { id, type: 'text', class: 'field', 'data-keep': id },
      find: async (text) =>
        likest((await ask('classes').catch(() => ({ names: [] }))).names, text)
          .slice(0, MOST)
          .map(({ name, i }) => ({ words: name, act: () => take(i) })),
    });
    this.input = box.input;
    // Escape empties the field first; from an empty one it does what it does elsewhere.
    box.input.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || (!box.input.value && box.list.hidden)) return;
      box.input.value = '';
      box.shut();
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
