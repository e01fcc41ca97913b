// The units of a layer: a picture of each, sorted and filtered.

import { href, versionOf } from '../../state/address.js';
import { been } from '../../state/scroll_memory.js';
import { ask, earlierVersions, live, peek } from '../../data/client.js';
import { fill, h } from '../../ui/dom.js';
import { count, many, number } from '../../ui/format.js';
import { turn } from '../../state/navigate.js';
import { say, title } from '../../ui/announce.js';
import { command, coming, face } from '../../ui/components.js';

const CHUNK = 160;
const OFFERED = 6;
const short = (/** @type {string} */ name) => name.split(',')[0];
const ORDERS = /** @type {[string, string][]} */ ([
  ['unit', 'number'],
  ['max', 'strongest patch'],
  ['few', 'fewest labels'],
  ['many', 'most labels'],
  ['ratio', 'picture against patch'],
]);

export class UnitsPlace {
  /** @param {{ root: HTMLElement, about: About }} place */
  constructor({ root, about }) {
    this.root = root;
    this.about = about;
    this.layer = '';
  }

  /** @param {import('../../state/address.js').State} state */
  async update(state) {
    const layer = /** @type {LayerFacts} */ (this.about.layers.find((known) => known.name === state.what));
    title('units', layer.name, `${this.about.name}@${this.about.version}`);
    if (this.layer !== layer.name) this.#frame(layer);
    this.layer = layer.name;
    const body = /** @type {HTMLElement} */ (this.body);
    if (this.filter && document.activeElement !== this.filter) this.filter.value = state.query.label ?? '';
    const sort = state.query.sort ?? 'unit';
    await coming(
      body,
      async () => {
        const columns = /** @type {UnitColumns} */ (await ask('units', { layer: layer.name }));
        return { columns, asked: await measured(layer.name, state.query.class ? `class:${state.query.class}` : sort) };
      },
      ({ columns, asked }) => this.#draw(state, layer, columns, state.query.class ? 'class' : sort, asked),
      [0, 400],
    );
    await this.#offer(state, layer);
  }

  /** Ask for the unit that the others are sorted by. */
  #ask() {
    const field = /** @type {HTMLInputElement} */ (this.number);
    field.hidden = false;
    field.focus();
  }

  /** Offer the classes whose name has what was typed; name the one that is chosen. @param {import('../../state/address.js').State} state @param {LayerFacts} layer */
  async #offer(state, layer) {
    const box = /** @type {HTMLElement} */ (this.classes);
    fill(box);
    const { class: chosen, label } = state.query;
    if (!this.about.classes || this.about.missing.attribution || (!chosen && !label)) return;
    const { names } = /** @type {{ names: string[] }} */ (await ask('classes').catch(() => ({ names: [] })));
    const all = h('button', { class: 'link', onclick: () => turn({ class: null }) }, 'All units');
    if (chosen)
      return fill(
        box,
        `The units that go with “${short(names[Number(chosen)] || chosen)}” over the cells of ${layer.name}, those that speak for it first. `,
        all,
      );
    const found = names
      .map((name, index) => ({ name, index }))
      .filter(({ name }) => name.toLowerCase().includes(label.toLowerCase()))
      .slice(0, OFFERED);
    if (found.length)
      fill(
        box,
        h('span', { class: 'quiet' }, 'Classes: '),
        ...found.map(({ name, index }) =>
          h(
            'button',
            { class: 'link', onclick: () => turn({ class: String(index), label: null, sort: null }) },
            short(name),
          ),
        ),
      );
  }

  /** @param {LayerFacts} layer */
  #frame(layer) {
    const sort = h('select', {
      id: 'sort',
      onchange: () =>
        sort.value === 'like' ? this.#ask() : turn({ sort: sort.value === 'unit' ? null : sort.value, class: null }),
    });
    this.number = h('input', {
      type: 'number',
      class: 'field number',
      min: 0,
      max: layer.units - 1,
      hidden: true,
      placeholder: 'Unit',
      'aria-label': 'The unit that others are compared with',
      onchange: () => this.number?.value && turn({ sort: `like:${Number(this.number.value)}`, class: null }),
    });
    this.sort = sort;
    this.filter = h('input', {
      type: 'search',
      class: 'field',
      placeholder: 'Label or class',
      'aria-label': 'Only units whose strongest patches have this label; or a class, by which they are sorted',
      maxlength: 200,
      spellcheck: 'false',
      oninput: () => turn({ label: this.filter?.value.trim() || null }, { replace: true }),
    });
    this.classes = h('p', { class: 'small classes' });
    this.told = h('p', { class: 'quiet small', role: 'status' });
    this.body = h('div');
    fill(
      this.root,
      h(
        'div',
        { class: 'page wide' },
        h(
          'header',
          { class: 'page-head' },
          h('h1', { class: 'title' }, `Units of ${layer.name}`),
          h(
            'div',
            { class: 'tools' },
            h('label', { class: 'tool', for: 'sort' }, h('span', { class: 'quiet' }, 'Sort by'), sort),
            this.number,
            this.filter,
          ),
        ),
        this.classes,
        this.told,
        this.body,
      ),
    );
  }

  /** @param {import('../../state/address.js').State} state @param {LayerFacts} layer @param {UnitColumns} columns @param {string} sort @param {(number | null)[] | null} likeness */
  #draw(state, layer, columns, sort, likeness) {
    const chosen = /** @type {HTMLSelectElement} */ (this.sort);
    const orders = ORDERS.filter(([name]) => name !== 'ratio' || columns.ratio);
    const drifts = /** @type {[string, string][]} */ (
      earlierVersions(this.about).map((version) => [`drift:${this.about.name}@${version}`, `drift since @ ${version}`])
    );
    const options = [
      ...orders,
      ...drifts,
      ...(live() ? [/** @type {[string, string]} */ (['like', 'likeness to a unit …'])] : []),
    ];
    if (sort === 'class') options.push(['class', 'what speaks for a class']);
    if (likeness && sort !== 'class' && !options.some(([value]) => value === sort))
      options.push([sort, sort.startsWith('like:') ? `likeness to ${sort.slice(5)}` : `drift since ${sort.slice(6)}`]);
    fill(chosen, ...options.map(([value, words]) => h('option', { value }, words)));
    chosen.value = sort;
    const wanted = (state.query.label ?? '').toLowerCase();
    const units = order(columns, sort, likeness).filter(
      (unit) => !wanted || columns.top[unit].some(([label]) => columns.labels[label].toLowerCase().includes(wanted)),
    );
    const pictures = layer.has.includes('gallery')
      ? 'a picture optimised to excite it'
      : 'the middle of its strongest patch';
    fill(
      /** @type {HTMLElement} */ (this.told),
      wanted
        ? `${many(units.length, 'unit')} of ${count(columns.units)} whose strongest patches have “${state.query.label}”. `
        : '',
      `Each unit is shown by ${pictures}.`,
    );
    if (wanted) say(`${many(units.length, 'unit')} left`);
    const list = h('ol', { class: 'units' });
    const end = h('div', { class: 'end' });
    let shown = 0;
    const more = () => {
      list.append(...units.slice(shown, shown + CHUNK).map((unit) => tile(state, columns, unit, sort, likeness)));
      shown += CHUNK;
      if (shown >= units.length) watch.disconnect();
    };
    const watch = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more(), {
      root: this.root,
      rootMargin: '600px',
    });
    do more();
    while (shown < Math.min(units.length, been()?.shown ?? 0));
    if (shown < units.length) watch.observe(end);
    const none =
      !units.length &&
      h(
        'p',
        { class: 'quiet' },
        'No unit’s strongest patches have such a label. ',
        h('button', { class: 'link', onclick: () => turn({ label: null }) }, 'Show all units'),
      );
    const hint =
      !layer.has.includes('gallery') && this.about.missing.gallery
        ? h(
            'div',
            { class: 'missing section' },
            h('p', {}, 'This run has no pictures of its units yet. Make them:'),
            command(this.about.missing.gallery),
          )
        : null;
    return [none, list, end, hint];
  }
}

