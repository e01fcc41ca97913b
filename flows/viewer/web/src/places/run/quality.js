// The quality of a run's pictures: how the metrics that measure it are distributed, and how many pictures are faulty.

import { ask } from '../../data/client.js';
import { CELL, faults, qualities, UNIT, valuesOf } from '../../data/metrics.js';
import { plot } from '../../ui/charts.js';
import { fillAsync, missing, section } from '../../ui/components.js';
import { h } from '../../ui/dom.js';
import { count, many, number } from '../../ui/format.js';
import { realFidelity } from '../../ui/real_fidelity.js';
import { withTerms } from '../../ui/term.js';

const BINS = 24;

/** @typedef {import('../../data/metrics.js').Metric} Metric */
/** @typedef {{ layer: LayerFacts, grid: GridFacts | undefined, cells: CellDetails | null, units: UnitColumns | null, real: string }} Measures */

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
  const real = grid ? await realFidelity(layer.name, grid.grid) : '';
  return { layer, grid, cells, units, real };
}

/** @param {Measures} measures */
function layerQuality({ layer, grid, cells, units, real }) {
  return section(
    grid ? `${layer.name}, ${grid.grid} × ${grid.grid}` : layer.name,
    h(
      'div',
      { class: 'columns' },
      grid && cells && qualities(grid.has, CELL).map((metric) => distribution(cells, metric)),
      units && qualities(layer.has, UNIT).map((metric) => distribution(units, metric)),
    ),
    real && h('p', { class: 'quiet small' }, ...withTerms(real)),
    ...(grid && cells ? faults(grid.has, CELL).map((metric) => faulty(cells, metric)) : []),
  );
}

/** Count the cells that a metric marks. @param {CellDetails} cells @param {Metric} metric */
function faulty(cells, metric) {
  const marked = (valuesOf(cells, metric) ?? []).filter(Boolean).length;
  return h('p', { class: 'quiet small' }, `${many(marked, metric.words)}.`);
}

/** Plot the distribution of a metric, at least from 0 to 1. @param {CellDetails | UnitColumns} answer @param {Metric} metric */
function distribution(answer, metric) {
  const values = /** @type {number[]} */ ((valuesOf(answer, metric) ?? []).filter((value) => value !== null));
  values.sort((a, b) => a - b);
  const [low, high] = [Math.min(0, values[0] ?? 0), Math.max(1, values.at(-1) ?? 1)];
  const bins = new Array(BINS).fill(0);
  for (const value of values) bins[Math.min(BINS - 1, Math.floor(((value - low) / (high - low)) * BINS))] += 1;
  const median = `median ${number(values[Math.floor(values.length / 2)])} of ${count(values.length)}`;
  const words = `${metric.words.charAt(0).toUpperCase()}${metric.words.slice(1)}: ${median}${metric.unit && `; ${metric.unit}`}`;
  return h('div', {}, plot(bins, low, high, words), h('p', { class: 'quiet small' }, ...withTerms(`${words}.`)));
}
