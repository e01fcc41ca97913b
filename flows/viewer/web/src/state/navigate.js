// Navigation: the only way to change the address.

import { host } from '../data/transport.js';
import { format, hashed, here } from './address.js';
import { changeEntry, pushEntry } from './scroll_memory.js';

/** @typedef {{ replace?: boolean, quiet?: boolean }} Options  quiet: write the address without showing it */

/** @type {() => void} */
let show = () => {};

/** Listen for changes of the address. @param {() => void} act */
export function onNavigate(act) {
  show = act;
  addEventListener('popstate', () => {
    changeEntry();
    show();
  });
  addEventListener('hashchange', () => {
    changeEntry();
    host?.went(location.hash.slice(1));
    show();
  });
  document.addEventListener('click', followLink);
}

/** Go to a state that differs from the current one. @param {Partial<import('./address.js').State>} change @param {Options} [options] */
export function go(change, options = {}) {
  const state = { ...here(), ...change };
  const address = hashed() ? `#${format(state)}` : format(state);
  const same = hashed() ? location.hash === address : location.pathname + location.search === address;
  if (!same) host?.went(format(state));
  if (!same) pushEntry(address, options.replace);
  if (!options.quiet) show();
}

/** Change query parameters; null removes one. @param {Record<string, string | null>} parameters @param {Options} [options] */
export function setQuery(parameters, options) {
  const query = { ...here().query };
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null) delete query[name];
    else query[name] = value;
  }
  go({ query }, options);
}

/** Follow a link within the page without reloading it. @param {MouseEvent} event */
function followLink(event) {
  if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || hashed()) return;
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  if (!link || link.target || link.origin !== location.origin || link.hasAttribute('download')) return;
  if (/^\/(assets|pictures|api\/1)\//.test(link.pathname)) return;
  event.preventDefault();
  if (link.href !== location.href) pushEntry(link.href);
  show();
}