/** The values of an order that is asked for: likeness to a unit, drift since another version. @param {string} layer @param {string} sort @returns {Promise<(number | null)[] | null>} */
async function measured(layer, sort) {
  const [kind, of] = [sort.slice(0, sort.indexOf(':')), sort.slice(sort.indexOf(':') + 1)];
  if (kind === 'class') return (await ask('speaks', { layer, of })).correlation;
  if (kind === 'like' && /^\d{1,9}$/.test(of)) return (await ask('likeness', { layer, unit: Number(of) })).correlation;
  if (kind !== 'drift') return null;
  const { name, version } = versionOf(of);
  const old = await peek(name, version);
  return (await ask('moved', { layer, since: `${old.name}@${old.tag}` })).units.drift;
}

/** @param {UnitColumns} columns @param {string} sort @param {(number | null)[] | null} likeness */
function order(columns, sort, likeness) {
  const units = Array.from({ length: columns.units }, (_, unit) => unit);
  const values =
    likeness ??
    { max: columns.max, few: columns.different.map((n) => -n), many: columns.different, ratio: columns.ratio }[sort];
  if (!values) return units;
  return units.sort((a, b) => (values[b] ?? -Infinity) - (values[a] ?? -Infinity) || a - b);
}

/** @param {import('../../state/address.js').State} state @param {UnitColumns} columns @param {number} unit @param {string} sort @param {(number | null)[] | null} likeness */
function tile(state, columns, unit, sort, likeness) {
  const label = columns.top[unit][0];
  const words = label ? columns.labels[label[0]] : '';
  const shown = likeness
    ? likeness[unit]
    : sort === 'ratio'
      ? columns.ratio?.[unit]
      : sort === 'few' || sort === 'many'
        ? columns.different[unit]
        : columns.max[unit];
  return h(
    'li',
    {},
    h(
      'a',
      { href: href({ ...state, place: 'unit', what: `${columns.layer}:${unit}`, query: {} }) },
      face(columns.layer, unit, 88),
      h(
        'span',
        { class: 'unit-line' },
        h('span', { class: 'chip-name' }, String(unit)),
        h('span', { class: 'num quiet small' }, number(shown)),
      ),
      h('span', { class: 'unit-label quiet small' }, words),
    ),
  );
}
