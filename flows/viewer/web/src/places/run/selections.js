// Selections: of what a run is a selection, and the way to an atlas of some of its samples.

import { live } from '../../data/client.js';
import { given } from '../../data/commands.js';
import { href } from '../../state/address.js';
import { section } from '../../ui/components.js';
import { h } from '../../ui/dom.js';
import { count, many } from '../../ui/format.js';
import { searchButton } from '../../ui/name_chip.js';

/** What a selection is by, in the order of a command. */
const OPTIONS = ['class', 'against', 'strongest', 'where'];

/** Say of what a run is a selection, by what, and how much was selected. @param {import('../../state/address.js').State} state @param {About} about */
export function source(state, about) {
  const { selection } = about;
  if (!selection) return null;
  const { of, version, by, images, of_images: all, layers } = selection;
  const address = href({ ...state, place: 'run', name: of, version, what: '', query: {} });
  const options = OPTIONS.filter((name) => name in by).map((name) => given(`--${name}`, String(by[name])).join(' '));
  const rows = about.layers.map(({ name }) => {
    const row = layers[name];
    return h('li', {}, `${name}: ${count(row.samples)} of ${many(row.of, 'sample')}`, beside(row, 'where' in by));
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

/** @param {{ attributed?: number, unsure?: number }} row @param {boolean} narrowed */
function beside({ attributed, unsure }, narrowed) {
  if (attributed === undefined) return '';
  const known = `; the classes of ${count(attributed)}${narrowed ? ' that fit the condition' : ''} are stored`;
  return unsure ? `${known}, and ${count(unsure)} others might speak for it as much` : known;
}

/** Say how to make an atlas of a class, of two, or of a label. @param {About} about */
export function offer(about) {
  const attributed = about.layers.some(({ grids }) => grids.some(({ has }) => has.includes('attribution')));
  if (!attributed && !about.labels) return null;
  const names = [attributed && 'class', about.labels > 0 && 'label'].filter(Boolean).join(' or ');
  return section(
    'Atlas of a part',
    h(
      'p',
      {},
      `Show a ${names} on the map, alone or against another: below the map is the command that lays its samples out again. No image passes through the model again.`,
    ),
    h('p', {}, searchButton(`Name a ${names} …`, `Find a ${names} to show on the map`, `Type a ${names}`)),
  );
}
