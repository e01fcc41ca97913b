// A menu of all versions of all runs.

import { live, runs } from '../../data/client.js';
import { h } from '../../ui/dom.js';

/** @param {About} chosen @param {string} words @param {(name: string, version: number) => void} choose */
export function pick(chosen, words, choose) {
  const select = h(
    'select',
    {
      class: 'pick',
      'aria-label': words,
      onchange: () => {
        const at = select.value.lastIndexOf('@');
        choose(select.value.slice(0, at), Number(select.value.slice(at + 1)));
      },
    },
    h('option', { value: `${chosen.name}@${chosen.version}` }, `${chosen.name} @ ${chosen.version}`),
  );
  if (live()) offerAll(select, chosen).catch(() => {});
  return select;
}

/** @param {HTMLSelectElement} select @param {About} chosen */
async function offerAll(select, chosen) {
  const { runs: rows } = await runs();
  const options = rows.flatMap(({ name, versions }) =>
    [...versions].reverse().map((version) => h('option', { value: `${name}@${version}` }, `${name} @ ${version}`)),
  );
  select.replaceChildren(...options);
  select.value = `${chosen.name}@${chosen.version}`;
}
