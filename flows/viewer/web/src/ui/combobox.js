// A field with what it finds below: the arrow keys choose, Enter takes, also where it is pressed before the answer is there.

import { fill, h } from './dom.js';
import { say } from './announce.js';

/** @typedef {{ words: string, kind?: string, act: () => void }} Found */

export class Combobox {
  /**
   * @param {object} how
   * @param {string} how.id of the list
   * @param {string} how.label of the list
   * @param {string} how.none what is said where nothing is found
   * @param {Record<string, any>} how.field attributes of the field
   * @param {(text: string) => Promise<Found[]> | null} how.find null where nothing can be asked
   * @param {() => void} [how.taken] after a row was taken
   */
  constructor({ id, label, none, field, find, taken }) {
    this.none = none;
    this.find = find;
    this.taken = taken;
    this.input = h('input', {
      type: 'search',
      role: 'combobox',
      autocomplete: 'off',
      spellcheck: 'false',
      maxlength: 200,
      'aria-expanded': 'false',
      'aria-controls': id,
      'aria-autocomplete': 'list',
      ...field,
      oninput: () => {
        this.entered = false;
        this.look();
      },
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
      onblur: () => this.shut(),
    });
    this.list = h('ul', { id, class: 'found', role: 'listbox', 'aria-label': label, hidden: true });
    /** @type {Found[]} */
    this.rows = [];
    this.at = -1;
    this.told = ''; // the text that the rows answer
    this.entered = false; // Enter was pressed before they answered the text that stands there
  }

  hasFocus() {
    return document.activeElement === this.input;
  }

  async look() {
    const text = this.input.value.trim();
    const asked = text ? this.find(text) : null;
    if (!asked) return this.shut();
    const found = await asked;
    if (this.input.value.trim() !== text || !this.hasFocus()) return;
    this.rows = found;
    this.told = text;
    this.at = found.length ? 0 : -1;
    fill(
      this.list,
      ...found.map((row, i) =>
        h(
          'li',
          {
            id: `${this.list.id}-${i}`,
            role: 'option',
            'aria-selected': 'false',
            onpointerdown: (/** @type {Event} */ event) => {
              event.preventDefault();
              this.#take(i);
            },
          },
          h('span', {}, row.words),
          row.kind && h('span', { class: 'quiet small' }, row.kind),
        ),
      ),
      !found.length &&
        h('li', { class: 'quiet', role: 'option', 'aria-selected': 'false', 'aria-disabled': 'true' }, this.none),
    );
    this.list.hidden = false;
    this.input.setAttribute('aria-expanded', 'true');
    this.#mark();
    say(found.length ? `${found.length} found` : 'nothing found');
    if (this.entered && found.length) this.#take(0);
  }

  #mark() {
    if (this.at < 0) return this.input.removeAttribute('aria-activedescendant');
    [...this.list.children].forEach((row, i) => row.setAttribute('aria-selected', String(i === this.at)));
    this.input.setAttribute('aria-activedescendant', `${this.list.id}-${this.at}`);
    this.list.children[this.at].scrollIntoView({ block: 'nearest' });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.rows.length) {
      this.at = (this.at + step + this.rows.length) % this.rows.length;
      this.#mark();
    } else if (event.key === 'Enter' && this.input.value.trim() !== this.told) this.entered = true;
    else if (event.key === 'Enter' && this.at >= 0) this.#take(this.at);
    else return;
    event.preventDefault();
  }

  /** @param {number} i */
  #take(i) {
    const { act } = this.rows[i];
    this.input.value = '';
    this.shut();
    act();
    this.taken?.();
  }

  shut() {
    this.list.hidden = true;
    this.rows = [];
    this.at = -1;
    this.told = '';
    this.entered = false;
    this.input.setAttribute('aria-expanded', 'false');
    this.input.removeAttribute('aria-activedescendant');
  }
}
