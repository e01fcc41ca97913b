// Choosing a file from the user's disk, and why a viewer may not take one.

import { h } from './dom.js';

export const NO_UPLOADS =
  'This viewer was started with --no-uploads: it takes no pictures. Start it without, and drop the picture again.';
export const NO_MODEL =
  'These are exported files without the model: nothing can be located in them. The viewer itself can:';

/** Return a hidden file field, a function that opens it, and a button that does. @param {(file: File) => void} choose */
export function fileField(choose) {
  const field = h('input', {
    type: 'file',
    accept: 'image/*',
    class: 'unseen',
    tabindex: -1,
    'aria-hidden': 'true',
    onchange: () => {
      const file = field.files?.[0];
      field.value = '';
      if (file) choose(file);
    },
  });
  const open = () => field.click();
  return { field, open, button: h('button', { class: 'button', onclick: open }, 'Choose a file') };
}
