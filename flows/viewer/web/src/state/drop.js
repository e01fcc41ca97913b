// Files dropped anywhere on the page: the current place takes them; the browser never opens them instead of the page.

/** @typedef {(file: File) => void} Handler */

/** @type {Handler | null} */
let handler = null;

/** Handle dropped files from now on. @param {Handler} handle @returns {() => void} a function that stops it */
export function onDrop(handle) {
  handler = handle;
  return () => {
    if (handler === handle) handler = null;
  };
}

/** Pass a file to the current handler, as if it had been dropped. @param {File} file */
export const drop = (file) => handler?.(file);

/** Listen to the whole page. @param {() => Promise<void>} goToHandler goes to a place that handles files, from one that does not */
export function listenForDrops(goToHandler) {
  const highlight = (/** @type {boolean} */ on) => document.body.classList.toggle('dropping', on);
  const listen = (/** @type {string} */ name, /** @type {(event: DragEvent) => void} */ act) =>
    document.addEventListener(name, (event) => {
      const drag = /** @type {DragEvent} */ (event);
      if (!drag.dataTransfer || hasFiles(drag.dataTransfer)) act(drag);
    });
  listen('dragover', (event) => {
    event.preventDefault();
    highlight(true);
  });
  listen('dragleave', (event) => {
    if (!event.relatedTarget) highlight(false);
  });
  listen('drop', async (event) => {
    event.preventDefault();
    highlight(false);
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    if (!handler) await goToHandler();
    handler?.(file);
  });
}

/** Whether files are dragged: text may still be dragged into a field. @param {DataTransfer} data */
const hasFiles = (data) => data.types.includes('Files');
