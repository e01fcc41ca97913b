// What is drawn anew stands where the old stood: the old stays until the new has come, and the focus goes over to it.

import { fill } from '../../ui/dom.js';
import { failed, waiting } from '../../ui/components.js';

/** @type {WeakMap<Element, object>} */
const asked = new WeakMap();

/**
 * Fill an element with what is to come: where nothing stood there, shapes first; then the thing or what went wrong.
 * @template T
 * @param {HTMLElement} element
 * @param {() => Promise<T>} get
 * @param {(value: T) => import('../../ui/dom.js').Child[]} draw
 * @param {{ sizes: [number, number][], wrong?: (error: unknown, again: () => void) => HTMLElement }} how
 * @returns {Promise<void>}
 */
export async function renew(element, get, draw, { sizes, wrong = failed }) {
  const mine = {};
  asked.set(element, mine);
  if (!element.childElementCount || element.querySelector(':scope > .failed')) fill(element, waiting(...sizes));
  element.setAttribute('aria-busy', 'true');
  /** @type {import('../../ui/dom.js').Child[]} */
  let children;
  try {
    const value = await get();
    if (asked.get(element) !== mine) return;
    children = draw(value);
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') return;
    children = [wrong(error, () => renew(element, get, draw, { sizes, wrong }))];
  }
  if (asked.get(element) !== mine) return;
  element.removeAttribute('aria-busy');
  put(element, children);
}

/** Put children into an element, and leave those be that are there. @param {HTMLElement} element @param {import('../../ui/dom.js').Child[]} children */
export function put(element, children) {
  if (children.length === 1 && element.childNodes.length === 1 && element.firstChild === children[0]) return;
  const hold = holding(element);
  fill(element, ...children);
  hold();
}

/** Remember which control has the focus, and return what gives it to the same one, or to what stands in its place, among those that were made anew. @param {HTMLElement} box */
export function holding(box) {
  const control = document.activeElement;
  if (!(control instanceof HTMLElement) || !box.contains(control)) return () => {};
  const at = controls(box).indexOf(control);
  return () => {
    if (control.isConnected && document.activeElement === control) return;
    const all = controls(box);
    const same = control.isConnected
      ? control
      : all.find((one) => control.dataset.keep && one.dataset.keep === control.dataset.keep);
    const next =
      same ?? all[Math.min(at, all.length - 1)] ?? /** @type {HTMLElement | null} */ (document.querySelector('main'));
    next?.focus({ preventScroll: true });
  };
}

/** @param {HTMLElement} box */
const controls = (box) =>
  /** @type {HTMLElement[]} */ ([...box.querySelectorAll('a, button, input, select, [tabindex]')]);
