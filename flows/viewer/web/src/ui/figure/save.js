// Saving a figure: a dialog that shows it, and saves it as PNG of four sizes or as SVG.

import { say } from '../announce.js';
import { failed, placeholder } from '../components.js';
import { fill, h, SIGNS, sign } from '../dom.js';
import { asPng, asSvg, drawn, sizeOf } from './figure.js';
import { SHAPES } from './layout.js';

/** @typedef {import('./types.js').Figure} Figure */

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
    // Unless a key has moved the focus since: this comes after the dialog has closed.
    if (document.activeElement === document.body) back?.focus();
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  show(body, get);
}

/** The shape that was chosen last. @type {import('./layout.js').Shape} */
let shape = 'page';

/** @param {HTMLElement} body @param {() => Promise<Figure | null>} get */
async function show(body, get) {
  try {
    const figure = await get();
    if (!figure) return fill(body, h('p', {}, 'There is no picture here to save yet.'));
    const status = h('div', { class: 'figure-status small', role: 'status' });
    const choices = h('div', { class: 'figure-choices', role: 'group', 'aria-label': 'Save as' });
    const preview = h('div');
    const draw = () => offer(figure, choices, status, preview);
    await draw();
    fill(body, shapes(draw), choices, status, preview);
  } catch (error) {
    fill(
      body,
      failed(error, () => show(body, get)),
    );
  }
}

/** The choice of the shape. @param {() => Promise<void>} draw */
function shapes(draw) {
  const buttons = SHAPES.map(([name, words]) => {
    const choose = () => {
      shape = name;
      mark();
      draw();
    };
    return h('button', { class: 'link way', 'data-shape': name, onclick: choose }, words);
  });
  const mark = () =>
    buttons.forEach((button) => button.setAttribute('aria-pressed', String(button.dataset.shape === shape)));
  mark();
  const name = h('span', { class: 'quiet' }, 'Shape');
  return h('div', { class: 'figure-shapes small', role: 'group', 'aria-label': 'Shape' }, name, ...buttons);
}

/** Show a figure in the chosen shape, with its files. @param {Figure} figure @param {HTMLElement} choices @param {HTMLElement} status @param {HTMLElement} preview */
async function offer(figure, choices, status, preview) {
  const chosen = shape;
  const canvas = await drawn(figure, chosen, Math.min(2, devicePixelRatio || 1));
  const { width, height } = await sizeOf(figure, chosen);
  if (chosen !== shape) return;
  canvas.className = 'figure-preview';
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', `${figure.title}. ${figure.lead}`);
  const pngs = TIMES.map((times) => {
    const words = `${width * times} × ${height * times}`;
    const save = () => keep(status, `${figure.name}.png`, () => asPng(figure, chosen, times));
    return choice(`PNG ${times}×`, words, save);
  });
  const svg = choice('SVG', 'vectors and text', () => keep(status, `${figure.name}.svg`, () => asSvg(figure, chosen)));
  fill(choices, ...pngs, svg);
  fill(status, 'Choose a size; the browser saves it among its downloads.');
  fill(preview, canvas);
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
