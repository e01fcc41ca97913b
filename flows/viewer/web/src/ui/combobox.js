// A text field with a list of matches. Arrow keys move, Enter chooses, even if pressed before the matches arrive.

import { say } from './announce.js';
import { fill, h } from './dom.js';

/** @typedef {{ words: string, kind?: string, act: () => void }} Option */

export class Combobox {
  /**
   * @param {object} settings
   * @param {string} settings.id of the list
   * @param {string} settings.label of the list
   * @param {string} settings.none text shown without a match
   * @param {Record<string, any>} settings.field attributes of the field
   * @param {(text: string) => Promise<Option[]> | null} settings.find null where there is nothing to search
   * @param {() => void} [settings.chosen] called after a choice
   */
  constructor({ id, label, none, field, find, chosen }) {
    /** Whether there is something to find for an empty field. */
    this.suggests = false;
    /** Whether the field was focused just now, by the click that is still to come. */
    this.fresh = false;
    this.none = none;
    this.find = find;
    this.chosen = chosen;
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
        this.search();
      },
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
      onblur: () => this.close(),
      onfocus: () => this.#begin(),
      onclick: () => this.#select(),
    });
    this.list = h('ul', { id, class: 'found', role: 'listbox', 'aria-label': label, hidden: true });
    /** @type {Option[]} */
    this.options = [];
    this.at = -1;
    /** The text that the options match. */
    this.text = '';
    /** Whether Enter was pressed before the options matched the text in the field. */
    this.entered = false;
  }

  hasFocus() {
    return document.activeElement === this.input;
  }

  /** Select a text that was left in the field, so that typing replaces it. */
  #begin() {
    this.fresh = true;
    this.input.select();
    this.search();
  }

  /** Select it again once: a click sets the cursor after the focus. */
  #select() {
    if (this.fresh && this.input.selectionStart === this.input.selectionEnd) this.input.select();
    this.fresh = false;
  }

  async search() {
    const text = this.input.value.trim();
    const request = text || this.suggests ? this.find(text) : null;
    if (!request) return this.close();
    const options = await request;
    if (this.input.value.trim() !== text || !this.hasFocus()) return;
    if (!text && !options.length) return this.close();
    this.options = options;
    this.text = text;
    this.at = options.length && text ? 0 : -1;
    fill(this.list, ...(options.length ? options.map((option, i) => this.#row(option, i)) : [this.#empty()]));
    this.list.hidden = false;
    this.input.setAttribute('aria-expanded', 'true');
    this.#mark();
    say(options.length ? `${options.length} found` : 'nothing found');
    if (this.entered && options.length) this.#choose(0);
  }

  /** @param {Option} option @param {number} i */
  #row({ words, kind }, i) {
    const press = (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#choose(i);
    };
    return h(
      'li',
      { id: `${this.list.id}-${i}`, role: 'option', 'aria-selected': 'false', onpointerdown: press },
      h('span', {}, words),
      kind && h('span', { class: 'quiet small' }, kind),
    );
  }

  #empty() {
    return h('li', { class: 'quiet', role: 'option', 'aria-selected': 'false', 'aria-disabled': 'true' }, this.none);
  }

  /** Mark the current option. */
  #mark() {
    if (this.at < 0) return this.input.removeAttribute('aria-activedescendant');
    [...this.list.children].forEach((row, i) => row.setAttribute('aria-selected', String(i === this.at)));
    this.input.setAttribute('aria-activedescendant', `${this.list.id}-${this.at}`);
    this.list.children[this.at].scrollIntoView({ block: 'nearest' });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    this.fresh = false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.options.length) {
      const from = this.at < 0 && step < 0 ? 0 : this.at;
      this.at = (from + step + this.options.length) % this.options.length;
      this.#mark();
    } else if (event.key === 'Enter' && this.input.value.trim() !== this.text) this.entered = true;
    else if (event.key === 'Enter' && this.at >= 0) this.#choose(this.at);
    else return;
    event.preventDefault();
  }

  /** @param {number} i */
  #choose(i) {
    const { act } = this.options[i];
    this.input.value = '';
    this.close();
    act();
    this.chosen?.();
  }

  close() {
    this.list.hidden = true;
    this.options = [];
    this.at = -1;
    this.text = '';
    this.entered = false;
    this.input.setAttribute('aria-expanded', 'false');
    this.input.removeAttribute('aria-activedescendant');
  }
}
