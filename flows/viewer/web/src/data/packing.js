// How an export packs its answers: the key of an answer, and the script that holds it.

/** @typedef {Record<string, string | number>} Parameters */

/** How many images share a script, as flows/viewer/export.py writes them. */
const IMAGES = 500;

/** Return the key of a request, with the number of the layer. @param {string} kind @param {Parameters} parameters @param {About | null} of */
export function keyOf(kind, parameters, of) {
  const indexOf = (/** @type {string | number} */ name) => of?.layers.find((layer) => layer.name === name)?.index;
  const values = Object.entries(parameters).map(([name, value]) =>
    name === 'layer' ? (indexOf(value) ?? 'none') : encodeURIComponent(value),
  );
  return [kind, ...values].join('/');
}

/** Return the script that holds an answer. Answers that the page shows together share one. @param {string} key */
export function packOf(key) {
  const [kind, first, second, third] = key.split('/');
  if (kind === 'card') return `unit/${first}/${second}`;
  if (kind === 'map') return `unit/${first}/${third}`;
  if (kind === 'label') return `label/${first}/${second}`;
  if (['labels', 'details', 'names', 'tally', 'real_fidelity'].includes(kind)) return `cells/${first}/${second}`;
  if (kind === 'image') return `images/${Math.floor(Number(first) / IMAGES)}`;
  return key;
}
