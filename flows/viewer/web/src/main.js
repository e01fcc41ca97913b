// The page: read the address, open the run, show the place.

import './styles/page.css';
import { here, href, isUnit, seen } from './state/address.js';
import { backTo } from './state/scroll_memory.js';
import { open, whenPublished } from './data/client.js';
import { fill, h } from './ui/dom.js';
import { hand, whenDropped } from './state/drop.js';
import { Frame, turnTheme } from './app/frame.js';
import { atLayer, layerOf } from './state/layer.js';
import { go, turn, whenThere } from './state/navigate.js';
import { openHelp } from './app/help.js';
import { listen } from './app/keys.js';
import { say, title } from './ui/announce.js';
import { failed } from './ui/components.js';
import { Atlas } from './places/atlas/atlas.js';
import { Api } from './places/api.js';
import { Compare } from './places/compare/compare.js';
import { Home } from './places/home.js';
import { ImagePlace } from './places/image/image.js';
import { ImagesPlace } from './places/image/images.js';
import { Lost } from './places/not_found.js';
import { RunPlace } from './places/run.js';
import { UnitPlace } from './places/unit/unit.js';
import { UnitsPlace } from './places/unit/units.js';
import { Search } from './app/search.js';
import { askAgain } from './data/pictures.js';
import { restore } from './ui/theme.js';

/** @typedef {{ update: (state: import('./state/address.js').State) => Promise<void> | void, close?: () => void }} View */
/** @type {Record<string, new (place: any) => View>} */
const PLACES = {
  home: Home,
  atlas: Atlas,
  units: UnitsPlace,
  unit: UnitPlace,
  image: ImagePlace,
  images: ImagesPlace,
  compare: Compare,
  run: RunPlace,
  api: Api,
  lost: Lost,
};

restore();
const frame = new Frame();
const search = new Search();
/** @type {{ key: string, view: View } | null} */
let shown = null;
let turns = 0;
/** What was looked at when the focus was seen to last. */
let looked = '';

async function show() {
  const state = here();
  const mine = ++turns;
  try {
    const at = seen(state);
    const about = ['home', 'lost', 'api'].includes(state.place) ? null : await open(at.name, at.version);
    if (mine !== turns) return;
    const place =
      about && ['atlas', 'units', 'unit', 'image'].includes(state.place) && !exists(state, about)
        ? 'lost'
        : state.place === 'image' && !state.what
          ? 'images'
          : PLACES[state.place]
            ? state.place
            : 'lost';
    if (about && ['atlas', 'units', 'compare'].includes(state.place) && !state.what)
      return go({ what: layerOf(state, about) }, { replace: true });
    /** @type {import('./state/address.js').State} */
    const framed = {
      ...state,
      name: at.name,
      version: state.place === 'compare' && at.version === about?.versions.at(-1) ? null : at.version,
      place: place === 'lost' ? 'lost' : state.place,
    };
    frame.show(framed, about, about && search.element);
    search.about(about, framed);
    const key = `${place} ${about?.name}@${about?.tag}`;
    if (shown?.key !== key) {
      shown?.view.close?.();
      frame.panel.close();
      fill(frame.main);
      shown = { key, view: new PLACES[place]({ root: frame.main, panel: frame.panel, about }) };
    }
    const gone = looked !== '' && looked !== `${key} ${state.what}`;
    looked = `${key} ${state.what}`;
    if (gone) frame.main.scrollTop = 0;
    const drawn = shown.view.update(state);
    if (gone) goOn();
    await drawn;
    if (mine === turns) backTo(frame.main);
    if (gone && mine === turns) goOn();
  } catch (error) {
    if (mine !== turns) return;
    shown?.view.close?.();
    shown = null;
    frame.panel.close();
    frame.show(state, null, null);
    title('not there');
    fill(
      frame.main,
      h(
        'div',
        { class: 'page' },
        h('h1', { class: 'title' }, 'This could not be shown'),
        failed(error, show),
        h('p', {}, h('a', { href: href({ ...state, place: 'home', what: '', query: {} }) }, 'All runs')),
      ),
    );
    if (looked) goOn();
    looked = looked && 'nothing';
    say(error instanceof Error ? error.message : String(error));
  }
}

/** Who went somewhere else, and what they were at is gone with the place before, goes on in the new place. */
function goOn() {
  if (document.activeElement === document.body || !document.activeElement) frame.main.focus({ preventScroll: true });
}

/** @param {import('./state/address.js').State} state @param {About} about */
function exists(state, about) {
  if (!state.what) return state.place !== 'unit';
  if (state.place === 'image') return /^\d{1,9}$/.test(state.what) && Number(state.what) < about.ids;
  return state.place === 'unit' ? isUnit(state.what, about) : about.layers.some((known) => known.name === state.what);
}

/** @param {number} by */
async function deeper(by) {
  const state = here();
  if (!['atlas', 'units', 'unit', 'compare', 'image'].includes(state.place)) return;
  const { name, version } = seen(state);
  const about = await open(name, version);
  const current = layerOf(state, about);
  const next = about.layers[about.layers.findIndex((layer) => layer.name === current) + by];
  if (next) go(atLayer(state, next.name));
}

/** Go where a dropped picture can be looked at: from an image of the run to one's own, from elsewhere to the map. */
async function toTaker() {
  const state = here();
  if (['home', 'lost', 'api'].includes(state.place)) return frame.tell('Open a run, and drop the picture there.');
  const { name, version } = seen(state);
  const layer = layerOf(state, await open(name, version));
  go(
    state.place === 'image'
      ? { what: '', query: { layer } }
      : { place: 'atlas', name, version, what: layer, query: {} },
    { quiet: true },
  );
  await show();
}

/** Take a picture of one's own that is looked at along to the map. @param {File} file */
async function locateOwn(file) {
  const state = here();
  const layer = layerOf(state, await open(state.name, state.version));
  go({ place: 'atlas', what: layer, query: {} }, { quiet: true });
  await show();
  hand(file);
}

listen({
  '/': () => search.focus(),
  '?': async () =>
    openHelp(
      ['home', 'lost', 'api'].includes(here().place) ? null : await open(seen(here()).name, seen(here()).version),
    ),
  t: turnTheme,
  l: () => here().place === 'atlas' && turn({ view: here().query.view === 'list' ? null : 'list' }),
  '[': () => deeper(-1),
  ']': () => deeper(1),
  Escape: () =>
    search.hasFocus()
      ? search.leave()
      : frame.panel.isOpen()
        ? frame.panel.leave()
        : here().query.class && turn({ class: null, side: null, intensity: null }),
});
whenPublished((version) => frame.announce(version, here()));
whenDropped(toTaker);
addEventListener('locateown', (event) => locateOwn(/** @type {CustomEvent<File>} */ (event).detail));
addEventListener('answersagain', askAgain);
whenThere(show);
show();
