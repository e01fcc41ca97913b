// Where one was in a place, by entry of the history: back leads there again.

/** @typedef {{ top: number, shown: number }} Been  how far it was scrolled, and how many of a gallery were shown */

/** @type {Map<string, Been>} */
const left = new Map();

/** What has rows that come as one goes on. */
const ROWS = '.units > li, .images > li';

/** Milliseconds after which what has not come is waited for no longer. */
const PATIENCE = 5000;

const stamp = () => Math.random().toString(36).slice(2);

/** The entry of the history that is shown. */
let entry = history.state?.entry ?? stamp();
history.replaceState({ entry }, '');

/** What it was left like, if it was shown before. @type {Been | null} */
let back = null;
let due = false;

/** Remember what the entry that is shown is left like. */
function leave() {
  const main = document.querySelector('main');
  if (main) left.set(entry, { top: main.scrollTop, shown: main.querySelectorAll(ROWS).length });
}

/** Make an entry, in place of the one that is shown or after it. @param {string} address @param {boolean} [replace] */
export function enter(address, replace = false) {
  if (replace) return history.replaceState({ entry }, '', address);
  leave();
  entry = stamp();
  back = null;
  due = false;
  history.pushState({ entry }, '', address);
}

/** The browser has gone to an entry. */
export function came() {
  if (history.state?.entry === entry) return;
  leave();
  entry = history.state?.entry ?? stamp();
  history.replaceState({ entry }, '');
  back = left.get(entry) ?? null;
  due = back !== null;
}

/** What the entry that is shown was left like, where somebody has gone back to it. */
export const been = () => back;

/** Once it is drawn, scroll to where it was left; what comes late is waited for, unless somebody goes on meanwhile. @param {HTMLElement} main */
export function backTo(main) {
  const top = back?.top ?? 0;
  const page = main.firstElementChild;
  if (!due || !page) return;
  due = false;
  const done = new AbortController();
  const stop = () => {
    watch.disconnect();
    clearTimeout(clock);
    done.abort();
  };
  const reach = () => {
    main.scrollTop = top;
    if (main.scrollTop >= top - 1 || !page.isConnected) stop();
  };
  const watch = new ResizeObserver(reach);
  const clock = setTimeout(stop, PATIENCE);
  for (const act of ['wheel', 'pointerdown', 'keydown', 'touchstart'])
    addEventListener(act, stop, { signal: done.signal, passive: true, capture: true });
  watch.observe(page);
}
