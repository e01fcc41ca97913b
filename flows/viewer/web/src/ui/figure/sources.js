// Where a figure is from: run and version, the address of what it shows, and how to cite it.

import { live } from '../../data/client.js';
import { host } from '../../data/transport.js';
import { format } from '../../state/address.js';
import { placeOf } from '../../state/places.js';

/** @typedef {import('./types.js').Figure} Figure */

/** The address of a figure: of the version that it shows, without the reader's token or folders. @param {Figure} figure */
export function addressOf({ state, of }) {
  const query = Object.fromEntries(Object.entries(state.query).filter(([name]) => name !== 'token'));
  const [one, other] = of;
  const pair = placeOf(state.place).needs === 'runs' && { other: `${other.name}@${other.version}` };
  const address = format({ ...state, name: one.name, version: one.version, query, ...pair });
  if (host) return address;
  if (live()) return `${location.origin}${address}`;
  const file = location.pathname.split('/').at(-1) || 'index.html';
  return location.protocol === 'file:' ? `${file}#${address}` : `${location.origin}${location.pathname}#${address}`;
}

/** What stands below a figure: run and version, address, citation. @param {Figure} figure */
export const sourcesOf = (figure) => [
  `${figure.of.map(({ name, version }) => `${name}@${version}`).join(' and ')} · ${addressOf(figure)}`,
  `Cite: ${figure.of.map(({ cite }) => cite.text).join(' ')} ${figure.of[0].cite.method}`,
];
