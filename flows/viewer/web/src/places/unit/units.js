// The units of a layer, with a picture of each; they can be sorted and filtered.

import { href, versionOf } from '../../state/address.js';
import { savedScroll } from '../../state/scroll_memory.js';
import { ask, earlierVersions, peek } from '../../data/client.js';
import { sortable, sorted, UNIT, valuesOf } from '../../data/metrics.js';
import { matches } from '../../data/match.js';
import { fill, h } from '../../ui/dom.js';
import { count, many, number } from '../../ui/format.js';
import { setQuery } from '../../state/navigate.js';
import { say, title } from '../../ui/announce.js';
import { fillAsync, face, lacks } from '../../ui/components.js';
import { nameChip, searchButton } from '../../ui/name_chip.js';
import { byChance, within } from './chance.js';

const CHUNK = 160;
const short = (/** @type {string} */ name) => name.split(',')[0];

export class UnitsPlace {
  /** @param {{ root: HTMLElement, about: About }} place */
  constructor({ root, about }) {
    this.root = root;
    this.about = about;
    this.layer = '';
  }

  /** @param {import('../../state/address.js').State} state */
  async update(state) {
    const layer = /** @type {LayerFacts} */ (this.about.layers.find((facts) => facts.name === state.what));
    title('units', layer.name, `${this.about.name}@${this.about.version}`);
    if (this.layer !== layer.name) this.#frame(layer);
    this.layer = layer.name;
    const body = /** @type {HTMLElement} */ (this.body);
    const sort = state.query.sort ?? 'unit';
    await fillAsync(
      body,
      async () => {
        const columns = /** @type {UnitColumns} */ (await ask('units', { layer: layer.name }));
        const metric = await requestMetric(layer.name, state.query.class ? `class:${state.query.class}` : sort);
        const chance = state.query.class ? await ask('speaks', { layer: layer.name, of: state.query.class }) : null;
        return { columns, metric, chance };
      },
      ({ columns, metric, chance }) =>
        this.#draw(state, layer, columns, state.query.class ? 'class' : sort, metric, chance),
      [0, 400],
    );
    await this.#name(state, layer);
  }

  /** Name the label or class that filters or sorts the units. @param {import('../../state/address.js').State} state @param {LayerFacts} layer */
  async #name(state, layer) {
    const box = /** @type {HTMLElement} */ (this.names);
    const { class: chosen, label } = state.query;
    if (label)
      return fill(
        box,
        nameChip(label, () => setQuery({ label: null })),
      );
    fill(box);
    if (!chosen || !this.about.classes || this.about.missing.attribution) return;
    const { names } = /** @type {{ names: string[] }} */ (await ask('classes').catch(() => ({ names: [] })));
    const all = h('button', { class: 'link', onclick: () => setQuery({ class: null }) }, 'All units');
    const name = short(names[Number(chosen)] || chosen);
    fill(box, `Units that correlate with “${name}” over the cells of ${layer.name}, the strongest first. `, all);
  }

  /** @param {LayerFacts} layer */
  #frame(layer) {
    const sort = h('select', {
      id: 'sort',
      onchange: () => setQuery({ sort: sort.value === 'unit' ? null : sort.value, class: null }),
    });
    this.sort = sort;
    this.names = h('p', { class: 'small classes' });
    this.summary = h('p', { class: 'quiet small', role: 'status' });
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
            searchButton(
              'By label, class or unit …',
              'Find a label or class to choose units by, or a unit to compare with',
              'Label, class or unit',
            ),
          ),
        ),
        this.names,
        this.summary,
        this.body,
      ),
    );
  }

  /** @param {import('../../state/address.js').State} state @param {LayerFacts} layer @param {UnitColumns} columns @param {string} sort @param {(number | null)[] | null} metric @param {Speaks | null} chance */
  #draw(state, layer, columns, sort, metric, chance) {
    const chosen = /** @type {HTMLSelectElement} */ (this.sort);
    const metrics = sortable(layer.has, UNIT);
    const orders = metrics.flatMap((metric) => metric.orders.map((order) => ({ metric, order })));
    const named = orders.map(({ order }) => /** @type {[string, string]} */ ([order.name, order.words]));
    const drifts = /** @type {[string, string][]} */ (
      earlierVersions(this.about).map((version) => [`drift:${this.about.name}@${version}`, `drift since @ ${version}`])
    );
    /** @type {[string, string][]} */
    const options = [['unit', 'number'], ...named, ...drifts];
    if (sort === 'class') options.push(['class', 'correlation with a class']);
    if (metric && sort !== 'class' && !options.some(([value]) => value === sort))
      options.push([
        sort,
        sort.startsWith('like:') ? `similarity to ${sort.slice(5)}` : `drift since ${sort.slice(6)}`,
      ]);
    fill(chosen, ...options.map(([value, words]) => h('option', { value }, words)));
    chosen.value = sort;
    const label = state.query.label ?? '';
    const by = orders.find(({ order }) => order.name === sort);
    const shown = metric ?? valuesOf(columns, by?.metric ?? UNIT[0]);
    const ranking = metric || by ? (shown ?? []) : [];
    const units = sorted(columns.units, ranking, by?.order.first ?? 'high').filter(
      (unit) => !label || columns.top[unit].some(([i]) => matches(columns.labels[i], label)),
    );
    const pictures = layer.has.includes('gallery')
      ? 'a picture optimised to excite it'
      : 'the middle of its strongest patch';
    const labelled = columns.labels.length
      ? ' The word is the label that stands out most among its strongest patches, if one does.'
      : '';
    fill(
      /** @type {HTMLElement} */ (this.summary),
      label
        ? `${many(units.length, 'unit')} of ${count(columns.units)} for which “${state.query.label}” stands out among the labels of their strongest patches. `
        : '',
      `Each unit is shown by ${pictures}.${shown ? ` The number is ${numberOf(sort, state)}.` : ''}${labelled}`,
      chance && ` ${byChance(chance)}`,
    );
    if (label) say(`${many(units.length, 'unit')} left`);
    const list = h('ol', { class: 'units' });
    const end = h('div', { class: 'end' });
    let drawn = 0;
    const more = () => {
      list.append(
        ...units.slice(drawn, drawn + CHUNK).map((unit) => tile(state, columns, unit, shown?.[unit], chance)),
      );
      drawn += CHUNK;
      if (drawn >= units.length) watch.disconnect();
    };
    const watch = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more(), {
      root: this.root,
      rootMargin: '600px',
    });
    do more();
    while (drawn < Math.min(units.length, savedScroll()?.shown ?? 0));
    if (drawn < units.length) watch.observe(end);
    const none =
      !units.length &&
      h(
        'p',
        { class: 'quiet' },
        'No match. ',
        h('button', { class: 'link', onclick: () => setQuery({ label: null }) }, 'Show all units'),
      );
    const hint =
      !layer.has.includes('gallery') && this.about.missing.gallery
        ? h('div', { class: 'section' }, lacks(this.about, 'gallery', 'This run has no pictures of its units yet.'))
        : null;
    return [none, list, end, hint];
  }
}

