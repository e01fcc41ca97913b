// All runs of the store, the latest first: a map for each layer, and what to try. An export holds one, and goes straight to it.

import { live, peek, runs } from '../../data/client.js';
import { actlas } from '../../data/commands.js';
import { href } from '../../state/address.js';
import { go } from '../../state/navigate.js';
import { title } from '../../ui/announce.js';
import { command, fillAsync } from '../../ui/components.js';
import { fill, h } from '../../ui/dom.js';
import { day, many } from '../../ui/format.js';
import { maps, paint } from './maps.js';
import { ideas } from './ideas.js';

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {Runs['runs'][0]} Row */

const SUBJECT = 'What a vision network has learned to see';

const LEAD =
  'Each map arranges what a layer of the model responds to: pictures that lie close together mean something similar to it. Open one:';

export class Home {
  /** @param {{ root: HTMLElement }} place */
  constructor({ root }) {
    this.root = root;
    this.closing = new AbortController();
    addEventListener('themechange', () => paint(root), { signal: this.closing.signal });
  }

  /** @param {State} state */
  async update(state) {
    title('runs');
    if (!live() && window.ACTLAS)
      return go({ ...state, place: 'atlas', name: window.ACTLAS.name, what: '' }, { replace: true });
    const { runs: rows, store } = await runs();
    if (!rows.length) return fill(this.root, empty(store));
    const latest = [...rows].sort((a, b) => b.published.localeCompare(a.published));
    const items = latest.map((row, i) => run(row, i === 0, this.closing.signal));
    const lead = h('p', { class: 'lead' }, LEAD);
    fill(
      this.root,
      h(
        'div',
        { class: 'page' },
        h('p', { class: 'quiet' }, SUBJECT),
        h('h1', { class: 'title' }, 'Runs'),
        lead,
        h('ul', { class: 'runs' }, ...items),
      ),
    );
  }

  close() {
    this.closing.abort();
  }
}

/** @param {string} store */
function empty(store) {
  return h(
    'div',
    { class: 'page' },
    h('h1', { class: 'title' }, 'No run yet'),
    h('p', {}, 'A run needs a folder of images and a model. Make one of the sample photos, or name your own:'),
    command(actlas({ store }, 'run', '--images', 'sample-photos')),
  );
}

/** Show a run; its maps load once it comes into view. @param {Row} row @param {boolean} first @param {AbortSignal} closing */
function run(row, first, closing) {
  const shown = h('div', { class: first ? 'run-maps first' : 'run-maps' });
  const address = href({ place: 'atlas', name: row.name, version: null, what: '', query: {} });
  const heading = h(
    'h2',
    { class: 'run-head' },
    h(
      'a',
      { href: address },
      h('span', { class: 'run-name' }, row.name),
      h('span', { class: 'quiet' }, `@ ${row.version}`),
    ),
  );
  const words = `${row.model}, ${many(row.images, 'image')}, ${many(row.layers.length, 'layer')}. Published on ${day(row.published)}.`;
  const load = () =>
    fillAsync(
      shown,
      () => peek(row.name, null),
      (about) => [maps(about), first && ideas(about)],
      [0, 240],
    );
  if (first) load();
  else whenSeen(shown, load, closing);
  return h('li', {}, heading, h('p', { class: 'quiet small' }, words), shown);
}

/** @param {HTMLElement} element @param {() => void} act @param {AbortSignal} closing */
function whenSeen(element, act, closing) {
  const watch = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      act();
    },
    { rootMargin: '400px' },
  );
  watch.observe(element);
  closing.addEventListener('abort', () => watch.disconnect());
}
