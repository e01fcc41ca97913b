// The one field of the page for everything that has a name: classes, units, labels, images, and words to explain.

import { Combobox } from '../ui/combobox.js';
import { h, SIGNS, sign } from '../ui/dom.js';
import { matches } from './find.js';

/** @typedef {import('../state/address.js').State} State */

const NONE = 'No match. For a unit, type its number, e.g. 36.';
const PLACEHOLDER = 'Class, unit, label, file or word';

export class Search {
  /** @param {string} id of the list of matches */
  constructor(id = 'found') {
    this.box = new Combobox({
      id,
      label: 'found',
      none: NONE,
      field: { 'aria-label': 'Search: a class, a unit, a label, a file, a word', placeholder: PLACEHOLDER },
      find: (text) => (this.run && this.state ? matches(text, this.run, this.state, this.only) : null),
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
    /** The kind of names to find, '' for all. @type {import('./find.js').Only} */
    this.only = '';
  }

  /** @param {About | null} about @param {State} state */
  update(about, state) {
    const moved = this.state?.place !== state.place || this.state?.what !== state.what;
    if (moved && !this.hasFocus()) this.box.input.value = '';
    this.run = about;
    this.state = state;
  }

  focus() {
    this.box.input.focus();
    this.box.input.select();
  }

  /** Stand in the place of a button until the focus leaves, with names to choose from. @param {HTMLElement} button */
  standIn(button) {
    button.after(this.element);
    button.hidden = true;
    this.only = /** @type {import('./find.js').Only} */ (button.dataset.only ?? '');
    this.box.suggests = true;
    this.box.input.value = '';
    this.box.input.placeholder = button.dataset.placeholder ?? PLACEHOLDER;
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
    this.box.input.value = '';
    this.box.close();
    this.box.input.blur();
    /** @type {HTMLElement | null} */ (document.querySelector('.stage, main'))?.focus();
  }
}
