// Shading: the value that frames each cell, the class that filters them, and the legend or line that explains it.

import { ask } from '../../data/client.js';
import { shades, valuesOf } from '../../data/metrics.js';
import { here } from '../../state/address.js';
import { setQuery } from '../../state/navigate.js';
import { extremes } from '../../map/grid.js';
import { RequestError } from '../../data/http.js';
import { command, failed, lacks } from '../../ui/components.js';
import { fill, h } from '../../ui/dom.js';
import { count, many, number, signed } from '../../ui/format.js';
import { filterLine, intensityOf, wayOf } from './filter.js';
import { motion } from './motion.js';
import { fillShades, legend } from './tools.js';

/** @typedef {import('../../state/address.js').State} State */
/** @typedef {import('../../map/grid.js').Grid} Grid */

export class Shading {
  /**
   * @param {import('../../map/scene.js').Scene} scene
   * @param {HTMLSelectElement} select  the menu of shades
   * @param {HTMLElement} foot  the line below the map
   * @param {{ redraw: () => void, retry: () => void }} actions
   * @param {About} about
   */
  constructor(scene, select, foot, { redraw, retry }, about) {
    this.scene = scene;
    this.select = select;
    this.foot = foot;
    this.redraw = redraw;
    this.retry = retry;
    this.about = about;
    this.legend = h('div', { class: 'legend' });
    /** Describes a cell's attribution to the chosen class. @type {((i: number) => string) | null} */
    this.attribution = null;
  }

  /** @param {State} state */
  async update(state) {
    await Promise.all([this.#shade(state), this.#filter(state)]);
  }

  /** Describe the grid in the line below the map. @param {Grid} grid */
  describe(grid) {
    const samples = many(grid.facts.samples, 'activation');
    const words = `${samples} in ${many(grid.length, 'cell')}. Each picture shows what one cell’s average looks like to the model.`;
    fill(this.foot, h('p', { class: 'quiet small' }, words));
  }

  /** @param {State} state */
  async #shade(state) {
    const { grid } = this.scene;
    const shade = state.query.shade ?? 'none';
    fillShades(this.select, this.about, grid?.facts.has ?? [], shade);
    this.scene.amount = null;
    this.scene.arrows = null;
    fill(this.legend);
    if (!grid || shade === 'none') return;
    if (shade.startsWith('motion:')) return this.#motion(grid, shade.slice(7));
    const values = await amounts(grid, shade).catch((error) => this.#fail(grid, error));
    if (!values || this.scene.grid !== grid) return;
    const [low, high] = extremes(values);
    this.scene.amount = Float32Array.from(values, (value) =>
      value === null ? NaN : (value - low) / (high - low || 1),
    );
    const name = metricOf(grid, shade)?.words ?? `mean of unit ${shade.slice(5)}`;
    fill(this.legend, ...legend(name, [number(low), number(high)]));
  }

  /** Show how far each cell's samples have moved since another version. @param {Grid} grid @param {string} since */
  async #motion(grid, since) {
    fill(this.legend, h('span', { class: 'quiet', role: 'status' }, `comparing with ${since} …`));
    try {
      const { amount, arrows, legend: items } = await motion(grid, since);
      if (this.scene.grid !== grid || here().query.shade !== `motion:${since}`) return;
      this.scene.amount = amount;
      this.scene.arrows = arrows;
      fill(this.legend, ...items);
    } catch (error) {
      this.#fail(grid, error);
    }
    this.redraw();
  }

  /** Show an error in place of the legend. @param {Grid} grid @param {unknown} error @returns {null} */
  #fail(grid, error) {
    const message = error instanceof Error ? error.message : String(error);
    const remedy = error instanceof RequestError && error.remedy;
    if (this.scene.grid === grid) fill(this.legend, h('span', { role: 'alert' }, message), remedy && command(remedy));
    return null;
  }

  /** Fade the cells by their attribution to the chosen class. @param {State} state */
  async #filter(state) {
    const { grid } = this.scene;
    this.scene.share = null;
    this.attribution = null;
    if (!grid) return;
    if (!state.query.class) return this.describe(grid);
    if (!grid.hasAttribution) {
      return fill(this.foot, lacks(this.about, 'attribution', 'This run has no class attribution.'));
    }
    const map = await this.#classMap(grid, state.query.class);
    if (!map || this.scene.grid !== grid) return;
    const [low, high] = extremes(map.mean);
    const largest = Math.max(-low, high) || 1;
    this.scene.share = Float32Array.from(map.mean, (mean) => (mean ?? 0) / largest);
    Object.assign(this.scene, { way: wayOf(state), intensity: intensityOf(state) });
    const name = map.name.split(',')[0];
    this.attribution = (i) =>
      `${name} ${signed(map.mean[i])} (rank ${count(map.rank[i])} of ${count(this.about.classes)})`;
    this.#filterLine(name, { low, high });
  }

  /** @param {Grid} grid @param {string} of @returns {Promise<ClassMap | null>} */
  #classMap(grid, of) {
    return ask('class', { layer: grid.layer.name, grid: grid.size, of }).catch((error) => {
      const all = { class: 'link', onclick: () => setQuery({ class: null, side: null, intensity: null }) };
      if (this.scene.grid === grid) fill(this.foot, failed(error, this.retry), h('button', all, 'Show all classes'));
      return null;
    });
  }

  /** Draw the controls of the class filter; the focus stays on the pressed one. @param {string} name @param {import('./filter.js').Range} range */
  #filterLine(name, range) {
    const pressed = /** @type {HTMLElement} */ (document.activeElement)?.dataset.way;
    const setIntensity = (/** @type {number} */ intensity) => {
      this.scene.intensity = intensity;
      this.redraw();
    };
    fill(this.foot, ...filterLine(name, this.scene, range, setIntensity));
    if (pressed === undefined) return;
    /** @type {HTMLElement | null} */ (this.foot.querySelector('[aria-pressed=true]'))?.focus();
  }
}

/** Return the metric that a shade shows. @param {Grid} grid @param {string} shade */
const metricOf = (grid, shade) => shades(grid.facts.has).find((metric) => metric.shade === shade);

/** Return the value of a shade by cell. @param {Grid} grid @param {string} shade @returns {Promise<(number | null)[] | null>} */
async function amounts(grid, shade) {
  const metric = metricOf(grid, shade);
  if (metric) {
    if (metric.answer === 'details') await grid.loadDetails();
    return valuesOf(grid.columns, metric);
  }
  const unit = /^unit:(\d{1,9})$/.exec(shade)?.[1];
  if (!unit) return null;
  return (await ask('map', { layer: grid.layer.name, grid: grid.size, unit: Number(unit) })).mean;
}
