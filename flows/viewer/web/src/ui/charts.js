// Small charts.

import { h, s } from './dom.js';
import { count, number } from './format.js';

const WIDTH = 300;
const HEIGHT = 96;

/** Draw a histogram of a unit's values, on a square-root scale that keeps rare strong values visible. @param {NonNullable<Card['samples']>} samples */
export function histogram(samples) {
  const { edges, counts } = samples.histogram;
  const range = `${count(samples.count)} values from ${number(samples.least)} to ${number(samples.largest)}`;
  const words = `${range}, half of them under ${number(samples.quantiles['0.5'])}`;
  return plot(counts, edges[0], edges[edges.length - 1], words);
}

/** @param {number[]} counts @param {number} low @param {number} high @param {string} words */
export function plot(counts, low, high, words) {
  const most = Math.sqrt(Math.max(...counts, 1));
  const wide = WIDTH / counts.length;
  const bars = counts.map((n, i) => {
    const tall = (Math.sqrt(n) / most) * HEIGHT;
    return s('rect', {
      x: (i * wide).toFixed(2),
      y: (HEIGHT - tall).toFixed(2),
      width: Math.max(0.5, wide - 1).toFixed(2),
      height: tall.toFixed(2),
    });
  });
  const zero = low < 0 && high > 0 ? ((0 - low) / (high - low)) * WIDTH : null;
  return h(
    'figure',
    { class: 'plot' },
    s(
      'svg',
      { viewBox: `0 0 ${WIDTH} ${HEIGHT + 1}`, role: 'img', 'aria-label': words, preserveAspectRatio: 'none' },
      ...bars,
      s('line', { class: 'axis', x1: 0, x2: WIDTH, y1: HEIGHT + 0.5, y2: HEIGHT + 0.5 }),
      zero !== null && s('line', { class: 'zero', x1: zero, x2: zero, y1: 0, y2: HEIGHT }),
    ),
    h(
      'figcaption',
      { class: 'num small quiet' },
      h('span', {}, number(low)),
      h('span', {}, 'counts, √ scale'),
      h('span', {}, number(high)),
    ),
  );
}

/** Draw a bar from the middle: to the right for positive values, to the left for negative ones. @param {number} value from −1 to 1 */
export function swing(value) {
  const inside = h('span', { class: `swing-in ${value < 0 ? 'against' : 'for'}` });
  inside.style.width = `${Math.min(1, Math.abs(value)) * 50}%`;
  inside.style[value < 0 ? 'right' : 'left'] = '50%';
  return h('span', { class: 'swing', 'aria-hidden': 'true' }, inside);
}
