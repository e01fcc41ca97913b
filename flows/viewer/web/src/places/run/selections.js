// Selections: of what a run is a selection, and the commands that make atlases of some of its samples.

import { ask, live } from '../../data/client.js';
import { classAtlas, labelAtlas } from '../../data/commands.js';
import { bestMatches } from '../../data/match.js';
import { href } from '../../state/address.js';
import { Combobox } from '../../ui/combobox.js';
import { command, section } from '../../ui/components.js';
import { fill, h } from '../../ui/dom.js';
import { count, many } from '../../ui/format.js';

const MOST = 8;

/** What a selection is by, in the order of a command. */
const OPTIONS = ['class', 'against', 'strongest', 'where'];

/** Say of what a run is a selection, by what, and how much was selected. @param {import('../../state/address.js').State} state @param {About} about */
export function source(state, about) {
  const { selection } = about;
  if (!selection) return null;
  const { of, version, by, images, of_images: all, layers } = selection;
  const address = href({ ...state, place: 'run', name: of, version, what: '', query: {} });
  const options = OPTIONS.filter((name) => name in by).map((name) => `--${name} ${by[name]}`);
  const rows = about.layers.map(({ name }) => {
    const row = layers[name];
    return h('li', {}, `${name}: ${count(row.samples)} of ${many(row.of, 'sample')}`, beside(row));
  });
  return section(
    'A selection',
    h(
      'p',
      {},
      'The samples of ',
      live() ? h('a', { href: address }, `${of}@${version}`) : `${of}@${version}`,
      options.length > 0 ? [' selected by ', h('code', {}, options.join(' '))] : ', all of them',
      `: from ${count(images)} of ${many(all, 'image')}. Its units, with their patches, are those of that run.`,
    ),
    h('ul', { class: 'plain' }, ...rows),
    by.against && h('p', {}, `From left to right: ${by.against} to ${by.class}, each sample by its rank.`),
  );
}

/** @param {{ attributed?: number, unsure?: number }} row */
function beside({ attributed, unsure }) {
  if (attributed === undefined) return '';
  const known = `; the classes of ${count(attributed)} are stored`;
  return unsure ? `${known}, and ${count(unsure)} others might speak for it as much` : known;
}

/** Offer atlases of a class, of two, and of a label. @param {About} about */
export function offer(about) {
  const attributed = about.layers.some(({ grids }) => grids.some(({ has }) => has.includes('attribution')));
  if (!attributed && !about.labels) return null;
  return section(
    'Atlas of a part',
    h('p', { class: 'quiet small' }, 'Its stored samples are laid out again; no image passes through the model again.'),
    attributed && ofClasses(about),
    about.labels > 0 && ofLabel(about),
  );
}

/** @param {About} about */
function ofClasses(about) {
  const shown = h('div', { 'aria-live': 'polite' });
  /** @type {(string | undefined)[]} */
  const chosen = [undefined, undefined];
  const choose = (/** @type {number} */ i) => (/** @type {string} */ name) => {
    chosen[i] = name;
    fill(shown, chosen[0] && command(classAtlas(about, chosen[0], chosen[1])));
  };
  const first = classField('atlas-class', 'Class', choose(0));
  const second = classField('atlas-against', 'Against (if you like)', choose(1));
  return h('div', {}, h('div', { class: 'tools' }, first, second), shown);
}

/** @param {string} id @param {string} words @param {(name: string) => void} choose */
function classField(id, words, choose) {
  const box = new Combobox({
    id: `${id}-found`,
    label: `${words}: classes found`,
    none: 'No match.',
    field: { id, class: 'field' },
    find: async (text) =>
      bestMatches((await ask('classes')).names, text)
        .slice(0, MOST)
        .map(option),
  });
  const option = (/** @type {{ name: string }} */ { name }) => ({
    words: name,
    act: () => {
      box.input.value = name;
      choose(name);
    },
  });
  return h('div', { class: 'class-field' }, h('label', { class: 'quiet small', for: id }, words), box.input, box.list);
}

/** @param {About} about */
function ofLabel(about) {
  const shown = h('div', { 'aria-live': 'polite' });
  const field = h('input', {
    id: 'atlas-label',
    type: 'search',
    class: 'field',
    maxlength: 200,
    oninput: () => fill(shown, field.value.trim() && command(labelAtlas(about, field.value.trim()))),
  });
  const label = h('label', { class: 'quiet small', for: 'atlas-label' }, 'Label');
  return h('div', {}, h('div', { class: 'class-field' }, label, field), shown);
}
