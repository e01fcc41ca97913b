// The frame around every place: the run and its version, navigation, the layers, the panel and notices.

import { live } from '../data/client.js';
import { here, href, runOf } from '../state/address.js';
import { atPlace } from '../state/layer.js';
import { go } from '../state/navigate.js';
import { placeOf, PLACES } from '../state/places.js';
import { fill, h, SIGNS, sign } from '../ui/dom.js';
import { Panel } from '../ui/panel.js';
import { theme, toggleTheme } from '../ui/theme.js';
import { openHelp } from './help.js';
import { updateRail } from './rail.js';

/** @typedef {import('../state/address.js').State} State */

const DROP = 'Drop the picture to find it on the map';

export class Frame {
  constructor() {
    this.panel = new Panel();
    this.top = h('header', { class: 'top' });
    /** The latest announced version by run. @type {Map<string, number>} */
    this.announced = new Map();
    /** The version that the notice is about. */
    this.noticed = { name: '', version: 0 };
    this.notice = h('div', { class: 'notice', hidden: true, role: 'status' });
    this.rail = h('nav', { class: 'rail', 'aria-label': 'layers' });
    this.main = h('main', { class: 'place', id: 'main', tabindex: -1 });
    const skip = (/** @type {Event} */ event) => {
      event.preventDefault();
      this.main.focus();
    };
    document.body.append(
      h('a', { class: 'skip', href: '#main', onclick: skip }, 'Skip to the content'),
      this.top,
      this.notice,
      h('div', { class: 'body' }, this.rail, this.main, this.panel.element),
    );
  }

  /** @param {State} state @param {About | null} about @param {HTMLElement | null} search */
  show(state, about, search) {
    const refocus = focusMemory(this.top, this.rail);
    document.body.dataset.place = state.place;
    document.body.dataset.drop = placeOf(state.place).drop ?? DROP;
    const home = href({ ...state, place: 'home', what: '', query: {} });
    fill(
      this.top,
      h('a', { class: 'brand', href: home, title: 'all runs' }, 'actlas'),
      about && where(state, about),
      about && tabs(state, about),
      search,
      buttons(about),
    );
    updateRail(this.rail, state, about);
    if (about && this.noticed.name === about.name && this.noticed.version <= about.version) this.notice.hidden = true;
    refocus();
  }

  /** Put the search before the buttons, where the place itself has none. @param {HTMLElement} search */
  addSearch(search) {
    this.top.lastElementChild?.before(search);
  }

  /** Announce that a new version of the run on show was published; of another, once that is on show. @param {string} name @param {number} version @param {State} state */
  announce(name, version, state) {
    if (runOf(state).name !== name) return;
    if (version <= (this.announced.get(name) ?? 0)) return;
    this.announced.set(name, version);
    const follow = () => {
      // From the current place, if it still is this run.
      const now = here();
      if (runOf(now).name === name) link.href = newest(now);
      setTimeout(() => location.reload());
    };
    const link = h('a', { href: newest(state), target: '_self', onclick: follow }, 'Show the new version');
    this.notify(`Version ${version} of ${name} has been published. What you see stays as it is. `, link);
    this.noticed = { name, version };
  }

  /** Show a notice above the place until it is dismissed. @param {...import('../ui/dom.js').Child} words */
  notify(...words) {
    this.notice.hidden = false;
    this.noticed = { name: '', version: 0 };
    const dismiss = () => {
      this.notice.hidden = true;
    };
    const attributes = { class: 'icon-button', 'aria-label': 'Dismiss', onclick: dismiss };
    fill(this.notice, ...words, h('button', attributes, sign(SIGNS.close)));
  }

  /** Dismiss a notice, unless another has taken its place. @param {string} words */
  dismiss(words) {
    if (this.notice.textContent === words) this.notice.hidden = true;
  }
}

/** Return the address of the latest version of the run on show. @param {State} state */
function newest(state) {
  const pair = placeOf(state.place).needs === 'runs';
  return href(pair ? { ...state, other: runOf(state).name } : { ...state, version: null });
}

/** The run and a menu of its versions. @param {State} state @param {About} about */
function where(state, about) {
  const name = h('span', { class: 'where-name', title: about.name }, about.name);
  if (!live()) {
    const what = `@ ${about.version} · exported`;
    return h(
      'span',
      { class: 'where', title: 'Files of one version, without the model' },
      name,
      h('span', { class: 'quiet' }, what),
    );
  }
  if (about.versions.length < 2) {
    return h('span', { class: 'where' }, name, h('span', { class: 'quiet' }, `@ ${about.version}`));
  }
  const change = () => {
    const pair = placeOf(state.place).needs === 'runs';
    go(pair ? { other: `${about.name}@${select.value}` } : { ...state, version: Number(select.value) });
  };
  const versions = [...about.versions].reverse().map((number) => h('option', { value: number }, `@ ${number}`));
  const select = h('select', { 'aria-label': 'version', onchange: change }, ...versions);
  select.value = String(about.version);
  return h('span', { class: 'where' }, name, select);
}

/** @param {State} state @param {About} about */
function tabs(state, about) {
  const current = placeOf(state.place).parent ?? state.place;
  const links = PLACES.filter((place) => place.tab && (live() || !place.served)).map(({ name, tab }) => {
    const address = href(atPlace(state, name, about));
    return h('a', { href: address, 'aria-current': name === current ? 'page' : null }, tab);
  });
  return h('nav', { class: 'places', 'aria-label': 'places' }, ...links);
}

/** @param {About | null} about */
function buttons(about) {
  const button = (/** @type {string} */ label, /** @type {string} */ key, /** @type {() => void} */ onclick) => ({
    class: 'icon-button',
    title: `${label} (${key})`,
    'aria-label': label,
    onclick,
  });
  return h(
    'span',
    { class: 'top-end' },
    h('button', button('Light or dark', 't', changeTheme), sign(SIGNS.sun)),
    h(
      'button',
      button('Help', '?', () => openHelp(about)),
      sign(SIGNS.help),
    ),
  );
}

const CONTROLS = 'a, button, select';

/** Remember the focused control; return a function that focuses its replacement. @param {...HTMLElement} boxes */
function focusMemory(...boxes) {
  const control = /** @type {HTMLElement | null} */ (document.activeElement);
  const box = boxes.find((one) => one.contains(control));
  if (!box || !control) return () => {};
  const at = [...box.querySelectorAll(CONTROLS)].indexOf(control);
  return () => {
    const now = /** @type {HTMLElement | undefined} */ (box.querySelectorAll(CONTROLS)[at]);
    const same = now?.tagName === control.tagName && now.title === control.title;
    if (!control.isConnected && same) now.focus();
  };
}

export function changeTheme() {
  toggleTheme();
  document.querySelector('meta[name=theme-color]')?.setAttribute('content', theme() === 'dark' ? '#1b1b1b' : '#ffffff');
}
