// Commands about a run. Each names its store, so that it works in any folder; words are quoted for a shell.

/** Quote a word as a shell needs it. @param {string} word */
export const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

/** Return an actlas command on a store. @param {{ store: string }} of @param {...string} words */
export const actlas = ({ store }, ...words) => ['actlas', ...words, '--store', store].map(quoted).join(' ');

/** Name a version. @param {About} about */
export const versionName = ({ name, version }) => `${name}@${version}`;
