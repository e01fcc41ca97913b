// Requests to the viewer, with its errors in words for the user.

import { request } from './transport.js';

/** The status of an answer when too many requests are waiting, and when to try again, in milliseconds. */
const BUSY = 429;
const RETRY_AFTER = 1500;

/** Whether the last request failed to reach the viewer. */
let silent = false;

export class RequestError extends Error {
  /** @param {string} message @param {number} status @param {string} [remedy] a command that would do */
  constructor(message, status, remedy = '') {
    super(message);
    this.status = status;
    this.remedy = remedy;
  }
}

/** Fetch JSON; return it with the headers of the answer. @param {string} address @param {RequestInit} [options] @returns {Promise<{ body: any, headers: Headers }>} */
export async function fetchAnswer(address, options = {}) {
  const answer = await reach(address, options);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new RequestError(body.error ?? `The viewer answered ${answer.status}.`, answer.status);
  return { body, headers: answer.headers };
}

/** Send a request, once more if the viewer is busy. @param {string} address @param {RequestInit} options */
async function reach(address, options) {
  let answer;
  try {
    answer = await request(address, options);
    if (answer.status === BUSY && answer.headers.has('Retry-After')) {
      await pause(RETRY_AFTER, options.signal);
      answer = await request(address, options);
    }
  } catch (error) {
    if (options.signal?.aborted) throw error;
    silent = true;
    throw new RequestError('The viewer does not answer. Is it still running?', 0);
  }
  // Pictures that failed to load meanwhile are loaded again.
  if (silent) dispatchEvent(new Event('answersagain'));
  silent = false;
  return answer;
}

/** @param {number} milliseconds @param {AbortSignal | null | undefined} signal @returns {Promise<void>} */
function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const clock = setTimeout(resolve, milliseconds);
    const stop = () => {
      clearTimeout(clock);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', stop, { once: true });
  });
}
