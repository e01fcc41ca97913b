// A picture of one's own: chosen or dropped, looked at, and not kept.

import { h } from './dom.js';

export const NOT_TAKEN =
  'This viewer was started with --no-uploads: it takes no pictures. Start it without, and drop the picture again.';
export const NOT_HERE =
  'These are exported files without the model: nothing can be located in them. The viewer itself can:';

/** A hidden field for a file, and a button that opens it. @param {(file: File) => void} take */
export function ownFile(take) {
  const field = h('input', {
    type: 'file',
    accept: 'image/*',
    class: 'unseen',
    tabindex: -1,
    'aria-hidden': 'true',
    onchange: () => {
      const file = field.files?.[0];
      field.value = '';
      if (file) take(file);
    },
  });
  return { field, button: h('button', { class: 'button', onclick: () => field.click() }, 'Choose a file') };
}
