// A picture that is dropped anywhere on the page is the place's that is shown, and never opened in the page's stead.

/** @typedef {(file: File) => void} Take */

/** Who takes it. @type {Take | null} */
let taker = null;

/** Take what is dropped from now on. @param {Take} take @returns {() => void} what ends that */
export function taking(take) {
  taker = take;
  return () => {
    if (taker === take) taker = null;
  };
}

/** Hand a picture to who takes it now. @param {File} file */
export const hand = (file) => taker?.(file);

/** Listen to the whole page. @param {() => Promise<void>} arrive goes where somebody takes pictures, from where nobody does */
export function whenDropped(arrive) {
  const over = (/** @type {boolean} */ is) => document.body.classList.toggle('dropping', is);
  const act = (/** @type {string} */ name, /** @type {(event: DragEvent) => void} */ does) =>
    document.addEventListener(name, (event) => {
      const dragged = /** @type {DragEvent} */ (event);
      if (!dragged.dataTransfer || isFile(dragged.dataTransfer)) does(dragged);
    });
  act('dragover', (event) => {
    event.preventDefault();
    over(true);
  });
  act('dragleave', (event) => {
    if (!event.relatedTarget) over(false);
  });
  act('drop', async (event) => {
    event.preventDefault();
    over(false);
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    if (!taker) await arrive();
    taker?.(file);
  });
}

/** Text may be dragged into a field as ever. @param {DataTransfer} dragged */
const isFile = (dragged) => dragged.types.includes('Files');
