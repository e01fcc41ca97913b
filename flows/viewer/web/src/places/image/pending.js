// What stands on the page of an image while the model works: the photo, at once, and what is being waited for.

import { loadModel } from '../../data/client.js';
import { fetchAnswer, RequestError } from '../../data/http.js';
import { showPicture } from '../../data/pictures.js';
import { h } from '../../ui/dom.js';
import { computing, modelLoaded } from '../../ui/waiting.js';

const LOADING = 'The model is loading (up to half a minute) …';

export class Pending {
  /** @param {AbortSignal} closing */
  constructor(closing) {
    this.status = h('p', { class: 'quiet waiting-words', role: 'status' }, LOADING);
    this.loaded = false;
    const done = () => {
      this.loaded = true;
      modelLoaded();
      this.#say();
    };
    // An error of loading comes again with the answer that needs the model.
    loadModel(closing).then(done, () => {});
  }

  #say() {
    this.status.textContent = this.loaded ? computing('explain') : LOADING;
  }

  /** Return the photo, and what is being waited for. @param {HTMLElement} photo */
  element(photo) {
    this.#say();
    return h('div', { class: 'pending' }, photo, h('div', { class: 'waiting' }, this.status));
  }
}

/** The status of an answer from which on the fault is the viewer's own. */
const FAULT = 500;

/** Whether the viewer failed, not what was asked of it. @param {unknown} error */
export const isFault = (error) => error instanceof RequestError && error.status >= FAULT;

/** Keep the photo where the model failed, and say why. @param {HTMLElement} photo @param {unknown} error @param {boolean} loaded whether the model was loaded @param {() => void} again */
export function photoAlone(photo, error, loaded, again) {
  const reason = String(/** @type {Error} */ (error).message).replace(/\.$/, '');
  const words = `The model could not ${loaded ? 'answer' : 'be loaded'}, so only the photo is shown: ${reason}.`;
  const button = h('button', { class: 'button', onclick: again }, 'Try again');
  return h('div', { class: 'pending failed', role: 'alert' }, photo, h('p', {}, words), button);
}

/** Wait until a photo is shown. Throws what the viewer says where it is gone, so that the model is not asked about it. @param {HTMLImageElement} photo @param {string} address */
export async function arrival(photo, address) {
  const shown = await new Promise((resolve) => {
    photo.addEventListener('load', () => resolve(true), { once: true });
    photo.addEventListener('error', () => resolve(false), { once: true });
    if (photo.complete && photo.src) resolve(photo.naturalWidth > 0);
  });
  if (shown) return;
  await fetchAnswer(address);
  showPicture(photo, address);
}
