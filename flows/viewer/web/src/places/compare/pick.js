// Which two: the versions of a run, and the other runs of the store.

import { live, runs } from '../../data/client.js';
import { h } from '../../ui/dom.js';

/** A choice among all versions of all runs. @param {About} chosen @param {string} words @param {(name: string, version: number) => void} take */
export function pick(chosen, words, take) {
  const select = h(
    'select',
    {
      class: 'pick',
      'aria-label': words,
      onchange: () => {
        const at = select.value.lastIndexOf('@');
        take(select.value.slice(0, at), Number(select.value.slice(at + 1)));
      },
    },
    h('option', { value: `${chosen.name}@${chosen.version}` }, `${chosen.name} @ ${chosen.version}`),
  );
  if (live())
    runs()
      .then((found) => {
        select.replaceChildren(
          ...found.runs.flatMap((run) =>
            [...run.versions]
              .reverse()
              .map((version) => h('option', { value: `${run.name}@${version}` }, `${run.name} @ ${version}`)),
          ),
        );
        select.value = `${chosen.name}@${chosen.version}`;
      })
      .catch(() => {});
  return select;
}
