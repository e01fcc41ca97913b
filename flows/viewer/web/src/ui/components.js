// Components that several places share.

import { here, href, unitOf, versionOf } from '../state/address.js';
import { live, picture } from '../data/client.js';
import { RequestError } from '../data/http.js';
import { fill, h, SIGNS, sign } from './dom.js';
import { say } from './announce.js';
import { setBackground } from '../data/pictures.js';

const FACE = 72;
const ROW = 8;

/** How long a button says that it has copied, in milliseconds. */
const CONFIRMATION = 2000;

/** Draw grey shapes of the size to expect; they appear only after a noticeable delay. @param {...[number, number]} sizes */
export function placeholder(...sizes) {
  const shapes = sizes.map(([width, height]) => {
    const shape = h('div', { class: 'shape' });
    shape.style.width = width ? `${width}px` : '100%';
    shape.style.height = `${height}px`;
    return shape;
  });
  return h('div', { class: 'waiting', role: 'status', 'aria-label': 'loading' }, ...shapes);
}

/** Capitalise a message, unless it starts with a name from the address. @param {string} words */
export function sentence(words) {
  const first = /^[a-z]+(?= )/.exec(words)?.[0] ?? '';
  const { name, other = '', what, query } = here();
  const names = [name, versionOf(other).name, what, unitOf(what).layer, query.layer];
  return !first || names.includes(first) ? words : words.charAt(0).toUpperCase() + words.slice(1);
}

/** Show an error, with a button to try again. @param {unknown} error @param {() => void} [again] */
export function failed(error, again) {
  const words = error instanceof Error ? error.message : String(error);
  return h(
    'div',
    { class: 'failed', role: 'alert' },
    h('p', {}, sentence(words)),
    error instanceof RequestError && error.remedy && command(error.remedy),
    again && h('button', { class: 'button', onclick: again }, 'Try again'),
  );
}

/**
 * Fill an element with a placeholder, then with what was requested, or with the error.
 * @template T
 * @param {Element} element
 * @param {() => Promise<T>} get
 * @param {(value: T) => import('./dom.js').Child | import('./dom.js').Child[]} draw
 * @param {...[number, number]} sizes
 * @returns {Promise<void>}
 */
export async function fillAsync(element, get, draw, ...sizes) {
  const stamp = String(Math.random());
  /** @type {HTMLElement} */ (element).dataset.request = stamp;
  fill(element, placeholder(...(sizes.length ? sizes : [/** @type {[number, number]} */ ([0, 64])])));
  const mine = () => /** @type {HTMLElement} */ (element).dataset.request === stamp;
  try {
    const value = await get();
    if (mine()) fill(element, ...[draw(value)].flat());
  } catch (error) {
    const cancelled = error instanceof Error && error.name === 'AbortError';
    const again = () => fillAsync(element, get, draw, ...sizes);
    if (mine() && !cancelled) fill(element, showOnce(element, error, again));
  }
}

/** What the button of an error tries again. @type {WeakMap<Element, (() => void)[]>} */
const retries = new WeakMap();

/** Return an error to show, or null if the page shows the same one already: its button then retries both. @param {Element} element @param {unknown} error @param {() => void} again */
function showOnce(element, error, again) {
  const message = failed(error, () => {
    for (const act of (retries.get(message) ?? []).splice(0)) act();
  });
  const place = element.closest('.page, .panel-body');
  const same = [...(place?.querySelectorAll('.failed') ?? [])].find(
    (other) => !element.contains(other) && other.textContent === message.textContent,
  );
  const shared = same && retries.get(same);
  if (shared) shared.push(again);
  else retries.set(message, [again]);
  return shared ? null : message;
}

/** Show a command with a button that copies it. @param {string} text */
export function command(text) {
  const button = h(
    'button',
    { class: 'icon-button', title: 'Copy', 'aria-label': 'Copy the command', onclick: () => copy(text, button) },
    sign(SIGNS.copy),
  );
  const code = h('code', { tabindex: 0 }, text);
  if (live()) return h('div', { class: 'command' }, code, button);
  const where = h(
    'p',
    { class: 'quiet small' },
    'STORE stands for the folder of the store that these files come from.',
  );
  return h('div', {}, h('div', { class: 'command' }, code, button), where);
}

/** Offer the command of an atlas of these. @param {string} text @param {string} [words] */
export const atlasOfThese = (text, words = 'Atlas of these') =>
  h('details', { class: 'atlas-of-these' }, h('summary', {}, words), command(text));

/** Copy a text and confirm it at the button; if the browser forbids it, select the text instead. @param {string} text @param {HTMLElement} button */
export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    say('Copied.');
    confirm(button);
  } catch {
    say('The browser does not let the page copy; the text is selected.');
    getSelection()?.selectAllChildren(button.closest('.command')?.querySelector('code') ?? writeBelow(text, button));
  }
}

/** Confirm for a moment that a text was copied: in the button, or beside one without words. @param {HTMLElement} button */
function confirm(button) {
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
  }, CONFIRMATION);
}

/** Write a text below the button that could not copy it. @param {string} text @param {HTMLElement} button */
function writeBelow(text, button) {
  const place = button.closest('.page-head') ?? button;
  const before = place.nextElementSibling?.matches('.to-copy') ? place.nextElementSibling : null;
  const code = h('code', { class: 'to-copy', tabindex: 0 }, text);
  if (before) before.replaceWith(code);
  else place.after(code);
  return code;
}

