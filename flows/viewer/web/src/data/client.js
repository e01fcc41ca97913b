// Ask for data and name pictures: from the server, or from the scripts and files of an export.

import { keyOf, packOf } from './packing.js';
import { request } from './transport.js';

/** @typedef {import('./packing.js').Parameters} Parameters */

/** The run that is looked at. @type {About | null} */
let run = null;

/** Answers that were asked for, by version and key. @type {Map<string, Promise<any>>} */
const asked = new Map();

/** What scripts of an export have put here. @type {Map<string, any>} */
const put = new Map();

/** Pictures that came with an answer of an export. @type {Map<string, string>} */
const pictures = new Map();

/** Answers that are kept; the one that was not wanted for longest goes first. */
const REMEMBERED = 400;

const exported = () => window.ACTLAS ?? null;

/** What the viewer answers when too many ask at once, and the milliseconds after which it is asked once more. */
const BUSY = 429;
const AGAIN = 1500;

/** Has the viewer not answered? Once it does again, pictures that did not come are asked for anew. */
let silent = false;

/** Something that went wrong, in words for people. */
export class Failed extends Error {
  /** @param {string} message @param {number} status */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

window.actlas = (answers, more) => {
  for (const [key, answer] of Object.entries(answers)) put.set(key, answer);
  for (const [name, address] of Object.entries(more)) pictures.set(name, address);
};

/** Called with the number of a version that was published meanwhile. @type {(number: number) => void} */
let announce = () => {};

/** @param {(number: number) => void} told */
export function whenPublished(told) {
  announce = told;
}

/** Is there a server that can be asked anything? */
export const live = () => !exported();

/** The versions before this one, the latest first. @param {About} about */
export const earlierVersions = (about) =>
  live() ? about.versions.filter((version) => version < about.version).reverse() : [];

/** The latest version of each run, as the list of runs told it last. @type {Map<string, number>} */
const latest = new Map();

/** The runs of the store. @returns {Promise<{ runs: RunRow[] }>} */
export async function runs() {
  const found = /** @type {{ runs: RunRow[] }} */ (await fetched('/api/1/runs'));
  for (const row of found.runs) {
    if (latest.get(row.name) !== row.version) asked.delete(`about ${row.name}@current`);
    latest.set(row.name, row.version);
  }
  return found;
}

/** Open a version of a run: what is asked from now on is asked of it. @param {string} name @param {number | null} version @returns {Promise<About>} */
export async function open(name, version) {
  const file = exported();
  if (file) {
    if (file.name !== name || (version && version !== file.version)) {
      throw new Failed(
        `These files hold ${file.name}@${file.version}, not ${name}${version ? `@${version}` : ''}: actlas view ${name}${version ? `@${version}` : ''} shows it.`,
        404,
      );
    }
    run = file.about;
    return run;
  }
  if (run && run.name === name && (version === null ? run.version >= (latest.get(name) ?? 0) : version === run.version))
    return run;
  run = await peek(name, version);
  return run;
}

/** What is known of a version that need not be the open one. @param {string} name @param {number | null} version @returns {Promise<About>} */
export function peek(name, version) {
  const file = exported();
  if (file && file.name === name) return Promise.resolve(file.about);
  return once(`about ${name}@${version ?? 'current'}`, () =>
    fetched(`/api/1/runs/${encodeURIComponent(name)}/${version ?? 'current'}`),
  );
}

/**
 * Ask one question of the open run, or of another.
 * @param {string} kind
 * @param {Parameters} [parameters]
 * @param {About | null} [of]
 * @returns {Promise<any>}
 */
export function ask(kind, parameters = {}, of = run) {
  if (exported() && /\D/.test(String(parameters.of ?? '0')))
    return numbered(String(parameters.of)).then((index) => ask(kind, { ...parameters, of: index }, of));
  const key = keyOf(kind, parameters, of);
  return once(`${of?.name}@${of?.tag} ${key}`, () =>
    exported() ? script(key) : fetched(`/api/1/runs/${place(of)}/${kind}${search(parameters)}`),
  );
}

/** The number of a class of an export by its name, or a part of it before a comma. @param {string} name */
async function numbered(name) {
  const { names } = /** @type {{ names: string[] }} */ (await ask('classes'));
  const low = name.trim().toLowerCase();
  const found = names.findIndex(
    (known) => known.toLowerCase() === low || known.toLowerCase().split(', ').includes(low),
  );
  if (found < 0)
    throw new Failed(`These files hold no map of a class called “${name}”; actlas view asks for any.`, 404);
  return found;
}

/** Is there a map of a class? An export has those that are among the first of some cell. @param {number} index */
export const mapped = (index) => exported()?.mapped.includes(index) ?? true;

/** What was asked for a moment ago, or is asked for now; what went wrong is asked for again. @param {string} key @param {() => Promise<any>} get */
function once(key, get) {
  let answer = asked.get(key);
  if (!answer) {
    answer = get();
    answer.catch(() => asked.delete(key));
  }
  asked.delete(key);
  asked.set(key, answer);
  for (const oldest of asked.keys()) if (asked.size > REMEMBERED) asked.delete(oldest);
  return answer;
}

/** The address of a picture of the open run, or of another. @param {string} kind @param {Parameters} parameters @param {About | null} [of] */
export function picture(kind, parameters, of = run) {
  if (!exported()) return `/pictures/${place(of)}/${kind}${search(parameters)}`;
  const key = keyOf(kind, parameters, of);
  return pictures.get(key) ?? `pictures/${key}.webp`;
}

/**
 * Send a picture and ask a question about it. Who goes away by `leaving` gives it up.
 * @param {'locate' | 'explain'} kind
 * @param {Parameters} parameters
 * @param {Blob} image
 * @param {AbortSignal} leaving
 * @returns {Promise<any>}
 */
export function send(kind, parameters, image, leaving) {
  const body = new Blob([image], { type: 'application/octet-stream' });
  return fetched(`/api/1/runs/${place()}/${kind}${search(parameters)}`, { method: 'POST', body, signal: leaving });
}

/**
 * Ask what the model must be asked of a unit. Who goes away by `leaving` ends it, if nobody else waits.
 * @param {'links' | 'facets' | 'gradients'} kind
 * @param {Parameters} parameters
 * @param {AbortSignal} [leaving]
 * @returns {Promise<any>}
 */
export function study(kind, parameters, leaving) {
  const address = `/api/1/runs/${place()}/${kind}${search(parameters)}`;
  return once(address, () => fetched(address, { method: 'POST', signal: leaving }));
}

/** `photos/7-c902a294-1f0c7b22`: a run, its version with its hash, and the software that answers. @param {About | null} [of] */
function place(of = run) {
  if (!of) throw new Failed('No run is open.', 0);
  return `${encodeURIComponent(of.name)}/${of.address}`;
}

/** @param {Parameters} parameters */
function search(parameters) {
  const text = new URLSearchParams(Object.entries(parameters).map(([name, value]) => [name, String(value)])).toString();
  return text ? `?${text}` : '';
}

/** @param {string} address @param {RequestInit} [how] */
export async function fetched(address, how = {}) {
  let answer;
  try {
    answer = await request(address, how);
    if (answer.status === BUSY && answer.headers.has('Retry-After'))
      answer = await pause(AGAIN, how.signal).then(() => request(address, how));
  } catch (error) {
    if (how.signal?.aborted) throw error;
    silent = true;
    throw new Failed('The viewer does not answer. Is `actlas view` still running?', 0);
  }
  if (silent) {
    silent = false;
    dispatchEvent(new Event('answersagain'));
  }
  const current = Number(answer.headers.get('Actlas-Current'));
  if (run && current > Math.max(run.version, ...run.versions) && address.includes(`/${encodeURIComponent(run.name)}/`))
    announce(current);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Failed(body.error ?? `The viewer answered ${answer.status}.`, answer.status);
  return body;
}

/** @param {number} milliseconds @param {AbortSignal | null | undefined} leaving @returns {Promise<void>} */
function pause(milliseconds, leaving) {
  return new Promise((resolve, reject) => {
    const clock = setTimeout(resolve, milliseconds);
    leaving?.addEventListener(
      'abort',
      () => {
        clearTimeout(clock);
        reject(leaving.reason);
      },
      { once: true },
    );
  });
}

/** Load a script of an export, which puts its answers here. @param {string} key @returns {Promise<any>} */
function script(key) {
  if (put.has(key)) return Promise.resolve(put.get(key));
  return new Promise((resolve, reject) => {
    const element = document.createElement('script');
    element.src = `data/${packOf(key)}.js`;
    element.onload = () => {
      element.remove();
      if (put.has(key)) resolve(put.get(key));
      else reject(new Failed(`This is not among the exported files: actlas view ${exported()?.name} shows it.`, 404));
    };
    element.onerror = () =>
      reject(new Failed(`This is not among the exported files: actlas view ${exported()?.name} shows it.`, 404));
    document.head.append(element);
  });
}
