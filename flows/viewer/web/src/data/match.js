// Which names match a text, and how many rows of each kind there is room for.

/** Rows of each kind, so that none hides another: of the first only, more where others have fewer. */
const EACH = 4;
export const MOST = 12;

/** The classes whose names have a text: early in the name first, and short names before long ones. @param {string[]} names @param {string} text */
export function likest(names, text) {
  const hits = names
    .map((name, i) => ({ name, i, at: name.toLowerCase().indexOf(text.toLowerCase()) }))
    .filter((hit) => hit.at >= 0);
  return hits.sort((a, b) => a.at - b.at || a.name.length - b.name.length);
}

/** As many of each kind as there is room for: the rest of one that has few is for those that have more. @template T @param {T[][]} kinds */
export function shared(kinds) {
  const taken = kinds.map((rows) => Math.min(rows.length, EACH));
  let room = MOST - taken.reduce((sum, n) => sum + n, 0);
  kinds.forEach((rows, k) => {
    const more = Math.max(0, Math.min(rows.length - taken[k], room));
    taken[k] += more;
    room -= more;
  });
  return kinds.flatMap((rows, k) => rows.slice(0, taken[k]));
}
