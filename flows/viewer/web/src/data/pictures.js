// Loading pictures: by address, or in a notebook from the kernel once they come into view.

import { host, request } from './transport.js';

/** How many pictures of the kernel are kept. */
const KEPT = 600;

/** @type {Map<string, Promise<string>>} */
const cache = new Map();

/** Show a picture in an image element. @param {HTMLImageElement} image @param {string} address */
export function showPicture(image, address) {
  if (!host || !address.startsWith('/pictures/')) {
    image.src = address;
    return;
  }
  image.dataset.source = address;
  const load = () =>
    blobAddress(address).then(
      (blob) => {
        if (image.dataset.source === address) image.src = blob;
      },
      () => image.dispatchEvent(new Event('error')),
    );
  queueMicrotask(() => (image.loading === 'lazy' ? whenInView(image, load) : load()));
}

/** Backgrounds that failed to load, by element. @type {Map<HTMLElement, () => void>} */
const lostBackgrounds = new Map();

/** Tell the page that a picture failed to load. */
const lose = () => dispatchEvent(new Event('picturelost'));

document.addEventListener('error', (event) => event.target instanceof HTMLImageElement && lose(), { capture: true });

/** Load again the pictures that failed. */
export function retryPictures() {
  for (const [element, load] of lostBackgrounds) if (element.isConnected) load();
  lostBackgrounds.clear();
  for (const image of document.images) {
    if (image.complete && !image.naturalWidth && image.src) showPicture(image, image.dataset.source ?? image.src);
  }
}

/** Return an address for a picture in base64. @param {string} text @param {string} type */
export function decodedPicture(text, type) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type }));
}

/** Show a picture as the background of an element. @param {HTMLElement} element @param {string} address */
export function setBackground(element, address) {
  const set = (/** @type {string} */ source) => {
    element.style.backgroundImage = `url("${source}")`;
  };
  const load = () => blobAddress(address).then(set, () => {});
  if (host && address.startsWith('/pictures/')) return queueMicrotask(() => whenInView(element, load));
  const probe = new Image();
  const fetchIt = () => {
    probe.src = '';
    probe.src = address;
  };
  probe.onload = () => set(address);
  probe.onerror = () => {
    if (!probe.getAttribute('src')) return;
    lostBackgrounds.set(element, fetchIt);
    lose();
  };
  probe.src = address;
  set(address);
}

/** Options that make OpenSeadragon load tiles from the kernel. */
export const tiles = host
  ? {
      downloadTileStart: (/** @type {any} */ context) => {
        const image = new Image();
        const fail = () => context.fail('this tile failed to load', null);
        image.onload = () => context.finish(image, null, 'image');
        image.onerror = fail;
        blobAddress(context.src).then((blob) => {
          image.src = blob;
        }, fail);
      },
      downloadTileAbort: () => {},
    }
  : {};

/** Load a picture from the kernel; return an address for it in this page. @param {string} address */
function blobAddress(address) {
  const blob =
    cache.get(address) ??
    request(address).then(async (answer) => {
      if (!answer.ok) throw new Error(`no picture: ${answer.status}`);
      return URL.createObjectURL(await answer.blob());
    });
  blob.catch(() => cache.delete(address));
  cache.set(address, blob);
  for (const [oldest, old] of cache) {
    if (cache.size <= KEPT) break;
    cache.delete(oldest);
    old.then(URL.revokeObjectURL, () => {});
  }
  return blob;
}

/** @param {Element} element @param {() => void} act */
function whenInView(element, act) {
  const watch = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      act();
    },
    { rootMargin: '200px' },
  );
  watch.observe(element);
}
