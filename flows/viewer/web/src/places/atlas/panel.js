// The panel of one cell: its icon, real patches, strongest units, classes and similar cells.

import { ask, picture } from '../../data/client.js';
import { classAtlas, labelAtlas } from '../../data/commands.js';
import { cardRows, valuesOf } from '../../data/metrics.js';
import { fill, h } from '../../ui/dom.js';
import { many, number, percent, signed, valueOfKind } from '../../ui/format.js';
import { href } from '../../state/address.js';
import { realFidelity } from '../../ui/real_fidelity.js';
import { term, withTerms } from '../../ui/term.js';
import { atlasOfThese, bars, cellLink, chip, image, lacks, missing, section } from '../../ui/components.js';
import { cellOf } from '../../map/grid.js';
import { CLASS_HEADS, ring } from '../../map/card.js';
import { icon } from '../../map/sprites.js';

const FIRST = 9;

/**
 * @param {import('../../map/grid.js').Grid} grid
 * @param {number} i
 * @param {import('../../state/address.js').State} state
 * @param {About} about
 */
export async function cellPanel(grid, i, state, about) {
  const { row, col } = grid.columns;
  const cell = /** @type {Cell} */ (await ask('cell', cellOf(grid, i)));
  const metrics = () => cardRows(cell, (metric) => valuesOf(grid.columns, metric)?.[i], grid.facts.has);
  if (metrics().some(({ value }) => value === undefined)) await grid.loadDetails();
  const real = h('p', { class: 'quiet small' });
  if (cell.icon)
    realFidelity(cell.layer, cell.grid).then(
      (words) => fill(real, ...withTerms(words)),
      () => {},
    );
  return [
    h(
      'div',
      { class: 'cell-head' },
      grid.facts.icon > 0 && icon(grid, i, 160, `icon of cell ${row[i]},${col[i]}`),
      facts(cell, metrics()),
    ),
    cell.icon && real,
    cell.icon?.weak &&
      h('p', { class: 'note' }, 'This icon is weak: it fits another cell of the grid better. Trust the patches below.'),
    patches(grid, cell, state),
    section(
      'Strongest units',
      h(
        'div',
        { class: 'chips' },
        ...cell.units.map((unit) =>
          chip(state, cell.layer, unit.unit, h('span', { class: 'num quiet' }, number(unit.mean))),
        ),
      ),
    ),
    classes(cell, about),
    labels(cell, about),
    section(
      'Similar cells',
      h(
        'div',
        { class: 'near' },
        ...cell.nearest.map((near) => {
          const j = grid.at(near.row, near.col);
          const words = `cell ${near.row},${near.col}, cosine ${number(near.cosine)}`;
          return cellLink(
            state,
            cell.layer,
            cell.grid,
            near.row,
            near.col,
            { title: words, 'aria-label': words },
            j >= 0 && grid.facts.icon > 0 ? icon(grid, j, 48, '') : `${near.row},${near.col}`,
          );
        }),
      ),
    ),
  ];
}

/** What stands beside the value of a metric. @type {Record<string, (cell: Cell) => string>} */
const BESIDE = {
  rank: ({ icon }) => (icon && icon.tries > 1 ? ` after ${icon.tries} tries` : ''),
  contrast: ({ flat }) => (flat ? ', flat' : ''),
};

/** @param {Cell} cell @param {ReturnType<typeof cardRows>} metrics */
function facts(cell, metrics) {
  return h(
    'dl',
    { class: 'facts' },
    h('dt', {}, 'row, column'),
    h('dd', { class: 'num' }, `${cell.row}, ${cell.col}`),
    metrics.flatMap(({ metric, value }) => [
      h('dt', {}, term(metric.name)),
      metric.name === 'fidelity'
        ? h('dd', {}, ring(value))
        : h('dd', { class: 'num' }, `${valueOfKind(value, metric.kind)}${BESIDE[metric.name]?.(cell) ?? ''}`),
    ]),
  );
}

/** @param {import('../../map/grid.js').Grid} grid @param {Cell} cell @param {import('../../state/address.js').State} state */
function patches(grid, cell, state) {
  if (!cell.members.length)
    return section('Real patches', missing('This run stored no patches of its cells.', undefined));
  const place = { layer: cell.layer, grid: cell.grid, row: cell.row, col: cell.col };
  const draw = (/** @type {number} */ index) => {
    const member = cell.members[index];
    const words = `${member.label || 'no label'}, image ${member.image_id}, position ${member.y},${member.x}`;
    return h(
      'a',
      {
        href: href({
          ...state,
          place: 'image',
          what: String(member.image_id),
          query: { layer: grid.layer.name, at: `${member.y},${member.x}` },
        }),
        title: words,
      },
      image(picture('member', { ...place, index }), words),
    );
  };
  const box = h('div', { class: 'patches' }, ...cell.members.slice(0, FIRST).map((_, index) => draw(index)));
  const rest = cell.members.length - FIRST;
  const more =
    rest > 0 &&
    h(
      'button',
      {
        class: 'link',
        onclick: (/** @type {MouseEvent} */ event) => {
          box.append(...cell.members.slice(FIRST).map((_, index) => draw(index + FIRST)));
          /** @type {HTMLElement} */ (event.currentTarget).remove();
        },
      },
      `${rest} more`,
    );
  return section(
    'Real patches',
    h('p', { class: 'quiet small' }, `Drawn at random from the ${many(cell.count, 'sample')} that fall here.`),
    box,
    more,
  );
}

/** @param {Cell} cell @param {About} about */
function classes(cell, about) {
  if (!cell.classes) {
    return about.classes
      ? section('Classes it speaks for', lacks(about, 'attribution', 'This run has no class attribution.'))
      : null;
  }
  const most = Math.max(...cell.classes.map((row) => row.mean ?? 0), 1e-9);
  const rows = cell.classes.map((row) => ({
    name: row.name,
    share: Math.max(0, row.mean ?? 0) / most,
    value: signed(row.mean),
    other: percent(row.share),
  }));
  const first = cell.classes.find((row) => (row.mean ?? 0) > 0);
  return section(
    'Classes it speaks for',
    bars(rows, { heads: CLASS_HEADS }),
    h(
      'p',
      { class: 'quiet small' },
      ...withTerms(
        'Mean attribution, in units of the class’s score, and the share of the samples of which it is the strongest class.',
      ),
    ),
    first && atlasOfThese(classAtlas(about, first.name), `Atlas of what speaks for ${first.name.split(',')[0]}`),
  );
}

/** @param {Cell} cell @param {About} about */
function labels(cell, about) {
  if (!cell.labels.length) return null;
  const first = cell.labels[0].label;
  return section(
    'Labels of its samples',
    bars(
      cell.labels.map((row) => ({ name: row.label, share: row.share, value: percent(row.share) })),
      { kind: 'plain' },
    ),
    first && atlasOfThese(labelAtlas(about, first), `Atlas of images labelled ${first}`),
  );
}
