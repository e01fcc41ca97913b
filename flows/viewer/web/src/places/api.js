// The API: its requests, read from its OpenAPI description.

import { fetchJson, live } from '../data/client.js';
import { exported } from '../data/exported.js';
import { fill, h } from '../ui/dom.js';
import { title } from '../ui/announce.js';
import { fillAsync, command } from '../ui/components.js';

const DESCRIPTION = '/api/1/openapi.json';

export class Api {
  /** @param {{ root: HTMLElement }} place */
  constructor({ root }) {
    this.root = root;
  }

  async update() {
    title('API');
    const page = h('article', { class: 'page' });
    fill(this.root, page);
    if (!live())
      return fill(
        page,
        h('h1', { class: 'title' }, 'The API'),
        h('p', {}, 'Exported files have no API. The viewer does, at /api:'),
        command(/** @type {Exported} */ (exported()).about.commands.view),
      );
    await fillAsync(
      page,
      () => fetchJson(DESCRIPTION),
      (/** @type {any} */ description) => [
        h('h1', { class: 'title' }, 'The API'),
        h(
          'p',
          {},
          description.info.description,
          ' Its OpenAPI description: ',
          h('a', { href: DESCRIPTION, target: '_blank' }, DESCRIPTION),
          '.',
        ),
        ...Object.entries(description.paths).flatMap(([path, methods]) =>
          Object.entries(/** @type {any} */ (methods)).map(([method, operation]) => section(path, method, operation)),
        ),
      ],
      [0, 300],
    );
  }
}

/** @param {string} path @param {string} method @param {any} operation */
function section(path, method, operation) {
  const parameters = (operation.parameters ?? []).filter((/** @type {any} */ one) => one.in === 'query');
  return h(
    'section',
    { class: 'section' },
    h('h2', {}, operation.summary),
    h('p', {}, h('code', {}, `${method.toUpperCase()} ${path}`)),
    parameters.length > 0 &&
      h(
        'p',
        { class: 'quiet small' },
        parameters
          .map((/** @type {any} */ one) => `${one.name}${one.required ? '' : '?'}: ${one.schema.type ?? 'string'}`)
          .join(', '),
      ),
  );
}
