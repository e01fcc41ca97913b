// How the answers of an export are packed: the key of an answer, and the script that holds it.

/** @typedef {Record<string, string | number>} Parameters */

/** Images whose facts are one script of an export, as flows/viewer/export.py has it. */
const TOGETHER = 500;

/** What a question is called among the files of an export: layers by their number. @param {string} kind @param {Parameters} parameters @param {About | null} of */
export function keyOf(kind, parameters, of) {
  const values = Object.entries(parameters).map(([name, value]) =>
    name === 'layer' ? (of?.layers.find((layer) => layer.name === value)?.index ?? 'none') : encodeURIComponent(value),
  );
  return [kind, ...values].join('/');
}

/** The script of an export that holds an answer: what is shown together lies together. @param {string} key */
export function packOf(key) {
  const [kind, layer, second, third] = key.split('/');
  if (kind === 'card') return `unit/${layer}/${second}`;
  if (kind === 'map') return `unit/${layer}/${third}`;
  if (kind === 'labels' || kind === 'details') return `cells/${layer}/${second}`;
  if (kind === 'image') return `images/${Math.floor(Number(layer) / TOGETHER)}`;
  return key;
}
