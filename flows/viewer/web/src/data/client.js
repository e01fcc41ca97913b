// Data and pictures of runs, from the server or from an export.

import { exported, exportedAnswer, exportedPicture, exportedRun } from './exported.js';
import { fetchAnswer, RequestError } from './http.js';
import { keyOf } from './packing.js';

/** @typedef {import('./packing.js').Parameters} Parameters */

/** The open run. @type {About | null} */
let run = null;

/** Recent answers by version and key, the least recently used first. @type {Map<string, Promise<any>>} */
const cache = new Map();

/** The size of the cache. */
const CACHED = 400;

/** The latest version of each run, as last listed. @type {Map<string, number>} */
const latest = new Map();

/** Called with the name of a run and the number of its newly published version. @type {(name: string, version: number) => void} */
let published = () => {};

/** Listen for newly published versions of the open run. @param {(name: string, version: number) => void} act */
export function onPublished(act) {
  published = act;
}

/** Whether there is a server to ask. */
export const live = () => !exported();

/** Return the versions before this one, the latest first. @param {About} about */
export const earlierVersions = (about) =>
  live() ? about.versions.filter((version) => version < about.version).reverse() : [];

/** List the runs of the store. @returns {Promise<Runs>} */
export async function runs() {
  const list = /** @type {Runs} */ (await fetchJson('/api/1/runs'));
  for (const row of list.runs) {
    if (latest.get(row.name) !== row.version) cache.delete(`about ${row.name}@current`);
    latest.set(row.name, row.version);
  }
  return list;
}

/** Describe the latest version of the run that was published last, null where the store has none. @returns {Promise<About | null>} */
export async function latestRun() {
  const { runs: rows } = live() ? await runs() : { runs: [] };
  const [last] = [...rows].sort((a, b) => b.published.localeCompare(a.published));
  return last ? peek(last.name, null) : null;
}

/** The open run, if there is one. */
export const openedRun = () => run;

/** Open a version of a run: later requests are about it. @param {string} name @param {number | null} version @returns {Promise<About>} */
export async function openRun(name, version) {
  const file = exported();
  const open = run?.name === name && isOpen(run, version);
  if (file) run = exportedRun(file, name, version);
  else if (!open) run = await peek(name, version);
  return /** @type {About} */ (run);
}

/** Whether a version is the open one; without a number, whether no later one is known. @param {About} about @param {number | null} version */
const isOpen = (about, version) =>
  version === null ? about.version >= (latest.get(about.name) ?? 0) : about.version === version;

/** Describe a version without opening it. @param {string} name @param {number | null} version @returns {Promise<About>} */
export function peek(name, version) {
  const file = exported();
  if (file && file.name === name) return Promise.resolve(file.about);
  const wanted = version ?? 'current';
  return cached(`about ${name}@${wanted}`, () => fetchJson(`/api/1/runs/${encodeURIComponent(name)}/${wanted}`));
}

/**
 * Request an answer about the open run, or about another.
 * @param {string} kind
 * @param {Parameters} [parameters]
 * @param {About | null} [of]
 * @returns {Promise<any>}
 */
export function ask(kind, parameters = {}, of = run) {
  if (!live() && /\D/.test(String(parameters.of ?? '0'))) {
    return classNumber(String(parameters.of)).then((index) => ask(kind, { ...parameters, of: index }, of));
  }
  const key = keyOf(kind, parameters, of);
  const get = () => (live() ? fetchJson(addressOf(kind, parameters, of)) : exportedAnswer(key));
  return cached(`${of?.name}@${of?.tag} ${key}`, get);
}

/** Return the number of an export's class, from its name or one of its synonyms. @param {string} text */
async function classNumber(text) {
  const { names } = /** @type {{ names: string[] }} */ (await ask('classes'));
  const low = text.trim().toLowerCase();
  const number = names.findIndex((name) => [name, ...name.split(', ')].some((one) => one.toLowerCase() === low));
  if (number >= 0) return number;
  throw new RequestError(`These files hold no map of a class called “${text}”; the viewer knows all.`, 404);
}

/** Whether there is a map of a class. An export has those that are among the first of some cell. @param {number} index */
export const hasClassMap = (index) => exported()?.mapped.includes(index) ?? true;

/** Return a cached answer, or request it; failures are not cached. @param {string} key @param {() => Promise<any>} get */
function cached(key, get) {
  let answer = cache.get(key);
  if (!answer) {
    answer = get();
    answer.catch(() => cache.delete(key));
  }
  cache.delete(key);
  cache.set(key, answer);
  for (const oldest of cache.keys()) if (cache.size > CACHED) cache.delete(oldest);
  return answer;
}

/** Return the address of a picture of the open run, or of another. @param {string} kind @param {Parameters} parameters @param {About | null} [of] */
export function picture(kind, parameters, of = run) {
  if (!live()) return exportedPicture(keyOf(kind, parameters, of));
  return `/pictures/${versionPath(of)}/${kind}${queryOf(parameters)}`;
}

/**
 * Send an image to the model.
 * @param {'locate' | 'explain'} kind
 * @param {Parameters} parameters
 * @param {Blob} image
 * @param {AbortSignal} signal cancels the request
 * @returns {Promise<any>}
 */
export function send(kind, parameters, image, signal) {
  const body = new Blob([image], { type: 'application/octet-stream' });
  return fetchJson(addressOf(kind, parameters, run), { method: 'POST', body, signal });
}

/** Load the model that explains images; resolves once it is loaded. @param {AbortSignal} signal @returns {Promise<Loaded>} */
export const loadModel = (signal) => fetchJson(addressOf('load', {}, run), { method: 'POST', signal });

/**
 * Ask the model about a unit.
 * @param {'links' | 'facets' | 'gradients'} kind
 * @param {Parameters} parameters
 * @param {AbortSignal} [signal] cancels the request; the model stops once no other client waits for the answer
 * @returns {Promise<any>}
 */
export function askModel(kind, parameters, signal) {
  const address = addressOf(kind, parameters, run);
  return cached(address, () => fetchJson(address, { method: 'POST', signal }));
}

/** @param {string} kind @param {Parameters} parameters @param {About | null} of */
const addressOf = (kind, parameters, of) => `/api/1/runs/${versionPath(of)}/${kind}${queryOf(parameters)}`;

/** Return a run with its version, its hash and the hash of the software: `photos/7-c902a294-1f0c7b22`. @param {About | null} of */
function versionPath(of) {
  if (!of) throw new RequestError('No run is open.', 0);
  return `${encodeURIComponent(of.name)}/${of.address}`;
}

/** @param {Parameters} parameters */
function queryOf(parameters) {
  const entries = Object.entries(parameters).map(([name, value]) => [name, String(value)]);
  const text = new URLSearchParams(entries).toString();
  return text ? `?${text}` : '';
}

/** Fetch JSON, and notice when a newer version of the open run is published. @param {string} address @param {RequestInit} [options] */
export async function fetchJson(address, options) {
  const { body, headers } = await fetchAnswer(address, options);
  const current = Number(headers.get('Actlas-Current'));
  const about = run && address.includes(`/${encodeURIComponent(run.name)}/`) ? run : null;
  if (about && current > Math.max(about.version, ...about.versions)) published(about.name, current);
  return body;
}
