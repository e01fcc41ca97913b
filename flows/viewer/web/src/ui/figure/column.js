// The text of a figure, written from the top downwards.

/** @typedef {CanvasRenderingContext2D} Context */

const TEXT = '"Inter Variable", Inter, system-ui, sans-serif';
const SERIF = '"Newsreader Variable", Newsreader, Georgia, serif';
export const FONTS = {
  title: `500 26px ${SERIF}`,
  lead: `400 14px ${TEXT}`,
  key: `400 13px ${TEXT}`,
  source: `400 11px ${TEXT}`,
};
const LINES = { title: 32, lead: 20, key: 20, source: 16 };

/** @typedef {keyof typeof FONTS} Kind */

/** Break a text into lines of a width; a word that is too long is cut. @param {Context} context @param {string} text @param {number} room */
function wrapped(context, text, room) {
  const words = text.split(/ +/).flatMap((word) => pieces(context, word, room));
  /** @type {string[]} */
  const lines = [];
  for (const word of words) {
    const longer = lines.length ? `${lines[lines.length - 1]} ${word}` : word;
    if (lines.length && context.measureText(longer).width <= room) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** @param {Context} context @param {string} word @param {number} room */
function pieces(context, word, room) {
  const parts = [''];
  for (const letter of word) {
    if (context.measureText(parts[parts.length - 1] + letter).width > room) parts.push('');
    parts[parts.length - 1] += letter;
  }
  return parts;
}

/** Writes from the top downwards. */
export class Column {
  /** @param {Context} context @param {number} left @param {number} top @param {number} room */
  constructor(context, left, top, room) {
    this.context = context;
    this.left = left;
    this.y = top;
    this.room = room;
  }

  /** @param {Kind} kind @param {string} text @param {string} tone */
  write(kind, text, tone) {
    const { context } = this;
    context.font = FONTS[kind];
    for (const line of text ? wrapped(context, text, this.room) : []) {
      this.#line(kind, line, this.left, tone);
      this.y += LINES[kind];
    }
  }

  /** @param {Kind} kind @param {string} text @param {number} x @param {string} tone */
  #line(kind, text, x, tone) {
    const { context } = this;
    context.font = FONTS[kind];
    context.fillStyle = tone;
    context.textAlign = 'left';
    context.textBaseline = 'alphabetic';
    context.fillText(text, x, this.y + LINES[kind] * 0.74);
  }

  /** Draw entries beside each other, and those without room below. @param {import('./types.js').Key[]} keys @param {string} tone */
  keys(keys, tone) {
    const { context } = this;
    context.font = FONTS.key;
    let x = 0;
    for (const { words, wide = 0, sign } of keys) {
      context.font = FONTS.key;
      const indent = wide ? wide + 8 : 0;
      const lines = wrapped(context, words, this.room - indent);
      const width = indent + Math.max(0, ...lines.map((line) => context.measureText(line).width));
      if (x && x + width > this.room) {
        x = 0;
        this.y += LINES.key;
      }
      sign?.(context, this.left + x, this.y + LINES.key / 2);
      lines.forEach((line, i) => {
        if (i) this.y += LINES.key;
        this.#line('key', line, this.left + x + indent, tone);
      });
      x += width + 20;
    }
    if (keys.length) this.y += LINES.key;
  }
}
