// Errors about the classes in the address, with a way out.

import { setQuery } from '../../state/navigate.js';
import { failed } from '../../ui/components.js';
import { h } from '../../ui/dom.js';

/** Explain an error; one about a class gets a button that removes the class. @param {unknown} error @param {() => void} again @param {import('../../state/address.js').State} state */
export function classError(error, again, { query }) {
  const message = error instanceof Error ? error.message : String(error);
  const { class: of = '', against = '' } = query;
  if ((of || against) && /is the class itself/.test(message)) {
    return withWayOut('A class cannot be compared with itself.', 'Compare with none', { against: null });
  }
  const unknown = [against, of].find((one) => one && message.includes(one.replace(/^class:/, ''))) ?? of;
  const words = unknown && sentence(unknown, message);
  return words ? withWayOut(words, 'Show the strongest class', { class: null, against: null }) : failed(error, again);
}

/** @param {string} unknown the class that the model does not have @param {string} message of the server */
function sentence(unknown, message) {
  if (/no class names/.test(message)) {
    return `The classes of this run have no names: “${unknown}” is none of their numbers.`;
  }
  if (!/has no class|write /.test(message)) return '';
  const nearest = message.split('; nearest: ')[1];
  return `The model has no class “${unknown}”${nearest ? `; nearest are ${nearest}` : ''}.`;
}

/** @param {string} words @param {string} label @param {Record<string, null>} change of the query */
function withWayOut(words, label, change) {
  const button = h('button', { class: 'button', onclick: () => setQuery(change) }, label);
  return h('div', { class: 'failed', role: 'alert' }, h('p', {}, words), button);
}
