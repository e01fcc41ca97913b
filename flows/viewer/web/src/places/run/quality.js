// The quality of a run's pictures: fidelity of icons, coherence of cells, strength of the pictures of units.

import { ask } from '../../data/client.js';
import { plot } from '../../ui/charts.js';
import { fillAsync, missing, section } from '../../ui/components.js';
import { h } from '../../ui/dom.js';
import { count, many, number } from '../../ui/format.js';

const BINS = 24;

/** @typedef {{ layer: LayerFacts, grid: GridFacts | undefined, cells: CellDetails | null, units: UnitColumns | null }} Measures */

/** Show the quality of each layer's pictures. @param {About} about */
export function quality(about) {
  const layers = about.layers.filter((layer) => hasIcons(layer) || layer.has.includes('gallery'));
  if (!layers.length) return missing('This run has no icons yet.', about.commands.run);
  const box = h('div');
  fillAsync(
    box,
    () => Promise.all(layers.map(measures)),
    (all) => all.map(layerQuality),
    [0, 160],
  );
  return box;
}

/** @param {LayerFacts} layer */
const hasIcons = (layer) => layer.grids.some((grid) => grid.has.includes('icons'));

/** @param {LayerFacts} layer @returns {Promise<Measures>} */
async function measures(layer) {
  const grid = layer.grids.filter((facts) => facts.has.includes('icons')).at(-1);
  const cells = grid ? await ask('details', { layer: layer.name, grid: grid.grid }) : null;
  const units = layer.has.includes('gallery') ? await ask('units', { layer: layer.name }) : null;
  return { layer, grid, cells, units };
}

/** @param {Measures} measures */
function layerQuality({ layer, grid, cells, units }) {
  const weak = (cells?.weak ?? []).filter(Boolean).length;
  return section(
    grid ? `${layer.name}, ${grid.grid} × ${grid.grid}` : layer.name,
    h(
      'div',
      { class: 'columns' },
      cells && distribution(cells.cosine ?? [], 1, 'Fidelity of icons', `; ${many(weak, 'weak icon')}`),
      cells && distribution(cells.coherence, 1, 'Coherence of cells', '; 1 = all samples alike'),
      units?.ratio && distribution(units.ratio, null, 'Pictures of units', ' × the strongest patch'),
    ),
  );
}

/** Plot the distribution of values from 0 to `high`, or to the largest. @param {Maybe[]} all @param {number | null} high @param {string} name @param {string} more */
function distribution(all, high, name, more) {
  const values = /** @type {number[]} */ (all.filter((value) => value !== null)).sort((a, b) => a - b);
  const last = high ?? values.at(-1) ?? 1;
  const bins = new Array(BINS).fill(0);
  for (const value of values) bins[Math.max(0, Math.min(BINS - 1, Math.floor((value / (last || 1)) * BINS)))] += 1;
  const words = `${name}: median ${number(values[Math.floor(values.length / 2)])} of ${count(values.length)}${more}`;
  return h('div', {}, plot(bins, 0, last, words), h('p', { class: 'quiet small' }, `${words}.`));
}
