// What is painted over the icons of a map: fading, frames, names and outlines, on the screen and in figures.

import { drawArrows } from './arrows.js';
import { drawMark } from './marks.js';
import { square } from './scene.js';

/** @typedef {import('./grid.js').Grid} Grid */
/** @typedef {import('./scene.js').Scene} Scene */
/** @typedef {Record<string, string>} Colours */
/** Lines, middle, foot, width and strength of a name. @typedef {[string[], number, number, number, number]} Name */

export const ROOM = 56;
/** Room beside the text of a name, in pixels. */
const MARGIN = 12;
/** From which side of a cell on a name has two lines, in pixels. */
const TALL = 60;
/** Letters of a name that are measured. */
const LONGEST = 60;
/** Letters that must be left of a name that is cut. */
const LEAST = 4;
/** The size of names, in pixels: in full screen they are read from afar. */
const size = () => (document.fullscreenElement ? 16 : 12);
const font = () => `500 ${size()}px "Inter Variable", system-ui, sans-serif`;
/** The share below which a cell is neither hatched nor framed. */
const FAINT = 0.02;
/** The side of cells below which frames cover them, in pixels. */
const SMALL = 22;

/** Paint everything but the outlines of single cells; return the names. @param {CanvasRenderingContext2D} context @param {Scene} scene @param {number[]} cells @param {Colours} colours */
export function paint(context, scene, cells, colours) {
  if (scene.share) fade(context, scene, cells, colours);
  if (scene.amount) frameAmounts(context, scene, cells, colours);
  if (scene.share) frameShares(context, scene, cells, colours);
  const most = Math.max(...scene.lit.values(), 1);
  for (const [cell, n] of scene.lit) paintLit(context, scene, cell, n, most, colours);
  for (const i of scene.marks ? cells : []) {
    const mark = scene.marks?.get(i);
    if (mark) drawMark(context, mark, square(scene, i), colours, scene.maybe);
  }
  if (scene.arrows) drawArrows(context, scene.frame, scene.arrows, colours);
  return scene.names === 'none' ? new Map() : paintNames(context, scene, cells, colours);
}

/** Whether cells that speak against a class are hatched: where those for it alone keep their colour, they only fade. @param {Scene} scene */
const hatches = ({ pair, way }) => !pair && (way === 'against' || way === 'both');

/** Fade cells by how little they have of what is asked for; hatch those that speak against it. @param {CanvasRenderingContext2D} context @param {Scene} scene @param {number[]} cells @param {Colours} colours */
function fade(context, scene, cells, colours) {
  for (const i of cells) {
    const share = /** @type {Float32Array} */ (scene.share)[i];
    const { x, y, side } = square(scene, i);
    context.globalAlpha = 1 - kept(scene, i);
    context.fillStyle = colours.paper;
    context.fillRect(x, y, side, side);
    context.globalAlpha = 1;
    if (share < -FAINT && hatches(scene)) hatch(context, x, y, side, colours.against, Math.min(1, -share));
  }
}

/** Frame the cells that keep their colour in that of the first name, and dashed in that of the second. @param {CanvasRenderingContext2D} context @param {Scene} scene @param {number[]} cells @param {Colours} colours */
function frameShares(context, scene, cells, colours) {
  for (const i of cells) {
    const share = /** @type {Float32Array} */ (scene.share)[i];
    const strong = Math.min(1, strength(share, scene.way));
    const second = share < 0;
    const { x, y, side } = square(scene, i);
    if (strong <= FAINT || (second && !scene.pair)) continue;
    const inset = scene.amount && side >= SMALL ? edgeOf(side) : 0;
    const width = Math.max(1, (scene.pair ? 0.09 : 0.05) * side);
    context.lineWidth = width;
    context.strokeStyle = ramp(second ? colours.against : colours.for, colours.paper, strong);
    if (second && side >= SMALL) context.setLineDash([side / 6, side / 12]);
    const away = inset + width / 2;
    context.strokeRect(x + away, y + away, side - 2 * away, side - 2 * away);
    context.setLineDash([]);
  }
}

/** The width of a frame that shows an amount. @param {number} side */
const edgeOf = (side) => Math.min(side / 2, Math.max(3, side * 0.1));

/** Frame each icon in the colour of its value; cover small ones. @param {CanvasRenderingContext2D} context @param {Scene} scene @param {number[]} cells @param {Colours} colours */
function frameAmounts(context, scene, cells, colours) {
  for (const i of cells) {
    const amount = /** @type {Float32Array} */ (scene.amount)[i];
    if (Number.isNaN(amount)) continue;
    const { x, y, side } = square(scene, i);
    const edge = edgeOf(side);
    context.fillStyle = ramp(colours.ramp, colours.paper, amount);
    if (side < SMALL) {
      context.fillRect(x, y, side, side);
      continue;
    }
    context.beginPath();
    context.rect(x, y, side, side);
    context.rect(x + edge, y + edge, side - 2 * edge, side - 2 * edge);
    context.fill('evenodd');
  }
}

