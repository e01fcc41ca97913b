// The interface for machines: what can be asked, read from its own description.

import { fetched, live } from '../data/client.js';
import { fill, h } from '../ui/dom.js';
import { title } from '../ui/announce.js';
import { coming, command } from '../ui/components.js';

const DESCRIPTION = '/api/1/openapi.json';

export class Api {
  /** @param {{ root: HTMLElement }} place */
  constructor({ root }) {
    this.root = root;
  }

  async update() {
    title('interface');
    const page = h('article', { class: 'page' });
    fill(this.root, page);
    if (!live())
      return fill(
        page,
        h('h1', { class: 'title' }, 'The interface'),
        h('p', {}, 'Exported files answer no questions. The viewer itself does, at /api:'),
        command('actlas view'),
      );
    await coming(
      page,
      () => fetched(DESCRIPTION),
      (/** @type {any} */ described) => [
        h('h1', { class: 'title' }, 'The interface'),
        h(
          'p',
          {},
          described.info.description,
          ' Its description for machines: ',
          h('a', { href: DESCRIPTION, target: '_blank' }, DESCRIPTION),
          '.',
        ),
        ...Object.entries(described.paths).flatMap(([path, methods]) =>
          Object.entries(/** @type {any} */ (methods)).map(([method, told]) => question(path, method, told)),
        ),
      ],
      [0, 300],
    );
  }
}

/** @param {string} path @param {string} method @param {any} told */
function question(path, method, told) {
  const asked = (told.parameters ?? []).filter((/** @type {any} */ one) => one.in === 'query');
  return h(
    'section',
    { class: 'section' },
    h('h2', {}, told.summary),
    h('p', {}, h('code', {}, `${method.toUpperCase()} ${path}`)),
    asked.length > 0 &&
      h(
        'p',
        { class: 'quiet small' },
        asked
          .map((/** @type {any} */ one) => `${one.name}${one.required ? '' : '?'}: ${one.schema.type ?? 'string'}`)
          .join(', '),
      ),
  );
}
