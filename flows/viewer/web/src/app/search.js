// The one field of the page for everything that has a name: classes, units, labels and images.

import { Combobox } from '../ui/combobox.js';
import { h, SIGNS, sign } from '../ui/dom.js';
import { matches } from './find.js';

/** @typedef {import('../state/address.js').State} State */

export class Search {
  /** @param {string} id of the list of matches @param {string} placeholder */
  constructor(id = 'found', placeholder = 'Class, unit, label, file') {
    this.box = new Combobox({
      id,
      label: 'found',
      none: 'No match.',
      field: {
        'aria-label': 'Search: a class, a unit, a label, a file',
        placeholder,
        onfocus: () => this.box.search(),
      },
      find: (text) => (this.run && this.state ? matches(text, this.run, this.state) : null),
      chosen: () => this.leave(),
    });
    this.element = h(
      'div',
      { class: 'search' },
      sign(SIGNS.search),
      this.box.input,
      h('kbd', { class: 'search-key', 'aria-hidden': 'true' }, '/'),
      this.box.list,
    );
    /** @type {About | null} */
    this.run = null;
    /** @type {State | null} */
    this.state = null;
  }

  /** @param {About | null} about @param {State} state */
  update(about, state) {
    this.run = about;
    this.state = state;
  }

  focus() {
    this.box.input.focus();
    this.box.input.select();
  }

  /** Stand in the place of a button until the focus leaves. @param {HTMLElement} button */
  standIn(button) {
    button.after(this.element);
    button.hidden = true;
    this.box.input.value = '';
    this.focus();
    const back = () => {
      button.hidden = false;
      this.element.remove();
    };
    this.box.input.addEventListener('blur', back, { once: true });
  }

  hasFocus() {
    return this.box.hasFocus();
  }

  leave() {
    this.box.close();
    this.box.input.blur();
    /** @type {HTMLElement | null} */ (document.querySelector('.stage, main'))?.focus();
  }
}
