// Light or dark: as the system has it, until one says otherwise.

const KEY = 'actlas-theme';

/** @returns {'light' | 'dark'} */
export function theme() {
  return (
    /** @type {any} */ (document.documentElement.dataset.theme) ??
    (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')
  );
}

export function restore() {
  const kept = read();
  if (kept) document.documentElement.dataset.theme = kept;
  // Canvases are painted in the theme's colours: they must hear of the system's change, too.
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    if (!document.documentElement.dataset.theme) dispatchEvent(new Event('themechange'));
  });
}

/** Change between light and dark. @returns {string} the one it is now */
export function turn() {
  const next = theme() === 'dark' ? 'light' : 'dark';
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // A browser that keeps nothing: it holds until the page is left.
  }
  dispatchEvent(new Event('themechange'));
  return next;
}

function read() {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === 'light' || kept === 'dark' ? kept : null;
  } catch {
    return null;
  }
}

/** A colour of the theme. @param {string} name */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** May things move? */
export const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches;
