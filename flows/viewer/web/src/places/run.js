// The run: what it is made of, how good its icons are, what was left out, how to make it again, how to cite it.

import { href } from '../state/address.js';
import { ask, live } from '../data/client.js';
import { fill, h } from '../ui/dom.js';
import { count, day, many, number, percent } from '../ui/format.js';
import { title } from '../ui/announce.js';
import { coming, command, copy, missing, section } from '../ui/components.js';
import { plot } from '../ui/charts.js';

const BINS = 24;

/** @type {Record<string, string>} */
const WHAT = {
  attribution: 'The classes that each cell speaks for: class filter and class names on the map.',
  influence: 'The units that each unit drives, and is driven by.',
  gradients: 'What in its strongest patches drives each unit.',
  gallery: 'A picture of every unit.',
};

export class RunPlace {
  /** @param {{ root: HTMLElement, about: About }} place */
  constructor({ root, about }) {
    this.root = root;
    this.about = about;
    this.drawn = false;
  }

  /** @param {import('../state/address.js').State} state */
  update(state) {
    const { about } = this;
    title('run', `${about.name}@${about.version}`);
    if (this.drawn) return;
    this.drawn = true;
    const used = about.listed - Object.values(about.rejected).reduce((sum, n) => sum + n, 0);
    fill(
      this.root,
      h(
        'article',
        { class: 'page' },
        h('h1', { class: 'title' }, about.name, h('span', { class: 'quiet' }, ` @ ${about.version}`)),
        h(
          'p',
          { class: 'lead' },
          `${about.model} looked at ${many(used, 'image')} on ${day(about.published)}: ${many(about.layers.length, 'layer')}, ${many(
            about.layers.reduce((sum, layer) => sum + layer.units, 0),
            'unit',
          )}.`,
        ),
        h('div', { class: 'two' }, provenance(about, used), layers(state, about)),
        section('How far to trust the pictures', this.#quality()),
        Object.keys(about.missing).length > 0 &&
          section(
            'What this run does not have',
            ...Object.entries(about.missing).map(([stage, how]) =>
              h('div', { class: 'wanting' }, h('p', {}, h('b', {}, stage), ` ${WHAT[stage] ?? ''}`), command(how)),
            ),
          ),
        this.#libraries(),
        versions(state, about),
        section(
          'Make it again',
          ...Object.entries(about.commands).map(([, text]) => command(text)),
          Object.keys(about.settings).length > 0 &&
            h(
              'p',
              { class: 'quiet small' },
              `With a --config file that has: ${Object.entries(about.settings)
                .map(([name, value]) => `${name} = ${value}`)
                .join(', ')}.`,
            ),
        ),
        section(
          'Cite it',
          h('p', {}, about.cite.text),
          h('p', {}, `The method: ${about.cite.method}`),
          h(
            'button',
            {
              class: 'button',
              onclick: (/** @type {any} */ event) =>
                copy(`${about.cite.text}\n${about.cite.method}`, event.currentTarget),
            },
            'Copy',
          ),
        ),
        this.#rejects(),
      ),
    );
  }

  /** How far to trust the pictures of each layer: icons against their cells, cells against their samples, units' pictures against patches. */
  #quality() {
    const { about } = this;
    const box = h('div');
    const places = about.layers.filter(
      (layer) => layer.grids.some((grid) => grid.has.includes('icons')) || layer.has.includes('gallery'),
    );
    if (!places.length) return missing('This run has no icons yet.', about.commands.run);
    coming(
      box,
      () =>
        Promise.all(
          places.map(async (layer) => {
            const grid = layer.grids.filter((known) => known.has.includes('icons')).at(-1);
            return {
              layer,
              grid,
              cells: grid ? await ask('details', { layer: layer.name, grid: grid.grid }) : null,
              units: layer.has.includes('gallery') ? await ask('units', { layer: layer.name }) : null,
            };
          }),
        ),
      (found) => found.map(quality),
      [0, 160],
    );
    return box;
  }

  /** What computed it, as far as its results say. */
  #libraries() {
    const box = h('div');
    coming(
      box,
      () => ask('libraries'),
      (/** @type {Libraries} */ found) => {
        const rows = Object.entries(found.versions).map(([name, known]) =>
          h('div', {}, h('dt', {}, name), h('dd', {}, known.join(', '))),
        );
        if (!rows.length)
          return h(
            'p',
            { class: 'quiet' },
            'Not recorded: this run was made before versions were kept with what they made.',
          );
        return [
          h('dl', { class: 'libraries' }, ...rows),
          found.unrecorded > 0 &&
            h(
              'p',
              { class: 'quiet small' },
              `Not recorded for ${count(found.unrecorded)} of ${many(found.results, 'result')}, made before versions were kept.`,
            ),
        ];
      },
      [0, 96],
    );
    return section('Made with', box);
  }

  #rejects() {
    const { about } = this;
    const reasons = Object.entries(about.rejected);
    if (!reasons.length)
      return section('Images left out', h('p', {}, `None: all ${count(about.listed)} could be used.`));
    const body = h('div');
    const box = h(
      'details',
      {
        ontoggle: () =>
          box.open &&
          coming(
            body,
            () => ask('rejects'),
            (/** @type {Rejects} */ found) =>
              h(
                'ul',
                { class: 'plain' },
                ...found.first.map((row) => h('li', {}, h('code', {}, row.key), ` ${row.reason}`)),
              ),
          ),
      },
      h('summary', {}, 'Which'),
      body,
    );
    return section(
      'Images left out',
      h(
        'p',
        {},
        reasons.map(([reason, n]) => `${count(n)} ${reason}`).join(', '),
        `: ${percent(reasons.reduce((sum, [, n]) => sum + n, 0) / about.listed)} of all.`,
      ),
      box,
    );
  }
}

