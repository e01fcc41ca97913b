// Replacing content in place: the old stays until the new arrives, and the focus moves to its counterpart.

import { failed as showError, placeholder } from '../../ui/components.js';
import { fill } from '../../ui/dom.js';

/** The latest request of each element. @type {WeakMap<Element, object>} */
const requests = new WeakMap();

/**
 * Replace the content of an element with what is requested, or with the error.
 * @template T
 * @param {HTMLElement} element
 * @param {() => Promise<T>} get
 * @param {(value: T) => import('../../ui/dom.js').Child[]} draw
 * @param {{ sizes?: [number, number][], pending?: () => HTMLElement, failed?: (error: unknown, again: () => void) => HTMLElement }} options
 * @returns {Promise<void>}
 */
export async function refresh(element, get, draw, { sizes = [], pending, failed = showError }) {
  const mine = {};
  requests.set(element, mine);
  if (!element.childElementCount || element.querySelector(':scope > .failed')) {
    fill(element, pending ? pending() : placeholder(...sizes));
  }
  element.setAttribute('aria-busy', 'true');
  /** @type {import('../../ui/dom.js').Child[]} */
  let children;
  try {
    const value = await get();
    if (requests.get(element) !== mine) return;
    children = draw(value);
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') return;
    children = [failed(error, () => refresh(element, get, draw, { sizes, pending, failed }))];
  }
  if (requests.get(element) !== mine) return;
  element.removeAttribute('aria-busy');
  replace(element, children);
}

/** Replace the children of an element, unless it has them already. @param {HTMLElement} element @param {import('../../ui/dom.js').Child[]} children */
export function replace(element, children) {
  if (children.length === 1 && element.childNodes.length === 1 && element.firstChild === children[0]) return;
  const refocus = focusMemory(element);
  fill(element, ...children);
  refocus();
}

/** Remember the focused control; return a function that focuses it, or its counterpart. @param {HTMLElement} box */
export function focusMemory(box) {
  const control = document.activeElement;
  if (!(control instanceof HTMLElement) || !box.contains(control)) return () => {};
  const at = controls(box).indexOf(control);
  return () => {
    if (control.isConnected && document.activeElement === control) return;
    const all = controls(box);
    const same = control.isConnected
      ? control
      : all.find((one) => control.dataset.keep && one.dataset.keep === control.dataset.keep);
    const main = /** @type {HTMLElement | null} */ (document.querySelector('main'));
    const next = same ?? all[Math.min(at, all.length - 1)] ?? main;
    next?.focus({ preventScroll: true });
  };
}

/** @param {HTMLElement} box */
const controls = (box) =>
  /** @type {HTMLElement[]} */ ([...box.querySelectorAll('a, button, input, select, [tabindex]')]);
