// The panel with details: beside the map, or on narrow screens a sheet from the bottom.

import { fill, h, SIGNS, sign } from './dom.js';

export class Panel {
  constructor() {
    this.heading = h('h2', { class: 'panel-title', tabindex: -1 });
    this.body = h('div', { class: 'panel-body' });
    const close = h(
      'button',
      { class: 'icon-button', title: 'Close (Esc)', 'aria-label': 'Close', onclick: () => this.leave() },
      sign(SIGNS.close),
    );
    this.element = h(
      'aside',
      { class: 'panel', hidden: true, 'aria-label': 'details' },
      h('header', { class: 'panel-head' }, this.heading, close),
      this.body,
    );
    /** @type {() => void} */
    this.leave = () => this.close();
  }

  /** Open the panel; if the focus is inside, it moves to the new heading. @param {string} heading @param {() => void} leave called to close it @param {'low' | ''} [kind] low: as a sheet it leaves the map visible */
  open(heading, leave, kind = '') {
    const inside = this.body.contains(document.activeElement);
    this.heading.textContent = heading;
    this.leave = leave;
    this.element.dataset.kind = kind;
    this.element.hidden = false;
    this.element.scrollTop = 0;
    document.body.classList.add('with-panel');
    if (inside) this.heading.focus();
    return this.body;
  }

  isOpen() {
    return !this.element.hidden;
  }

  close() {
    if (this.element.hidden) return;
    const inside = this.element.contains(document.activeElement);
    this.element.hidden = true;
    fill(this.body);
    document.body.classList.remove('with-panel');
    if (inside) /** @type {HTMLElement | null} */ (document.querySelector('.stage, main'))?.focus();
  }
}
