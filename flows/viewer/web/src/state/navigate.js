// Go to a state: the one way in which the address changes.

import { format, hashed, here } from './address.js';
import { came, enter } from './scroll_memory.js';
import { host } from '../data/transport.js';

/** @type {() => void} */
let arrived = () => {};

/** @param {() => void} act called whenever the state has changed */
export function whenThere(act) {
  arrived = act;
  addEventListener('popstate', () => {
    came();
    arrived();
  });
  addEventListener('hashchange', () => {
    came();
    host?.went(location.hash.slice(1));
    arrived();
  });
  document.addEventListener('click', followed);
}

/**
 * Go to a state, or to the same place with other words in its query (null takes one out).
 * @param {Partial<import('./address.js').State>} change
 * @param {{ replace?: boolean, quiet?: boolean }} [how] quiet: write the address, nothing else
 */
export function go(change, how = {}) {
  const state = { ...here(), ...change };
  const address = hashed() ? `#${format(state)}` : format(state);
  const same = hashed() ? location.hash === address : location.pathname + location.search === address;
  if (!same) host?.went(format(state));
  if (!same) enter(address, how.replace);
  if (!how.quiet) arrived();
}

/**
 * Change words of the query and leave the rest.
 * @param {Record<string, string | null>} words
 * @param {{ replace?: boolean, quiet?: boolean }} [how]
 */
export function turn(words, how) {
  const query = { ...here().query };
  for (const [name, value] of Object.entries(words)) {
    if (value === null) delete query[name];
    else query[name] = value;
  }
  go({ query }, how);
}

/** Follow a link inside the page without loading it anew. @param {MouseEvent} event */
function followed(event) {
  if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || hashed()) return;
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  if (!link || link.target || link.origin !== location.origin || link.hasAttribute('download')) return;
  if (/^\/(assets|pictures|api\/1)\//.test(link.pathname)) return;
  event.preventDefault();
  if (link.href !== location.href) enter(link.href);
  arrived();
}
