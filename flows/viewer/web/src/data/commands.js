// Commands about a run. Each names its store, so that it works in any folder; words are quoted for a shell.

/** Quote a word as a shell needs it. @param {string} word */
export const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

/** Return an actlas command on a store. @param {{ store: string }} of @param {...string} words */
export const actlas = ({ store }, ...words) => ['actlas', ...words, '--store', store].map(quoted).join(' ');

/** Return an option and its value: as one word where the value would be taken for an option. @param {string} name @param {string} value */
export const given = (name, value) => (value.startsWith('-') ? [`${name}=${value}`] : [name, value]);

/** Return a name for a run, of words of any kind. @param {...string} words */
export const runName = (...words) =>
  words
    .join('-')
    .normalize('NFKD')
    .replace(/[\u0300-\u036f'’]/g, '')
    .replace(/[^A-Za-z0-9_]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 60);

/** Return the command of an atlas of the samples that speak most for a class, or for one or the other of two. @param {About} about @param {string} of @param {string} [against] */
export const classAtlas = (about, of, against) => {
  const names = [of, ...(against ? [against] : [])];
  const words = [...given('--class', of), ...(against ? given('--against', against) : [])];
  return selection(
    about,
    words,
    names.map((name) => name.split(',')[0]),
  );
};

/** Return the command of an atlas of the samples of the images with one of these labels. @param {About} about @param {...string} labels */
export const labelAtlas = (about, ...labels) => {
  const texts = labels.map((label) => `'${label.replaceAll("'", "''")}'`);
  const where = texts.length === 1 ? `label = ${texts[0]}` : `label IN (${texts.join(', ')})`;
  return selection(about, ['--where', where], labels);
};

/** @param {About} about @param {string[]} words @param {string[]} names */
function selection({ select, name }, words, names) {
  const called = runName(...names) || 'selection';
  return [select, ...[...words, '--name', runName(name, called)].map(quoted)].join(' ');
}

/** Name a version. @param {About} about */
export const versionName = ({ name, version }) => `${name}@${version}`;
