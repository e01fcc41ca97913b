// Matching names with a text, and fitting matches of several kinds into one short list.

/** The rows that each kind may take, where there is room, so that none hides another. */
const EACH = 4;

/** The length of the list. */
export const MOST = 12;

/** Return the words of a text, in lower case. @param {string} text */
const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

/** Whether a name contains every word of a text, in any order. @param {string} name @param {string} text */
export function matches(name, text) {
  const low = name.toLowerCase();
  return wordsOf(text).every((word) => low.includes(word));
}

/** Return the names that contain every word of a text: matches of its first word early in the name first, then short names. @param {string[]} names @param {string} text */
export function bestMatches(names, text) {
  const [first = ''] = wordsOf(text);
  const found = names
    .map((name, i) => ({ name, i, at: name.toLowerCase().indexOf(first) }))
    .filter(({ name }) => matches(name, text));
  return found.sort((a, b) => a.at - b.at || a.name.length - b.name.length);
}

/** Words around the number of a unit that say nothing about its layer. */
const ABOUT_UNITS = /^(?:units?|of|in|meet|number)$/;

/**
 * Read the number of a unit, and words of its layer's name, as people write them: `36`, `unit 36`, `_blocks.10 36`,
 * `_blocks.10:36`, `unit 36 of _blocks.10`. The last number counts.
 * @param {string} text
 */
export function unitIn(text) {
  const parts = wordsOf(text.replace(/[:#](?=\s*\d+\s*$)/, ' ')).filter((word) => !ABOUT_UNITS.test(word));
  const at = parts.findLastIndex((word) => /^\d{1,9}$/.test(word));
  if (at < 0) return null;
  return { unit: Number(parts[at]), layer: parts.filter((_, i) => i !== at).join(' ') };
}

/** Share the list among several kinds; room that one leaves goes to the others in order. @template T @param {T[][]} kinds */
export function fitRows(kinds) {
  const found = kinds.filter((rows) => rows.length).length;
  const each = Math.min(EACH, Math.max(1, Math.floor(MOST / (found || 1))));
  const sizes = kinds.map((rows) => Math.min(rows.length, each));
  let room = MOST - sizes.reduce((sum, n) => sum + n, 0);
  kinds.forEach((rows, k) => {
    const more = Math.max(0, Math.min(rows.length - sizes[k], room));
    sizes[k] += more;
    room -= more;
  });
  return kinds.flatMap((rows, k) => rows.slice(0, sizes[k]));
}
