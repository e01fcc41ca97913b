// Changes of cells: a frame and a sign, so that the colour is not needed to read them; dotted while they may be chance.

const SIGNS = { changed: '≠', appeared: '+', emptied: '−' };
const SMALL = 26;
const BADGE = 14;

/** @param {CanvasRenderingContext2D} context @param {Mark} mark @param {{ x: number, y: number, side: number }} square @param {Record<string, string>} colours @param {boolean} [maybe] */
export function drawMark(context, mark, { x, y, side }, colours, maybe) {
  const tone = { changed: colours.against, appeared: colours.for, emptied: colours.ink }[mark];
  context.strokeStyle = colours.paper;
  context.lineWidth = 4;
  context.strokeRect(x + 1.5, y + 1.5, side - 3, side - 3);
  context.strokeStyle = tone;
  context.lineWidth = 2;
  context.setLineDash(maybe ? [2, 3] : mark === 'emptied' ? [4, 3] : []);
  context.strokeRect(x + 1.5, y + 1.5, side - 3, side - 3);
  context.setLineDash([]);
  if (side < SMALL) return;
  context.fillStyle = tone;
  context.fillRect(x + 0.5, y + 0.5, BADGE, BADGE);
  context.fillStyle = colours.paper;
  context.font = '600 13px "Inter Variable", system-ui, sans-serif';
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.fillText(SIGNS[mark], x + 0.5 + BADGE / 2, y + 1 + BADGE / 2);
}
