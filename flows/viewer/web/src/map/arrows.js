// Motion of samples, drawn as one arrow per cell. Arrows within the noise of another seed are grey and dashed, so that the
// colour is not needed to read them.

import { h, s } from '../ui/dom.js';
import { line } from '../ui/figure/keys.js';

const HEAD = 7;
const SHORTEST = 3;
const DASH = [4, 3];

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{ left: number, top: number, side: number }} frame
 * @param {Arrows} arrows
 * @param {Record<string, string>} colours
 */
export function drawArrows(context, frame, arrows, colours) {
  const most = Math.max(...arrows.samples, 1);
  const order = arrows.start.map((_, i) => i).sort((a, b) => arrows.beyond[a] - arrows.beyond[b]);
  for (const i of order) {
    const [x, y, toX, toY] = [...arrows.start[i], ...arrows.end[i]].map(
      (part, k) => (k % 2 ? frame.top : frame.left) + part * frame.side,
    );
    const far = Math.hypot(toX - x, toY - y);
    if (far < SHORTEST) continue;
    const width = 1 + 1.5 * Math.sqrt(arrows.samples[i] / most);
    arrow(context, x, y, toX, toY, far, width + 2, colours.paper);
    const [tone, dash] = arrows.beyond[i] ? [colours.accent, []] : [colours.quiet, DASH];
    arrow(context, x, y, toX, toY, far, width, tone, dash);
  }
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} toX @param {number} toY @param {number} far @param {number} width @param {string} tone @param {number[]} [dash] */
function arrow(context, x, y, toX, toY, far, width, tone, dash = []) {
  const head = Math.min(HEAD, far * 0.5);
  const [alongX, alongY] = [(toX - x) / far, (toY - y) / far];
  const [neckX, neckY] = [toX - alongX * head, toY - alongY * head];
  context.strokeStyle = tone;
  context.lineWidth = width;
  context.lineCap = dash.length ? 'butt' : 'round';
  context.setLineDash(dash);
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(toX, toY);
  context.stroke();
  context.lineCap = 'round';
  context.setLineDash([]);
  context.beginPath();
  context.moveTo(neckX - alongY * head * 0.5, neckY + alongX * head * 0.5);
  context.lineTo(toX, toY);
  context.lineTo(neckX + alongY * head * 0.5, neckY - alongX * head * 0.5);
  context.stroke();
}

/** The entries of a figure's legend. @returns {import('../ui/figure/types.js').Key[]} */
export const arrowLines = () => [
  line('motion of samples, beyond what another seed does', '--accent'),
  line('motion within that, or not measured', '--quiet', DASH),
];

/** A legend of the arrows. @param {boolean} measured whether the noise of another seed was measured */
export function arrowKeys(measured) {
  if (!measured) {
    const title = 'how far another seed alone moves samples: the comparison says how it is measured';
    return [key('', 'motion, its noise not measured', title)];
  }
  return [
    key('', 'motion beyond the noise'),
    key('within', 'within the noise', 'another seed alone moves samples as far'),
  ];
}

/** @param {string} kind @param {string} words @param {string} [title] */
const key = (kind, words, title) =>
  h(
    'span',
    { class: 'key', title },
    s(
      'svg',
      { class: `key-arrow ${kind}`, viewBox: '0 0 22 10', width: 22, height: 10, 'aria-hidden': 'true' },
      s('path', { class: 'key-shaft', d: 'M1 5H20' }),
      s('path', { d: 'M16 1.500 20.500 5 16 8.500' }),
    ),
    words,
  );
