// Motion, as arrows from where samples lay to where they lie: drawn over a map, thinned to an arrow a cell.

const HEAD = 7;
const SHORTEST = 3;

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{ left: number, top: number, side: number }} frame
 * @param {Arrows} arrows
 * @param {Record<string, string>} colours
 */
export function drawArrows(context, frame, arrows, colours) {
  const most = Math.max(...arrows.samples, 1);
  const order = arrows.start.map((_, i) => i).sort((a, b) => arrows.beyond[a] - arrows.beyond[b]);
  context.lineCap = 'round';
  for (const i of order) {
    const [x, y, toX, toY] = [...arrows.start[i], ...arrows.end[i]].map((part, k) => (k % 2 ? frame.top : frame.left) + part * frame.side);
    const far = Math.hypot(toX - x, toY - y);
    if (far < SHORTEST) continue;
    const width = 1 + 1.5 * Math.sqrt(arrows.samples[i] / most);
    arrow(context, x, y, toX, toY, far, width + 2, colours.paper);
    arrow(context, x, y, toX, toY, far, width, arrows.beyond[i] ? colours.accent : colours.quiet);
  }
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} toX @param {number} toY @param {number} far @param {number} width @param {string} tone */
function arrow(context, x, y, toX, toY, far, width, tone) {
  const head = Math.min(HEAD, far * 0.5);
  const [alongX, alongY] = [(toX - x) / far, (toY - y) / far];
  const [neckX, neckY] = [toX - alongX * head, toY - alongY * head];
  context.strokeStyle = tone;
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(toX, toY);
  context.moveTo(neckX - alongY * head * 0.5, neckY + alongX * head * 0.5);
  context.lineTo(toX, toY);
  context.lineTo(neckX + alongY * head * 0.5, neckY - alongX * head * 0.5);
  context.stroke();
}
