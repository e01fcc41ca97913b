// Parts that several views are made of.

import { here, href, unitOf, versionOf } from '../state/address.js';
import { picture } from '../data/client.js';
import { fill, h, SIGNS, sign } from './dom.js';
import { say } from './announce.js';
import { behind } from '../data/pictures.js';

const FACE = 72;
const ROW = 8;

/** Milliseconds for which it is said that something was copied. */
const SAID = 2000;

/** Grey shapes of the right size, shown only where waiting is long enough to be noticed. @param {...[number, number]} sizes */
export function waiting(...sizes) {
  const shapes = sizes.map(([width, height]) => {
    const shape = h('div', { class: 'shape' });
    shape.style.width = width ? `${width}px` : '100%';
    shape.style.height = `${height}px`;
    return shape;
  });
  return h('div', { class: 'waiting', role: 'status', 'aria-label': 'loading' }, ...shapes);
}

/** Begin with a capital, unless the first word is a name that the address has. @param {string} words */
export function sentence(words) {
  const first = /^[a-z]+(?= )/.exec(words)?.[0] ?? '';
  const { name, other = '', what, query } = here();
  const names = [name, versionOf(other).name, what, unitOf(what).layer, query.layer];
  return !first || names.includes(first) ? words : words.charAt(0).toUpperCase() + words.slice(1);
}

/** What went wrong, and what to try. @param {unknown} error @param {() => void} [again] */
export function failed(error, again) {
  const words = error instanceof Error ? error.message : String(error);
  return h(
    'div',
    { class: 'failed', role: 'alert' },
    h('p', {}, sentence(words)),
    again && h('button', { class: 'button', onclick: again }, 'Try again'),
  );
}

/**
 * Fill an element with what is to come: shapes first, then the thing or what went wrong.
 * @template T
 * @param {Element} element
 * @param {() => Promise<T>} get
 * @param {(value: T) => import('./dom.js').Child | import('./dom.js').Child[]} draw
 * @param {...[number, number]} sizes
 * @returns {Promise<void>}
 */
export async function coming(element, get, draw, ...sizes) {
  const stamp = String(Math.random());
  /** @type {HTMLElement} */ (element).dataset.coming = stamp;
  fill(element, waiting(...(sizes.length ? sizes : [/** @type {[number, number]} */ ([0, 64])])));
  const mine = () => /** @type {HTMLElement} */ (element).dataset.coming === stamp;
  try {
    const value = await get();
    if (mine()) fill(element, ...[draw(value)].flat());
  } catch (error) {
    const givenUp = error instanceof Error && error.name === 'AbortError';
    if (mine() && !givenUp)
      fill(
        element,
        once(element, error, () => coming(element, get, draw, ...sizes)),
      );
  }
}

/** What is asked again by the button of what went wrong. @type {WeakMap<Element, (() => void)[]>} */
const waitingFor = new WeakMap();

/** What went wrong; where its page says so already, nothing, and the one button asks for all of it. @param {Element} element @param {unknown} error @param {() => void} again */
function once(element, error, again) {
  const said = failed(error, () => {
    for (const act of (waitingFor.get(said) ?? []).splice(0)) act();
  });
  const place = element.closest('.page, .panel-body');
  const same = [...(place?.querySelectorAll('.failed') ?? [])].find(
    (other) => !element.contains(other) && other.textContent === said.textContent,
  );
  const asked = same && waitingFor.get(same);
  if (asked) asked.push(again);
  else waitingFor.set(said, [again]);
  return asked ? null : said;
}

/** A command with a button that copies it. @param {string} text */
export function command(text) {
  const button = h(
    'button',
    { class: 'icon-button', title: 'Copy', 'aria-label': 'Copy the command', onclick: () => copy(text, button) },
    sign(SIGNS.copy),
  );
  return h('div', { class: 'command' }, h('code', { tabindex: 0 }, text), button);
}

/** Copy a text and say so at the button; where the browser does not let the page, select the text. @param {string} text @param {HTMLElement} button */
export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    say('Copied.');
    copied(button);
  } catch {
    say('The browser does not let the page copy; the text is selected.');
    getSelection()?.selectAllChildren(button.closest('.command')?.querySelector('code') ?? written(text, button));
  }
}

/** Say for a moment that it is done: in place of a button's words, beside one that has a sign. @param {HTMLElement} button */
function copied(button) {
  if (button.dataset.copied) return;
  button.dataset.copied = 'yes';
  const words = button.textContent;
  const mark = h('span', { class: 'quiet small', 'aria-hidden': 'true' }, 'Copied');
  if (!words) button.before(mark);
  else {
    button.style.minWidth = `${button.offsetWidth}px`;
    button.textContent = 'Copied';
  }
  setTimeout(() => {
    delete button.dataset.copied;
    if (words) button.textContent = words;
    mark.remove();
  }, SAID);
}

