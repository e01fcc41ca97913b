// Signs of legends, as they are drawn in figures.

import { colour } from '../theme.js';

/** @typedef {import('./types.js').Key} Key */

const SIDE = 14;
const RAMP = 96;

/** Words alone. @param {string} words @returns {Key} */
export const words = (words) => ({ words });

/** A frame in a colour, dashed for the second of two. @param {string} text @param {string} tone @param {boolean} [dashed] @returns {Key} */
export const framed = (text, tone, dashed = false) => ({
  words: text,
  wide: SIDE,
  sign: (context, x, y) => {
    context.strokeStyle = colour(tone);
    context.lineWidth = 3;
    context.setLineDash(dashed ? [4, 2] : []);
    context.strokeRect(x + 1.5, y - SIDE / 2 + 1.5, SIDE - 3, SIDE - 3);
    context.setLineDash([]);
  },
});

/** Diagonal lines in a colour. @param {string} text @param {string} tone @returns {Key} */
export const hatchedKey = (text, tone) => ({
  words: text,
  wide: SIDE,
  sign: (context, x, y) => {
    context.strokeStyle = colour(tone);
    context.lineWidth = 1.4;
    context.strokeRect(x + 0.5, y - SIDE / 2 + 0.5, SIDE - 1, SIDE - 1);
    context.beginPath();
    for (const at of [4, 9, 14, 19, 24]) {
      const [from, to] = [Math.max(0, at - SIDE), Math.min(SIDE, at)];
      context.moveTo(x + from, y - SIDE / 2 + at - from);
      context.lineTo(x + to, y - SIDE / 2 + at - to);
    }
    context.stroke();
  },
});

/** A filled square. @param {string} text @param {string} tone @returns {Key} */
export const filled = (text, tone) => ({
  words: text,
  wide: SIDE,
  sign: (context, x, y) => {
    context.fillStyle = colour(tone);
    context.fillRect(x, y - SIDE / 2, SIDE, SIDE);
  },
});

/** A ramp from paper to a colour. @param {string} text @param {string} tone @returns {Key} */
export const rampKey = (text, tone) => ({
  words: text,
  wide: RAMP,
  sign: (context, x, y) => {
    const steps = 24;
    for (let k = 0; k < steps; k++) {
      const part = Math.round(8 + (92 * k) / (steps - 1));
      context.fillStyle = `color-mix(in oklab, ${colour(tone)} ${part}%, ${colour('--paper')})`;
      context.fillRect(x + (k * RAMP) / steps, y - 5, RAMP / steps + 0.5, 10);
    }
  },
});

/** A line, dashed or not. @param {string} text @param {string} tone @param {number[]} [dash] @returns {Key} */
export const line = (text, tone, dash = []) => ({
  words: text,
  wide: 22,
  sign: (context, x, y) => {
    context.strokeStyle = colour(tone);
    context.lineWidth = 2;
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + 20, y);
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    context.moveTo(x + 15, y - 4);
    context.lineTo(x + 20, y);
    context.lineTo(x + 15, y + 4);
    context.stroke();
  },
});
