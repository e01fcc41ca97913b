// What an address shows that leads nowhere.

import { href } from '../state/address.js';
import { title } from '../ui/announce.js';
import { fill, h } from '../ui/dom.js';

export class NotFound {
  /** @param {{ root: HTMLElement }} parts */
  constructor({ root }) {
    this.root = root;
  }

  /** @param {import('../state/address.js').State} state */
  update(state) {
    title('not there');
    const atlas = href({ ...state, place: 'atlas', what: '', query: {} });
    const way = state.name
      ? h('a', { href: atlas }, `The atlas of ${state.name}`)
      : h('a', { href: href({ ...state, place: 'home' }) }, 'All runs');
    const reason = 'This address names a layer, a unit, an image or a place that is not in this run.';
    const heading = h('h1', { class: 'title' }, 'There is nothing here');
    fill(this.root, h('div', { class: 'page' }, heading, h('p', {}, reason), h('p', {}, way)));
  }
}
