// Positions that belong together: the groups that the activation is factored into, each with its hue, icon and share.

import { h } from '../../ui/dom.js';
import { percent, signed } from '../../ui/format.js';
import { section } from '../../ui/components.js';
import { icon } from '../../map/sprites.js';
import { hue } from './overlays.js';

/**
 * @param {Explained} found
 * @param {number[][][]} pooled  each group's map over the positions
 * @param {(k: number) => void} show  −1: none
 * @param {Promise<import('../../map/grid.js').Grid | null>} grid
 */
export function groups(found, pooled, show, grid) {
  const { share, attribution, explained, cells } = found.groups;
  return section(
    'Positions that belong together',
    h(
      'ul',
      { class: 'groups' },
      ...pooled.map((_, k) => {
        const swatch = h('span', { class: 'swatch' });
        const key = h('span', { class: 'group-hue', 'aria-hidden': 'true' });
        key.style.background = hue(k);
        grid.then((known) => {
          const i = known && cells ? known.at(cells[k][0], cells[k][1]) : -1;
          if (known && i >= 0) swatch.append(icon(known, i, 40, ''));
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
              'aria-label': `group ${k + 1}: ${percent(share[k])} of the activation, adds ${signed(attribution[k])} to the class`,
            },
            swatch,
            key,
            h('span', {}, percent(share[k])),
            h('span', { class: 'num quiet' }, signed(attribution[k])),
          ),
        );
      }),
    ),
    h(
      'p',
      { class: 'quiet small' },
      `Point at a group to see where it is. Together they hold ${percent(explained)} of the activation; the lower number is what a group adds to the class.`,
    ),
  );
}

/** The mean of a map over each block. @param {number[][]} map @param {number[]} top @param {number[]} left */
export function blocks(map, top, left) {
  return top.slice(0, -1).map((start, y) =>
    left.slice(0, -1).map((edge, x) => {
      const part = map.slice(start, top[y + 1]).flatMap((row) => row.slice(edge, left[x + 1]));
      return part.reduce((sum, value) => sum + value, 0) / Math.max(1, part.length);
    }),
  );
}

/** @param {number[][]} values */
export function scaled(values) {
  const most = Math.max(...values.flat().map(Math.abs), 1e-12);
  return values.map((row) => row.map((value) => value / most));
}
