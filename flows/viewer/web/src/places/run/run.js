// The run: its provenance, the quality of its pictures, what it lacks, and how to repeat and cite it.

import { ask } from '../../data/client.js';
import { title } from '../../ui/announce.js';
import { command, copy, drawsItself, fillAsync, isLatest, section } from '../../ui/components.js';
import { fill, h } from '../../ui/dom.js';
import { count, day, many, percent } from '../../ui/format.js';
import { accuracy } from './accuracy.js';
import { quality } from './quality.js';
import { offer, source } from './selections.js';
import { layers, provenance, versions } from './tables.js';

/** @type {Record<string, string>} */
const STAGES = {
  attribution: 'The classes that each cell speaks for: class filter and class names on the map.',
  influence: 'The units that each unit drives, and is driven by.',
  gradients: 'What in its strongest patches drives each unit.',
  gallery: 'A picture of every unit.',
  choices: 'The classes that the model scores highest for each image.',
};

/** @type {Record<string, string>} */
const COMMANDS = {
  run: 'Run it again: what has not changed is reused.',
  update: 'Run it with the weights of a model that was trained on: a new version, to compare with this one.',
  view: 'Open this version.',
  export: 'Write this page as files, which need no server.',
  verify: 'Check every stored byte.',
};

export class RunPlace {
  /** @param {{ root: HTMLElement, about: About }} parts */
  constructor({ root, about }) {
    this.root = root;
    this.about = about;
    this.drawn = false;
  }

  /** @param {import('../../state/address.js').State} state */
  update(state) {
    const { about } = this;
    title('run', `${about.name}@${about.version}`);
    if (this.drawn) return;
    this.drawn = true;
    const used = about.listed - Object.values(about.rejected).reduce((sum, n) => sum + n, 0);
    const version = h('span', { class: 'quiet' }, ` @ ${about.version}`);
    fill(
      this.root,
      h(
        'article',
        { class: 'page' },
        h('h1', { class: 'title' }, about.name, version),
        h('p', { class: 'lead' }, summary(about, used)),
        source(state, about),
        h('div', { class: 'two' }, provenance(about, used), layers(state, about)),
        section('How far to trust the pictures', quality(about)),
        accuracy(),
        lacking(about),
        offer(about),
        libraries(),
        versions(state, about),
        repeat(about),
        citation(about),
        leftOut(about),
      ),
    );
  }
}

/** @param {About} about @param {number} used */
function summary(about, used) {
  const units = about.layers.reduce((sum, layer) => sum + layer.units, 0);
  const size = `${many(about.layers.length, 'layer')}, ${many(units, 'unit')}`;
  return `${about.model} looked at ${many(used, 'image')} on ${day(about.published)}: ${size}.`;
}

/** List the stages that the run lacks, with the command that makes all of them, and one for each. @param {About} about */
function lacking(about) {
  const offers = isLatest(about);
  const rows = Object.entries(about.missing).filter(([stage]) => !drawsItself(about, stage));
  if (!rows.length) return null;
  const all = offers && about.everything && rows.length > 1;
  return section(
    'What this run does not have',
    all && h('div', { class: 'wanting' }, h('p', {}, 'All of it at once:'), command(String(about.everything))),
    ...rows.map(([stage, how]) =>
      h('div', { class: 'wanting' }, h('p', {}, h('b', {}, stage), ` ${STAGES[stage] ?? ''}`), offers && command(how)),
    ),
  );
}

/** List the versions of the libraries that computed the run. */
function libraries() {
  const box = h('div');
  fillAsync(box, () => ask('libraries'), versionsOf, [0, 96]);
  return section('Made with', box);
}

/** @param {Libraries} answer */
function versionsOf({ versions: all, unrecorded, results }) {
  const rows = Object.entries(all).map(([name, numbers]) =>
    h('div', {}, h('dt', {}, name), h('dd', {}, numbers.join(', '))),
  );
  const reason = 'made before versions were recorded';
  if (!rows.length) return h('p', { class: 'quiet' }, `Not recorded: this run was ${reason}.`);
  const rest = `Not recorded for ${count(unrecorded)} of ${many(results, 'result')}, ${reason}.`;
  return [h('dl', { class: 'libraries' }, ...rows), unrecorded > 0 && h('p', { class: 'quiet small' }, rest)];
}

/** The commands about the run, which are drawn once they are asked for. @param {About} about */
function repeat({ commands, settings }) {
  const values = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  const config = `With a --config file that has: ${values.join(', ')}.`;
  const body = h('div');
  const draw = () => {
    const rows = Object.entries(commands).map(([name, text]) => [h('p', {}, COMMANDS[name] ?? name), command(text)]);
    fill(body, ...rows.flat(), values.length > 0 && h('p', { class: 'quiet small' }, config));
  };
  const summary = h('summary', {}, 'Commands that repeat, update, open, export and check it');
  return section('Make it again', h('details', { class: 'commands', ontoggle: draw }, summary, body));
}

/** @param {About} about */
function citation({ cite }) {
  const copyBoth = (/** @type {any} */ event) => copy(`${cite.text}\n${cite.method}`, event.currentTarget);
  const button = h('button', { class: 'button', onclick: copyBoth }, 'Copy');
  return section('Cite it', h('p', {}, cite.text), h('p', {}, `The method: ${cite.method}`), button);
}

/** @param {About} about */
function leftOut(about) {
  const others = about.left_out.map((words) => h('li', {}, words));
  const list = others.length > 0 && h('ul', { class: 'plain left-out' }, ...others);
  return section('Left out', ...rejects(about), list);
}

/** @param {About} about */
function rejects({ rejected, listed }) {
  const reasons = Object.entries(rejected);
  if (!reasons.length) return [h('p', {}, `None rejected: all ${count(listed)} listed could be used.`)];
  const body = h('div');
  const list = (/** @type {Rejects} */ { first }) =>
    h('ul', { class: 'plain' }, ...first.map((row) => h('li', {}, h('code', {}, row.key), ` ${row.reason}`)));
  const load = () => box.open && fillAsync(body, () => ask('rejects'), list);
  const box = h('details', { ontoggle: load }, h('summary', {}, 'Which'), body);
  const share = percent(reasons.reduce((sum, [, n]) => sum + n, 0) / listed);
  const words = reasons.map(([reason, n]) => `${count(n)} ${reason}`).join(', ');
  return [h('p', {}, `Rejected: ${words}; ${share} of all listed.`), box];
}
