// Groups of positions that the activation is factored into, each with its hue, icon and share.

import { h } from '../../ui/dom.js';
import { percent, signed } from '../../ui/format.js';
import { section } from '../../ui/components.js';
import { icon } from '../../map/sprites.js';
import { hue } from './overlays.js';

/**
 * @param {Explained} explained
 * @param {number[][][]} pooled  the map of each group over the positions
 * @param {(k: number) => void} show  −1: none
 * @param {Promise<import('../../map/grid.js').Grid | null>} grid
 */
export function groups(explained, pooled, show, grid) {
  const { share, attribution, explained: total, cells } = explained.groups;
  return section(
    'Positions that belong together',
    h(
      'ul',
      { class: 'groups' },
      ...pooled.map((_, k) => {
        const swatch = h('span', { class: 'group-icon' });
        const key = h('span', { class: 'group-hue', 'aria-hidden': 'true' });
        key.style.background = hue(k);
        grid.then((loaded) => {
          const i = loaded && cells ? loaded.at(cells[k][0], cells[k][1]) : -1;
          if (loaded && i >= 0) swatch.append(icon(loaded, i, 40, ''));
        });
        return h(
          'li',
          {},
          h(
            'button',
            {
              class: 'group',
              onpointerenter: () => show(k),
              onpointerleave: () => show(-1),
              onfocus: () => show(k),
              onblur: () => show(-1),
            },
            swatch,
            key,
            unseen(`group ${k + 1}: `),
            h('span', {}, percent(share[k])),
            unseen(' of the activation, adds '),
            h('span', { class: 'num quiet' }, signed(attribution[k])),
            unseen(' to the class'),
          ),
        );
      }),
    ),
    h(
      'p',
      { class: 'quiet small' },
      `Hover a group to see where it is. Together they hold ${percent(total)} of the activation; the lower number is what a group adds to the class.`,
    ),
  );
}

/** Words for screen readers. @param {string} words */
const unseen = (words) => h('span', { class: 'unseen' }, words);

/** Return the mean of a map over each block. @param {number[][]} map @param {number[]} top @param {number[]} left */
export function blocks(map, top, left) {
  return top.slice(0, -1).map((start, y) =>
    left.slice(0, -1).map((edge, x) => {
      const part = map.slice(start, top[y + 1]).flatMap((row) => row.slice(edge, left[x + 1]));
      return part.reduce((sum, value) => sum + value, 0) / Math.max(1, part.length);
    }),
  );
}

/** Scale values to a maximum of 1. @param {number[][]} values */
export function scaled(values) {
  const most = Math.max(...values.flat().map(Math.abs), 1e-12);
  return values.map((row) => row.map((value) => value / most));
}
