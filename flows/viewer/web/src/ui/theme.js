// Light or dark: the theme of the system, until the user chooses.

const KEY = 'actlas-theme';

/** @returns {'light' | 'dark'} */
export function theme() {
  return (
    /** @type {any} */ (document.documentElement.dataset.theme) ??
    (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')
  );
}

export function restoreTheme() {
  const saved = readSaved();
  if (saved) document.documentElement.dataset.theme = saved;
  // Canvases are painted in the colours of the theme, so they must follow the system as well.
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    if (!document.documentElement.dataset.theme) dispatchEvent(new Event('themechange'));
  });
}

/** Switch between light and dark. */
export function toggleTheme() {
  const next = theme() === 'dark' ? 'light' : 'dark';
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // Without storage, the choice lasts until the page is closed.
  }
  dispatchEvent(new Event('themechange'));
}

function readSaved() {
  try {
    const saved = localStorage.getItem(KEY);
    return saved === 'light' || saved === 'dark' ? saved : null;
  } catch {
    return null;
  }
}

/** Return a colour of the theme. @param {string} name */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Whether animation is unwanted. */
export const reducedMotion = () => matchMedia('(prefers-reduced-motion: reduce)').matches;
