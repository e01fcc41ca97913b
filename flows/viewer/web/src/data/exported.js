// An export: the run in its files, whose scripts register their answers here.

import { actlas } from './commands.js';
import { RequestError } from './http.js';
import { packOf } from './packing.js';

/** @type {Map<string, any>} */
const answers = new Map();

/** Pictures that came with an answer. @type {Map<string, string>} */
const pictures = new Map();

window.actlas = (more, images) => {
  for (const [key, answer] of Object.entries(more)) answers.set(key, answer);
  for (const [name, address] of Object.entries(images)) pictures.set(name, address);
};

/** Return what the export holds, null where a server answers. */
export const exported = () => window.ACTLAS ?? null;

/** Return the run of an export. @param {Exported} file @param {string} name @param {number | null} version */
export function exportedRun(file, name, version) {
  if (file.name === name && (!version || version === file.version)) return file.about;
  const run = version ? `${name}@${version}` : name;
  const message = `These files hold ${file.name}@${file.version}, not ${run}. The viewer shows that:`;
  throw new RequestError(message, 404, actlas(file.about, 'view', run));
}

/** Return the address of a picture. @param {string} key */
export const exportedPicture = (key) => pictures.get(key) ?? `pictures/${key}.webp`;

/** Return an answer, loading the script that holds it. @param {string} key @returns {Promise<any>} */
export function exportedAnswer(key) {
  if (answers.has(key)) return Promise.resolve(answers.get(key));
  return new Promise((resolve, reject) => {
    const message = 'This is not among the exported files. The viewer shows it:';
    const fail = () => reject(new RequestError(message, 404, exported()?.about.commands.view));
    const element = document.createElement('script');
    element.src = `data/${packOf(key)}.js`;
    element.onload = () => {
      element.remove();
      if (answers.has(key)) resolve(answers.get(key));
      else fail();
    };
    element.onerror = fail;
    document.head.append(element);
  });
}