/** @param {About} about @param {number} used */
function provenance(about, used) {
  const config = Object.entries(about.config).filter(
    ([, value]) => value !== null && !(typeof value === 'object' && !Object.keys(/** @type {object} */ (value)).length),
  );
  const row = (/** @type {string} */ name, /** @type {string} */ value) => [h('dt', {}, name), h('dd', {}, value)];
  return section(
    'What it is made of',
    h(
      'dl',
      { class: 'facts wide' },
      ...row('model', about.model),
      ...row('input', about.input ? about.input.join(' × ') : '–'),
      ...row('images', about.images),
      ...row('used', `${count(used)} of ${count(about.listed)}`),
      ...row('labels', count(about.labels)),
      ...row('classes', count(about.classes)),
      ...row('published', day(about.published)),
      h('dt', {}, 'sha256'),
      h('dd', {}, h('code', {}, about.sha256)),
      ...Object.entries(about.fingerprints)
        .slice(-1)
        .flatMap(([layer, hash]) => [
          h(
            'dt',
            { title: `a hash of all weights that ${layer} depends on, and of how images are prepared` },
            'weights',
          ),
          h('dd', {}, h('code', {}, hash.slice(0, 32)), ` up to ${layer}`),
        ]),
      ...config
        .filter(([name]) => !['model', 'layers', 'images'].includes(name))
        .flatMap(([name, value]) => row(name, Array.isArray(value) ? value.join(', ') : String(value))),
    ),
  );
}

/** What was published before and since. @param {import('../state/address.js').State} state @param {About} about */
function versions(state, about) {
  if (about.history.length < 2) return null;
  return section(
    'Versions',
    h(
      'table',
      { class: 'table versions' },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ...['version', 'published', 'images', 'weights', 'what moved'].map((name, i) =>
            h('th', { scope: 'col', class: i === 2 ? 'num' : '' }, name),
          ),
        ),
      ),
      h(
        'tbody',
        {},
        ...about.history.map((row) =>
          h(
            'tr',
            {},
            h(
              'td',
              {},
              h(
                'a',
                {
                  href: href({ ...state, version: row.version }),
                  'aria-current': row.version === about.version ? 'page' : null,
                },
                `@ ${row.version}`,
              ),
            ),
            h('td', {}, day(row.published)),
            h('td', { class: 'num' }, count(row.images)),
            h('td', { class: 'quiet' }, row.weights ?? 'the model’s own'),
            h(
              'td',
              {},
              live() &&
                row.version !== about.version &&
                h(
                  'a',
                  { href: compared(state, about, row.version) },
                  row.version < about.version ? 'since then' : 'until then',
                ),
            ),
          ),
        ),
      ),
    ),
  );
}

/** @param {import('../state/address.js').State} state @param {About} about @param {number} other */
function compared(state, about, other) {
  const [old, now] = [other, about.version].sort((a, b) => a - b);
  return href({ ...state, place: 'compare', version: old, other: `${about.name}@${now}`, what: '', query: {} });
}

/** @param {import('../state/address.js').State} state @param {About} about */
function layers(state, about) {
  return section(
    'Layers',
    h(
      'table',
      { class: 'table' },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ...['layer', 'units', 'positions', 'focus', 'cells'].map((name, i) =>
            h('th', { scope: 'col', class: i ? 'num' : '' }, name),
          ),
        ),
      ),
      h(
        'tbody',
        {},
        ...about.layers.map((layer) =>
          h(
            'tr',
            {},
            h('td', {}, h('a', { href: href({ ...state, place: 'atlas', what: layer.name, query: {} }) }, layer.name)),
            h('td', { class: 'num' }, count(layer.units)),
            h('td', { class: 'num' }, `${layer.height} × ${layer.width}`),
            h('td', { class: 'num' }, layer.focus ? `${number(layer.focus)} px` : '–'),
            h('td', { class: 'num' }, layer.grids.map((grid) => count(grid.cells)).join(', ')),
          ),
        ),
      ),
    ),
  );
}

/** @param {{ layer: LayerFacts, grid: GridFacts | undefined, cells: CellDetails | null, units: UnitColumns | null }} of */
function quality({ layer, grid, cells, units }) {
  const weak = (cells?.weak ?? []).filter(Boolean).length;
  return section(
    grid ? `${layer.name}, ${grid.grid} × ${grid.grid}` : layer.name,
    h(
      'div',
      { class: 'columns' },
      cells && spread(cells.cosine ?? [], 1, 'Fidelity of icons', `; ${many(weak, 'weak icon')}`),
      cells && spread(cells.spread, null, 'Spread of cells', ', in lengths of their means'),
      units?.ratio && spread(units.ratio, null, 'Pictures of units', ' × the strongest patch'),
    ),
  );
}

/** How many of something have which value, from 0 to `high` or to the largest. @param {Maybe[]} all @param {number | null} high @param {string} name @param {string} more */
function spread(all, high, name, more) {
  const values = /** @type {number[]} */ (all.filter((value) => value !== null)).sort((a, b) => a - b);
  const last = high ?? values.at(-1) ?? 1;
  const bins = new Array(BINS).fill(0);
  for (const value of values) bins[Math.max(0, Math.min(BINS - 1, Math.floor((value / (last || 1)) * BINS)))] += 1;
  const words = `${name}: median ${number(values[Math.floor(values.length / 2)])} of ${count(values.length)}${more}`;
  return h('div', {}, plot(bins, 0, last, words), h('p', { class: 'quiet small' }, `${words}.`));
}