/** What the number under a picture is. @type {Record<string, string>} */
const NUMBERS = {
  unit: 'its strongest reaction to any image',
  max: 'its strongest reaction to any image',
  few: 'how many labels its strongest patches have',
  many: 'how many labels its strongest patches have',
  ratio: 'how strongly the picture excites it, as a multiple of its strongest patch',
  class: 'how its strength correlates with the evidence for the class, over the cells of the map',
};

/** @param {string} sort @param {import('../../state/address.js').State} state */
function numberOf(sort, { name }) {
  const [kind, of] = [sort.slice(0, sort.indexOf(':')), sort.slice(sort.indexOf(':') + 1)];
  if (kind === 'like') return `its similarity to unit ${of}: how their activations correlate`;
  if (kind === 'drift') return `how far it drifted since ${of || name}: 0 = not at all, 1 = unrelated`;
  return NUMBERS[sort] ?? NUMBERS.unit;
}

/** Request the metric of an order: similarity to a unit, drift since another version, correlation with a class. @param {string} layer @param {string} sort @returns {Promise<(number | null)[] | null>} */
async function requestMetric(layer, sort) {
  const [kind, of] = [sort.slice(0, sort.indexOf(':')), sort.slice(sort.indexOf(':') + 1)];
  if (kind === 'class') return (await ask('speaks', { layer, of })).correlation;
  if (kind === 'like' && /^\d{1,9}$/.test(of)) return (await ask('likeness', { layer, unit: Number(of) })).correlation;
  if (kind !== 'drift') return null;
  const { name, version } = versionOf(of);
  const old = await peek(name, version);
  return (await ask('moved', { layer, since: `${old.name}@${old.tag}` })).units.drift;
}

/** @param {import('../../state/address.js').State} state @param {UnitColumns} columns @param {number} unit @param {number | null | undefined} value @param {Speaks | null} chance */
function tile(state, columns, unit, value, chance) {
  const label = columns.top[unit][0];
  const words = label ? columns.labels[label[0]] : '';
  return h(
    'li',
    { class: chance && within(value, chance.bound) ? 'within' : '' },
    h(
      'a',
      { href: href({ ...state, place: 'unit', what: `${columns.layer}:${unit}`, query: {} }) },
      face(columns.layer, unit, 88),
      h(
        'span',
        { class: 'unit-line' },
        h('span', { class: 'chip-name' }, String(unit)),
        h('span', { class: 'num quiet small' }, number(value)),
      ),
      h('span', { class: 'unit-label quiet small' }, words),
    ),
  );
}
