// Matching names with a text, and fitting matches of several kinds into one short list.

/** The rows that each kind may take at least, so that none hides another. */
const EACH = 4;

/** The length of the list. */
export const MOST = 12;

/** Return the names that contain a text: matches early in the name first, then short names. @param {string[]} names @param {string} text */
export function bestMatches(names, text) {
  const low = text.toLowerCase();
  const matches = names
    .map((name, i) => ({ name, i, at: name.toLowerCase().indexOf(low) }))
    .filter(({ at }) => at >= 0);
  return matches.sort((a, b) => a.at - b.at || a.name.length - b.name.length);
}

/** Share the list among several kinds; room that one leaves goes to the others in order. @template T @param {T[][]} kinds */
export function fitRows(kinds) {
  const sizes = kinds.map((rows) => Math.min(rows.length, EACH));
  let room = MOST - sizes.reduce((sum, n) => sum + n, 0);
  kinds.forEach((rows, k) => {
    const more = Math.max(0, Math.min(rows.length - sizes[k], room));
    sizes[k] += more;
    room -= more;
  });
  return kinds.flatMap((rows, k) => rows.slice(0, sizes[k]));
}
