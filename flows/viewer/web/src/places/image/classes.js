// A field for any class of the model, by its name: what matches stands below, and the arrow keys choose among it.

import { ask } from '../../data.js';
import { fill, h } from '../../dom.js';
import { say } from '../../live.js';
import { likest } from '../../search.js';

const MOST = 8;

export class ClassField {
  /** @param {string} id @param {string} words what the class is for @param {(index: number) => void} take */
  constructor(id, words, take) {
    this.id = id;
    this.take = take;
    this.input = h('input', {
      id, type: 'text', class: 'field', role: 'combobox', 'aria-expanded': 'false', 'aria-controls': `${id}-found`, 'aria-autocomplete': 'list', autocomplete: 'off', spellcheck: 'false', maxlength: 200, 'data-keep': id,
      oninput: () => { this.entered = false; this.#look(); }, onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event), onblur: () => this.#shut(),
    });
    this.list = h('ul', { id: `${id}-found`, class: 'found', role: 'listbox', 'aria-label': `${words}: classes found`, hidden: true });
    this.element = h('div', { class: 'class-field' }, h('label', { class: 'quiet small', for: id }, words), this.input, this.list);
    /** @type {{ name: string, i: number }[]} */
    this.rows = [];
    this.at = -1;
    this.told = '';
    this.entered = false;
  }

  async #look() {
    const text = this.input.value.trim();
    if (!text) return this.#shut();
    const { names } = /** @type {{ names: string[] }} */ (await ask('classes').catch(() => ({ names: [] })));
    if (this.input.value.trim() !== text || document.activeElement !== this.input) return;
    this.rows = likest(names, text).slice(0, MOST);
    this.told = text;
    this.at = this.rows.length ? 0 : -1;
    fill(this.list, ...this.rows.map(({ name }, i) => h('li', { id: `${this.id}-${i}`, role: 'option', onpointerdown: (/** @type {Event} */ event) => { event.preventDefault(); this.#choose(i); } }, h('span', {}, name))),
      !this.rows.length && h('li', { class: 'quiet', role: 'option', 'aria-selected': 'false', 'aria-disabled': 'true' }, 'No class is called that.'));
    this.list.hidden = false;
    this.input.setAttribute('aria-expanded', 'true');
    this.#mark();
    say(this.rows.length ? `${this.rows.length} found` : 'nothing found');
    if (this.entered && this.rows.length) this.#choose(0);
  }

  #mark() {
    if (this.at < 0) return this.input.removeAttribute('aria-activedescendant');
    [...this.list.children].forEach((row, i) => row.setAttribute('aria-selected', String(i === this.at)));
    this.input.setAttribute('aria-activedescendant', `${this.id}-${this.at}`);
    this.list.children[this.at].scrollIntoView({ block: 'nearest' });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === 'Escape' && (this.input.value || !this.list.hidden)) {
      this.input.value = '';
      this.#shut();
    } else if (step && this.rows.length) {
      this.at = (this.at + step + this.rows.length) % this.rows.length;
      this.#mark();
    } else if (event.key === 'Enter' && this.input.value.trim() !== this.told) this.entered = true;
    else if (event.key === 'Enter' && this.at >= 0) this.#choose(this.at);
    else return;
    event.preventDefault();
  }

  /** @param {number} row */
  #choose(row) {
    const { i } = this.rows[row];
    this.input.value = '';
    this.#shut();
    this.take(i);
  }

  #shut() {
    this.list.hidden = true;
    this.rows = [];
    this.at = -1;
    this.told = '';
    this.entered = false;
    this.input.setAttribute('aria-expanded', 'false');
    this.input.removeAttribute('aria-activedescendant');
  }
}
