// All runs of the store. An export holds one, and goes straight to it.

import { href } from '../state/address.js';
import { live, runs } from '../data/client.js';
import { actlas } from '../data/commands.js';
import { fill, h } from '../ui/dom.js';
import { day, many } from '../ui/format.js';
import { go } from '../state/navigate.js';
import { title } from '../ui/announce.js';
import { command } from '../ui/components.js';

export class Home {
  /** @param {{ root: HTMLElement }} place */
  constructor({ root }) {
    this.root = root;
  }

  /** @param {import('../state/address.js').State} state */
  async update(state) {
    title('runs');
    if (!live() && window.ACTLAS)
      return go({ ...state, place: 'atlas', name: window.ACTLAS.name, what: '' }, { replace: true });
    const { runs: rows, store } = await runs();
    if (!rows.length) {
      fill(
        this.root,
        h(
          'div',
          { class: 'page' },
          h('h1', { class: 'title' }, 'No run yet'),
          h('p', {}, 'A run needs a folder of images and a model. Make one of the sample photos, or name your own:'),
          command(actlas({ store }, 'run', '--images', 'sample-photos')),
        ),
      );
      return;
    }
    fill(
      this.root,
      h(
        'div',
        { class: 'page' },
        h('h1', { class: 'title' }, 'Runs'),
        h(
          'ul',
          { class: 'runs' },
          ...rows.map((run) =>
            h(
              'li',
              {},
              h(
                'a',
                { href: href({ ...state, place: 'atlas', name: run.name, version: null, what: '', query: {} }) },
                h('span', { class: 'run-name' }, run.name),
                h('span', { class: 'quiet' }, `@ ${run.version}`),
              ),
              h(
                'p',
                { class: 'quiet small' },
                `${run.model}, ${many(run.images, 'image')}, ${many(run.layers.length, 'layer')}: ${run.layers.join(', ')}. Published on ${day(run.published)}.`,
              ),
            ),
          ),
        ),
      ),
    );
  }
}
