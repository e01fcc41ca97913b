// An address that leads nowhere.

import { href } from '../state/address.js';
import { fill, h } from '../ui/dom.js';
import { title } from '../ui/announce.js';

export class Lost {
  /** @param {{ root: HTMLElement }} place */
  constructor({ root }) {
    this.root = root;
  }

  /** @param {import('../state/address.js').State} state */
  update(state) {
    title('not there');
    const run = href({ ...state, place: 'atlas', what: '', query: {} });
    fill(
      this.root,
      h(
        'div',
        { class: 'page' },
        h('h1', { class: 'title' }, 'There is nothing here'),
        h('p', {}, 'This address names a layer, a unit, an image or a place that is not in this run.'),
        h(
          'p',
          {},
          state.name
            ? h('a', { href: run }, `The atlas of ${state.name}`)
            : h('a', { href: href({ ...state, place: 'home' }) }, 'All runs'),
        ),
      ),
    );
  }
}
