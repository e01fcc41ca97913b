// In a notebook the page stands in a frame, and asks the kernel what it asks a server elsewhere.

/**
 * @typedef {object} Host
 * @property {(asked: { address: string, method: string, body: ArrayBuffer | null }) => Promise<{ status: number, headers: Record<string, string>, body: ArrayBuffer }>} ask
 * @property {(address: string) => void} went
 */

/** @returns {Host | null} */
function find() {
  try {
    return /** @type {any} */ (window.frameElement)?.actlas ?? null;
  } catch {
    return null;
  }
}

export const host = find();

/** Ask as `fetch` does. @param {string} address @param {RequestInit} [how] @returns {Promise<Response>} */
export async function request(address, how = {}) {
  if (!host) return fetch(address, how);
  const body = how.body instanceof Blob ? await how.body.arrayBuffer() : null;
  const answer = await host.ask({ address, method: how.method ?? 'GET', body });
  return new Response(answer.body, { status: answer.status, headers: answer.headers });
}
