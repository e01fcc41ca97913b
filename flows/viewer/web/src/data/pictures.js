// Where pictures come from: their address; in a notebook, the kernel, when they come into view.

import { host, request } from './transport.js';

const KEPT = 600;

/** @type {Map<string, Promise<string>>} */
const fetched = new Map();

/** Let an image show what is at an address. @param {HTMLImageElement} image @param {string} address */
export function show(image, address) {
  if (!host || !address.startsWith('/pictures/')) {
    image.src = address;
    return;
  }
  image.dataset.source = address;
  const load = () =>
    local(address).then(
      (there) => {
        if (image.dataset.source === address) image.src = there;
      },
      () => image.dispatchEvent(new Event('error')),
    );
  queueMicrotask(() => (image.loading === 'lazy' ? whenInView(image, load) : load()));
}

/** Ask once more for the pictures that did not come. */
export function askAgain() {
  for (const image of document.images)
    if (image.complete && !image.naturalWidth && image.src) show(image, image.dataset.source ?? image.src);
}

/** Let an element have a picture behind it. @param {HTMLElement} element @param {string} address */
export function behind(element, address) {
  const put = (/** @type {string} */ there) => {
    element.style.backgroundImage = `url("${there}")`;
  };
  if (host && address.startsWith('/pictures/'))
    queueMicrotask(() => whenInView(element, () => local(address).then(put, () => {})));
  else put(address);
}

/** How OpenSeadragon gets its tiles, where not by their address. */
export const tiles = host
  ? {
      downloadTileStart: (/** @type {any} */ context) => {
        const image = new Image();
        image.onload = () => context.finish(image, null, 'image');
        image.onerror = () => context.fail('this tile did not come', null);
        local(context.src).then(
          (there) => {
            image.src = there;
          },
          () => context.fail('this tile did not come', null),
        );
      },
      downloadTileAbort: () => {},
    }
  : {};

/** An address of this page's own for a picture of the kernel. @param {string} address */
function local(address) {
  const found =
    fetched.get(address) ??
    request(address).then(async (answer) => {
      if (!answer.ok) throw new Error(`no picture: ${answer.status}`);
      return URL.createObjectURL(await answer.blob());
    });
  found.catch(() => fetched.delete(address));
  fetched.set(address, found);
  for (const [oldest, there] of fetched) {
    if (fetched.size <= KEPT) break;
    fetched.delete(oldest);
    there.then(
      (known) => URL.revokeObjectURL(known),
      () => {},
    );
  }
  return found;
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
