// Shading: the value that frames each cell, the class or label that filters them, and the legend or line that explains it.

import { ask } from '../../data/client.js';
import { shades, valuesOf } from '../../data/metrics.js';
import { here } from '../../state/address.js';
import { questionOf, NOTHING } from '../../state/question.js';
import { setQuery } from '../../state/navigate.js';
import { extremes } from '../../map/grid.js';
import { RequestError } from '../../data/http.js';
import { command, failed, lacks } from '../../ui/components.js';
import { fill, h } from '../../ui/dom.js';
import { many, number, percent } from '../../ui/format.js';
import { answerOf } from './answer.js';
import { filterLine, intensityOf, most, wayOf } from './filter.js';
import { FilterBar } from './filter_bar.js';
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
    /** What is asked for, once loaded. @type {import('./answer.js').Answer | null} */
    this.answer = null;
    /** The quantity of the frames and its range, for figures. @type {{ name: string, low: string, high: string } | null} */
    this.shaded = null;
    this.bar = new FilterBar();
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
    Object.assign(this.scene, { amount: null, arrows: null });
    this.shaded = null;
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
    this.shaded = { name, low: number(low), high: number(high) };
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
      if (amount) this.shaded = { name: `new samples since ${since}`, low: percent(0), high: percent(1) };
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

  /** Fade the cells by what is asked for. @param {State} state */
  async #filter(state) {
    const { grid } = this.scene;
    Object.assign(this.scene, { share: null, pair: false });
    this.answer = null;
    if (!grid) return;
    this.bar.update(state, grid, null);
    const question = questionOf(state.query);
    if (!question) return this.describe(grid);
    if (question.kind === 'class' && !grid.hasAttribution) {
      return fill(this.foot, lacks(this.about, 'attribution', 'This run has no class attribution.'));
    }
    const answer = await answerOf(grid, state.query, this.about.classes).catch((error) => this.#refuse(grid, error));
    const same = JSON.stringify(questionOf(here().query)) === JSON.stringify(question);
    if (!answer || this.scene.grid !== grid || !same) return;
    this.answer = answer;
    const largest = most(answer) || 1;
    this.scene.share = Float32Array.from(answer.values, (value) => (value ?? 0) / largest);
    const pair = answer.parts.length > 1;
    const way = pair ? 'both' : answer.kind === 'class' ? wayOf(state) : undefined;
    Object.assign(this.scene, { pair, way, intensity: intensityOf(state) });
    this.bar.update(state, grid, answer);
    this.#filterLine(answer);
  }

  /** Describe a cell by what is asked for. @param {number} i */
  words(i) {
    return this.answer?.parts.map(({ words }) => words(i)).join(' · ');
  }

  /** @param {Grid} grid @param {unknown} error @returns {null} */
  #refuse(grid, error) {
    const all = { class: 'link', onclick: () => setQuery(NOTHING) };
    const { label } = here().query;
    const button = h('button', all, label ? 'Show all labels' : 'Show all classes');
    if (this.scene.grid === grid) fill(this.foot, failed(error, this.retry), button);
    return null;
  }

  /** Draw the controls of the filter; the focus stays on the pressed one. @param {import('./answer.js').Answer} answer */
  #filterLine(answer) {
    const pressed = /** @type {HTMLElement} */ (document.activeElement)?.dataset.way;
    const setIntensity = (/** @type {number} */ intensity) => {
      this.scene.intensity = intensity;
      this.redraw();
    };
    const ring = (/** @type {number} */ i) => {
      this.scene.hover = i;
      this.redraw();
    };
    fill(this.foot, ...filterLine(answer, this.scene, this.about, setIntensity, ring));
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
