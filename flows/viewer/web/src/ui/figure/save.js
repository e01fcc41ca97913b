// Saving a figure: a dialog that shows it, and saves it as PNG of four sizes or as SVG.

import { say } from '../announce.js';
import { failed, placeholder } from '../components.js';
import { fill, h, SIGNS, sign } from '../dom.js';
import { asPng, asSvg, drawn, sizeOf } from './figure.js';

/** @typedef {import('./figure.js').Figure} Figure */

const TIMES = [1, 2, 3, 4];

/** A button that lets the user save a figure. @param {() => Promise<Figure | null>} get null where there is nothing to save @param {string} [look] class of the button */
export function figureButton(get, look = 'tool') {
  const title = 'Save what is shown as a figure, with legend, address and citation';
  const attributes = { class: `${look} save-figure`, title, onclick: () => open(get) };
  return h('button', attributes, sign(SIGNS.save), h('span', {}, 'Save figure'));
}

/** @param {() => Promise<Figure | null>} get */
function open(get) {
  const back = /** @type {HTMLElement | null} */ (document.activeElement);
  const body = h('div', { class: 'figure-body' }, placeholder([0, 320]));
  const close = h(
    'button',
    { class: 'icon-button', 'aria-label': 'Close', title: 'Close (Esc)', onclick: () => dialog.close() },
    sign(SIGNS.close),
  );
  const heading = h('h1', { id: 'figure-title', class: 'panel-title' }, 'Save figure');
  const head = h('header', { class: 'panel-head' }, heading, close);
  const dialog = h('dialog', { class: 'help figure', 'aria-labelledby': 'figure-title' }, head, body);
  dialog.addEventListener('close', () => {
    dialog.remove();
    back?.focus();
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  show(body, get);
}

/** @param {HTMLElement} body @param {() => Promise<Figure | null>} get */
async function show(body, get) {
  try {
    const figure = await get();
    if (!figure) return fill(body, h('p', {}, 'There is no picture here to save yet.'));
    const [canvas, size] = [await drawn(figure, Math.min(2, devicePixelRatio || 1)), await sizeOf(figure)];
    canvas.className = 'figure-preview';
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `${figure.title}. ${figure.lead}`);
    const status = h('div', { class: 'small', role: 'status' });
    const pngs = TIMES.map((times) => {
      const words = `${size.width * times} × ${size.height * times}`;
      const save = () => keep(status, `${figure.name}.png`, () => asPng(figure, times));
      return choice(`PNG ${times}×`, words, save);
    });
    const svg = choice('SVG', 'vectors and text', () => keep(status, `${figure.name}.svg`, () => asSvg(figure)));
    fill(
      body,
      h('div', { class: 'figure-choices', role: 'group', 'aria-label': 'Save as' }, ...pngs, svg),
      status,
      canvas,
    );
  } catch (error) {
    fill(
      body,
      failed(error, () => show(body, get)),
    );
  }
}

/** @param {string} words @param {string} more @param {() => void} onclick */
const choice = (words, more, onclick) =>
  h('button', { class: 'button', onclick }, h('span', {}, words), h('span', { class: 'num quiet small' }, more));

/** Hand a file to the browser, which keeps it where it keeps downloads. @param {HTMLElement} status @param {string} name @param {() => Promise<Blob>} make */
async function keep(status, name, make) {
  try {
    const address = URL.createObjectURL(await make());
    const link = h('a', { href: address, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    fill(status, `Saved as ${name}.`);
    say(`Saved as ${name}.`);
  } catch (error) {
    fill(status, failed(error));
  }
}