/** Write a text below the button that was to copy it. @param {string} text @param {HTMLElement} button */
function written(text, button) {
  const place = button.closest('.page-head') ?? button;
  const before = place.nextElementSibling?.matches('.to-copy') ? place.nextElementSibling : null;
  const code = h('code', { class: 'to-copy', tabindex: 0 }, text);
  if (before) before.replaceWith(code);
  else place.after(code);
  return code;
}

/** Something that the run does not have, and how it is made. @param {string} what @param {string | undefined} how */
export function missing(what, how) {
  return h('div', { class: 'missing' }, h('p', {}, how ? `${what} Make it:` : what), how && command(how));
}

/** A small picture of a unit, cut from the sprite of its layer. @param {string} layer @param {number} unit @param {number} [side] @param {About} [of] */
export function face(layer, unit, side = 32, of) {
  const place = unit % (ROW * ROW);
  const scale = side / FACE;
  const element = h('span', { class: 'face', 'aria-hidden': 'true' });
  element.style.width = element.style.height = `${side}px`;
  behind(element, picture('faces', { layer, block: Math.floor(unit / (ROW * ROW)) }, of));
  element.style.backgroundSize = `${FACE * ROW * scale}px auto`;
  element.style.backgroundPosition = `${-(place % ROW) * side}px ${-Math.floor(place / ROW) * side}px`;
  return element;
}

/** A link to a unit with its picture. @param {import('../state/address.js').State} state @param {string} layer @param {number} unit @param {...import('./dom.js').Child} more */
export function chip(state, layer, unit, ...more) {
  return h(
    'a',
    { class: 'chip', href: unitHref(state, layer, unit), title: `${layer}:${unit}` },
    face(layer, unit),
    h('span', { class: 'chip-name' }, String(unit)),
    ...more,
  );
}

/** @param {import('../state/address.js').State} state @param {string} layer @param {number} unit */
export const unitHref = (state, layer, unit) => href({ ...state, place: 'unit', what: `${layer}:${unit}`, query: {} });

/** The address of a cell. On its own atlas all else stays as it is: list, class, shade; but not the image that was located. @param {import('../state/address.js').State} state @param {string} layer @param {number} grid @param {number} row @param {number} col */
export function cellHref(state, layer, grid, row, col) {
  const kept = state.place === 'atlas' && state.what === layer ? state.query : {};
  return href({
    ...state,
    place: 'atlas',
    what: layer,
    query: { ...kept, locate: '', grid: String(grid), cell: `${row},${col}` },
  });
}

/** A link to a cell that `relink` can find. @param {import('../state/address.js').State} state @param {string} layer @param {number} grid @param {number} row @param {number} col @param {Record<string, string>} attributes @param {...import('./dom.js').Child} children */
export const cellLink = (state, layer, grid, row, col, attributes, ...children) =>
  h(
    'a',
    { ...attributes, href: cellHref(state, layer, grid, row, col), 'data-cell': `${grid} ${row},${col}` },
    ...children,
  );

/** Let links to cells keep what the address says now: it has changed since they were made. @param {Element} element @param {import('../state/address.js').State} state */
export function relink(element, state) {
  for (const link of /** @type {NodeListOf<HTMLElement>} */ (element.querySelectorAll('a[data-cell]'))) {
    const [grid, row, col] = String(link.dataset.cell).split(/[ ,]/).map(Number);
    link.setAttribute('href', cellHref(state, state.what, grid, row, col));
  }
}

/** A bar of an amount from 0 to 1. @param {number} share @param {string} [kind] */
export function bar(share, kind = 'amount') {
  const inside = h('span', { class: `bar-in ${kind}` });
  inside.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return h('span', { class: 'bar', 'aria-hidden': 'true' }, inside);
}

/** Rows of a name, a bar and a number, or two. @param {{ name: import('./dom.js').Child, share: number, value: string, other?: string, href?: string }[]} rows @param {string} [kind] */
export function bars(rows, kind) {
  return h(
    'ul',
    { class: rows.some((row) => row.other) ? 'bars two' : 'bars' },
    ...rows.map((row) =>
      h(
        'li',
        {},
        h('span', { class: 'bars-name' }, row.href ? h('a', { href: row.href }, row.name) : row.name),
        bar(row.share, kind),
        h('span', { class: 'num' }, row.value),
        row.other && h('span', { class: 'num quiet' }, row.other),
      ),
    ),
  );
}

/** A heading and what belongs to it. @param {string} heading @param {...import('./dom.js').Child} children */
export function section(heading, ...children) {
  return h('section', { class: 'section' }, h('h2', {}, heading), ...children);
}

/** A picture that loads when it comes into view. @param {string} source @param {string} words @param {number} [side] */
export function image(source, words, side) {
  return h('img', {
    src: source,
    alt: words,
    loading: 'lazy',
    decoding: 'async',
    ...(side ? { width: side, height: side } : {}),
  });
}
