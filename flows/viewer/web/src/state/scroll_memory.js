// The scroll position of each history entry, restored when the user goes back to it.

/** @typedef {{ top: number, shown: number }} Scroll  how far it was scrolled, and how many rows of a gallery were loaded */

/** @type {Map<string, Scroll>} */
const scrolls = new Map();

/** Rows of galleries that load as the user scrolls. */
const ROWS = '.units > li, .images > li';

/** How long to wait for late content, in milliseconds. */
const TIMEOUT = 5000;

const newKey = () => Math.random().toString(36).slice(2);

/** The key of the current history entry. */
let entry = history.state?.entry ?? newKey();
history.replaceState({ entry }, '');

/** The scroll position of the current entry, if it was shown before. @type {Scroll | null} */
let saved = null;
let pending = false;

/** Save the scroll position of the current entry. */
function save() {
  const main = document.querySelector('main');
  if (main) scrolls.set(entry, { top: main.scrollTop, shown: main.querySelectorAll(ROWS).length });
}

/** Push a history entry, or replace the current one. @param {string} address @param {boolean} [replace] */
export function pushEntry(address, replace = false) {
  if (replace) return history.replaceState({ entry }, '', address);
  save();
  entry = newKey();
  saved = null;
  pending = false;
  history.pushState({ entry }, '', address);
}

/** Follow the browser to another history entry. */
export function changeEntry() {
  if (history.state?.entry === entry) return;
  save();
  entry = history.state?.entry ?? newKey();
  history.replaceState({ entry }, '');
  saved = scrolls.get(entry) ?? null;
  pending = saved !== null;
}

/** Return the saved scroll position of the current entry, if the user has gone back to it. */
export const savedScroll = () => saved;

/** Scroll to the saved position once the content is there, unless the user does something first. @param {HTMLElement} main */
export function restoreScroll(main) {
  const top = saved?.top ?? 0;
  const page = main.firstElementChild;
  if (!pending || !page) return;
  pending = false;
  const end = new AbortController();
  const stop = () => {
    watch.disconnect();
    clearTimeout(clock);
    end.abort();
  };
  const scroll = () => {
    main.scrollTop = top;
    if (main.scrollTop >= top - 1 || !page.isConnected) stop();
  };
  const watch = new ResizeObserver(scroll);
  const clock = setTimeout(stop, TIMEOUT);
  for (const event of ['wheel', 'pointerdown', 'keydown', 'touchstart']) {
    addEventListener(event, stop, { signal: end.signal, passive: true, capture: true });
  }
  watch.observe(page);
}