/** Write on each cell the name that stands out most, within the cell's own square of the grid. @param {CanvasRenderingContext2D} context @param {Scene} scene @param {number[]} cells @param {Colours} colours @returns {Map<number, Name>} */
function paintNames(context, scene, cells, colours) {
  const names = new Map();
  const grid = /** @type {Grid} */ (scene.grid);
  const cell = scene.frame.side / grid.size;
  if (cell < ROOM) return names;
  context.font = font();
  for (const i of cells) {
    const [found] = grid.standing(i, scene.names);
    const lines = found ? linesOf(context, found.name.slice(0, LONGEST), cell) : [];
    if (!lines.length) continue;
    const { x, y, side } = square(scene, i);
    const wide = Math.max(...lines.map((line) => context.measureText(line).width)) + MARGIN - 4;
    names.set(i, [lines, x + side / 2, y + side, wide, kept(scene, i)]);
    paintName(context, names.get(i), colours);
  }
  return names;
}

/** Write a name over the foot of its icon. @param {CanvasRenderingContext2D} context @param {Name} name @param {Colours} colours */
export function paintName(context, [lines, middle, foot, wide, strong], colours) {
  const tall = size() + 2;
  const high = 4 + tall * lines.length;
  context.globalAlpha = 0.88 * strong;
  context.fillStyle = colours.paper;
  context.beginPath();
  context.roundRect(middle - wide / 2, foot - high, wide, high, [3, 3, 0, 0]);
  context.fill();
  context.globalAlpha = strong;
  context.font = font();
  context.textAlign = 'center';
  context.textBaseline = 'alphabetic';
  context.fillStyle = colours.ink;
  lines.forEach((line, k) => context.fillText(line, middle, foot - 5 - tall * (lines.length - 1 - k)));
  context.globalAlpha = 1;
}

/** Outline a cell that positions of the located image fall in: the more, the wider, with their number where there is room. @param {CanvasRenderingContext2D} context @param {Scene} scene @param {number} i @param {number} n @param {number} most @param {Colours} colours */
function paintLit(context, scene, i, n, most, colours) {
  outline(context, scene, i, 1 + 4 * Math.sqrt(n / most), colours.ink, colours);
  const { x, y, side } = square(scene, i);
  if (side < ROOM / 2) return;
  context.font = font();
  const wide = context.measureText(String(n)).width + 8;
  context.fillStyle = colours.ink;
  context.fillRect(x, y, wide, 16);
  context.fillStyle = colours.paper;
  context.textAlign = 'left';
  context.textBaseline = 'alphabetic';
  context.fillText(String(n), x + 4, y + 12);
}

/** @param {CanvasRenderingContext2D} context @param {Scene} scene @param {number} i @param {number} width @param {string} tone @param {Colours} colours */
export function outline(context, scene, i, width, tone, colours) {
  const { x, y, side } = square(scene, i);
  context.lineWidth = width + 2;
  context.strokeStyle = colours.paper;
  context.strokeRect(x - 1, y - 1, side + 2, side + 2);
  context.lineWidth = width;
  context.strokeStyle = tone;
  context.strokeRect(x - 1, y - 1, side + 2, side + 2);
}

/** Return how much of its colour a cell keeps, 0 to 1. @param {number} share @param {Scene['way']} way */
function strength(share, way) {
  if (way === 'against') return Math.max(0, -share);
  return way === 'both' ? Math.abs(share) : Math.max(0, share);
}

/** Return how much of its colour a cell keeps of what is asked for, 0 to 1; its name fades with it. @param {Scene} scene @param {number} i */
const kept = ({ share, intensity, way }, i) => (share ? 1 - intensity * (1 - strength(share[i], way)) : 1);

/** Break a name into two lines at a space where one is too narrow and the cell has room; what is still too long is cut. @param {CanvasRenderingContext2D} context @param {string} name @param {number} cell the side of its square of the grid */
function linesOf(context, name, cell) {
  const room = cell - MARGIN;
  const fits = (/** @type {string} */ text) => context.measureText(text).width <= room;
  const words = name.split(' ');
  if (cell < TALL || fits(name) || !fits(words[0])) return [fitting(context, name, room)].filter(Boolean);
  const first = words.map((_, k) => words.slice(0, k + 1).join(' ')).findLast(fits) ?? words[0];
  const rest = fitting(context, name.slice(first.length).trimStart(), room);
  return rest ? [first, rest] : [fitting(context, name, room)];
}

/** Cut a text to a width; nothing where too little of it would be left. @param {CanvasRenderingContext2D} context @param {string} text @param {number} room */
function fitting(context, text, room) {
  let cut = text;
  for (let most = text.length - 1; most >= LEAST - 1 && context.measureText(cut).width > room; most--) {
    cut = `${text.slice(0, most).trimEnd()}…`;
  }
  return context.measureText(cut).width > room ? '' : cut;
}

/** @param {string} full @param {string} paper @param {number} amount */
export function ramp(full, paper, amount) {
  return `color-mix(in oklab, ${full} ${Math.round(8 + 92 * Math.max(0, Math.min(1, amount)))}%, ${paper})`;
}

/** Draw diagonal lines within a square. @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} side @param {string} tone @param {number} strength */
export function hatch(context, x, y, side, tone, strength) {
  context.globalAlpha = 0.25 + 0.75 * strength;
  context.strokeStyle = tone;
  context.lineWidth = 1.2;
  context.beginPath();
  const apart = Math.max(4, side / 8);
  for (let at = -side; at < side; at += apart) {
    const [from, to] = [Math.max(0, -at), Math.min(side, side - at)];
    context.moveTo(x + at + from, y + side - from);
    context.lineTo(x + at + to, y + side - to);
  }
  context.stroke();
  context.globalAlpha = 1;
}