/** Say what a run lacks, with the command that makes it. @param {string} what @param {string | undefined} how */
export function missing(what, how) {
  return h('div', { class: 'missing' }, h('p', {}, how ? `${what} Make it:` : what), how && command(how));
}

/**
 * Say that a version lacks an extra, with the command that makes it and the one that makes all that it lacks. An older version has
 * none: its command would publish it again as the latest.
 * @param {About} about @param {string} stage @param {string} what
 */
export function lacks(about, stage, what) {
  const how = isLatest(about) ? about.missing[stage] : undefined;
  const box = missing(
    about.no_scores && stage === 'attribution' ? `${what} The model has no class scores.` : what,
    how,
  );
  if (how && about.everything) box.append(h('p', {}, 'Or all that this run lacks:'), command(about.everything));
  return box;
}

/** Whether the viewer's model draws an extra when it is looked at, so that a run need not store it. @param {About} about @param {string} stage */
export const drawsItself = (about, stage) => stage === 'gradients' && live() && about.uploads;

/** Whether no later version is known. @param {About} about */
export const isLatest = ({ version, versions }) => version >= Math.max(...versions);

/** Return a small picture of a unit, cut from the sprite of its layer. @param {string} layer @param {number} unit @param {number} [side] @param {About} [of] */
export function face(layer, unit, side = 32, of) {
  const place = unit % (ROW * ROW);
  const scale = side / FACE;
  const element = h('span', { class: 'face', 'aria-hidden': 'true' });
  element.style.width = element.style.height = `${side}px`;
  setBackground(element, picture('faces', { layer, block: Math.floor(unit / (ROW * ROW)) }, of));
  element.style.backgroundSize = `${FACE * ROW * scale}px auto`;
  element.style.backgroundPosition = `${-(place % ROW) * side}px ${-Math.floor(place / ROW) * side}px`;
  return element;
}

/** Return a link to a unit, with its picture. @param {import('../state/address.js').State} state @param {string} layer @param {number} unit @param {...import('./dom.js').Child} more */
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

/** Return the address of a cell. On the atlas of its layer all other parameters stay, except the located image. @param {import('../state/address.js').State} state @param {string} layer @param {number} grid @param {number} row @param {number} col */
export function cellHref(state, layer, grid, row, col) {
  const rest = state.place === 'atlas' && state.what === layer ? state.query : {};
  const query = { ...rest, locate: '', grid: String(grid), cell: `${row},${col}` };
  return href({ ...state, place: 'atlas', what: layer, query });
}

/** Return a link to a cell, which `relink` can update. @param {import('../state/address.js').State} state @param {string} layer @param {number} grid @param {number} row @param {number} col @param {Record<string, any>} attributes @param {...import('./dom.js').Child} children */
export const cellLink = (state, layer, grid, row, col, attributes, ...children) =>
  h(
    'a',
    { ...attributes, href: cellHref(state, layer, grid, row, col), 'data-cell': `${grid} ${row},${col}` },
    ...children,
  );

/** Update links to cells with the current parameters of the address. @param {Element} element @param {import('../state/address.js').State} state */
export function relink(element, state) {
  for (const link of /** @type {NodeListOf<HTMLElement>} */ (element.querySelectorAll('a[data-cell]'))) {
    const [grid, row, col] = String(link.dataset.cell).split(/[ ,]/).map(Number);
    link.setAttribute('href', cellHref(state, state.what, grid, row, col));
  }
}

/** Draw a bar of a share from 0 to 1. @param {number} share @param {string} [kind] */
export function bar(share, kind = 'amount') {
  const inside = h('span', { class: `bar-in ${kind}` });
  inside.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return h('span', { class: 'bar', 'aria-hidden': 'true' }, inside);
}

/** List names with bars and one or two numbers, which `heads` name. @param {{ name: import('./dom.js').Child, share: number, value: string, other?: string, href?: string, quiet?: boolean }[]} rows @param {{ kind?: string, heads?: [string, string] | null }} [options] */
export function bars(rows, { kind, heads } = {}) {
  const head =
    heads && h('li', { class: 'bars-head quiet' }, ...heads.map((words) => h('span', { class: 'num' }, words)));
  return h(
    'ul',
    { class: rows.some((row) => row.other) ? 'bars two' : 'bars' },
    head,
    ...rows.map((row) =>
      h(
        'li',
        { class: row.quiet ? 'quiet' : '' },
        h('span', { class: 'bars-name' }, row.href ? h('a', { href: row.href }, row.name) : row.name),
        bar(row.share, kind),
        h('span', { class: 'num' }, row.value),
        row.other && h('span', { class: 'num quiet' }, row.other),
      ),
    ),
  );
}

/** Return a section with a heading. @param {string} heading @param {...import('./dom.js').Child} children */
export function section(heading, ...children) {
  return h('section', { class: 'section' }, h('h2', {}, heading), ...children);
}

/** Return a picture that loads once it comes into view. @param {string} source @param {string} words @param {number} [side] */
export function image(source, words, side) {
  return h('img', {
    src: source,
    alt: words,
    loading: 'lazy',
    decoding: 'async',
    ...(side ? { width: side, height: side } : {}),
  });
}
