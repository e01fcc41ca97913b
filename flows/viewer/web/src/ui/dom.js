// Creating elements. Text always becomes a text node: file names, labels and class names come from outside.

import { showPicture } from '../data/pictures.js';

/** @typedef {Node | string | number | null | undefined | false} Child */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Create an element. Attributes that start with `on` are listeners; true and false switch an attribute on and off.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, any>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  setAttributes(element, attributes);
  element.append(...nodes(children));
  return element;
}

/**
 * Create an SVG element.
 * @param {string} name
 * @param {Record<string, any>} [attributes]
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function s(name, attributes = {}, ...children) {
  const element = /** @type {SVGElement} */ (document.createElementNS(SVG, name));
  setAttributes(element, attributes);
  element.append(...nodes(children));
  return element;
}

/** @param {Element} element @param {Record<string, any>} attributes */
function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'src' && element instanceof HTMLImageElement) showPicture(element, String(value));
    else element.setAttribute(name, value === true ? '' : String(value));
  }
}

/** @param {(Child | Child[])[]} children @returns {(Node | string)[]} */
function nodes(children) {
  return children
    .flat()
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/** Replace the children of an element. @param {Element} element @param {...(Child | Child[])} children */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/** Draw an icon of 16 × 16 px, hidden from screen readers. @param {string} path @returns {SVGElement} */
export function sign(path) {
  return s(
    'svg',
    { class: 'sign', viewBox: '0 0 16 16', width: 16, height: 16, 'aria-hidden': 'true' },
    s('path', { d: path }),
  );
}

export const SIGNS = {
  search: 'M7 2a5 5 0 1 0 0 10A5 5 0 0 0 7 2M10.800 10.800 14 14',
  close: 'M3.500 3.500l9 9M12.500 3.500l-9 9',
  home: 'M2.500 7.500 8 3l5.500 4.500M4 6.500V13h8V6.500',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  full: 'M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3',
  list: 'M2.500 4h11M2.500 8h11M2.500 12h11',
  map: 'M2.500 2.500h4.500v4.500H2.500zM9 2.500h4.500v4.500H9zM2.500 9h4.500v4.500H2.500zM9 9h4.500v4.500H9z',
  sun: 'M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.500M8 13.500V15M1 8h1.500M13.500 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1',
  save: 'M8 2.500v7.500M4.500 7 8 10.500 11.500 7M3 13.500h10',
  copy: 'M5.500 5.500h7.500v7.500H5.500zM3 10.500V3h7.500',
  left: 'M10 3 5 8l5 5',
  right: 'M6 3l5 5-5 5',
  down: 'M3 6l5 5 5-5',
  help: 'M5.500 6a2.500 2.500 0 1 1 3.500 2.300c-.700.300-1 .800-1 1.700M8 12.500v.500',
};
