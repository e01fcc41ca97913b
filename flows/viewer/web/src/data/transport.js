// The transport of requests: the network, or in a notebook the kernel, through the frame that holds the page.

/**
 * @typedef {object} Host
 * @property {(request: { address: string, method: string, body: ArrayBuffer | null }) => Promise<{ status: number, headers: Record<string, string>, body: ArrayBuffer }>} ask
 * @property {(address: string) => void} went
 */

/** @returns {Host | null} */
function findHost() {
  try {
    return /** @type {any} */ (window.frameElement)?.actlas ?? null;
  } catch {
    return null;
  }
}

export const host = findHost();

/** Send a request as `fetch` does. @param {string} address @param {RequestInit} [options] @returns {Promise<Response>} */
export async function request(address, options = {}) {
  if (!host) return fetch(address, options);
  const body = options.body instanceof Blob ? await options.body.arrayBuffer() : null;
  const answer = await host.ask({ address, method: options.method ?? 'GET', body });
  return new Response(answer.body, { status: answer.status, headers: answer.headers });
}
