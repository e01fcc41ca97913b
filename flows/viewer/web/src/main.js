// The page: read the address, open the run, show the place.

import './styles/page.css';
import { changeTheme, Frame } from './app/frame.js';
import { openHelp } from './app/help.js';
import { listenForKeys } from './app/keys.js';
import { watchPictures } from './app/outage.js';
import { Search } from './app/search.js';
import { latestRun, onPublished, openRun } from './data/client.js';
import { retryPictures } from './data/pictures.js';
import { viewOf, VIEWS } from './places/views.js';
import { here, href, runOf } from './state/address.js';
import { questionOf, NOTHING } from './state/question.js';
import { drop, listenForDrops } from './state/drop.js';
import { atLayer, hasSubject, layerOf } from './state/layer.js';
import { go, onNavigate, setQuery } from './state/navigate.js';
import { placeOf } from './state/places.js';
import { restoreScroll } from './state/scroll_memory.js';
import { say, title } from './ui/announce.js';
import { failed } from './ui/components.js';
import { fill, h } from './ui/dom.js';
import { restoreTheme } from './ui/theme.js';

/** @typedef {import('./state/address.js').State} State */

restoreTheme();
const frame = new Frame();
const search = new Search();
/** The field that opens where a button asks for a name. */
const beside = new Search('found-beside');
beside.element.classList.add('beside');
/** The view on show. @type {{ key: string, view: import('./places/views.js').View } | null} */
let current = null;
let turn = 0;
/** The view and its subject when the focus was last checked. */
let subject = '';

/** Show the place in the address; a later call takes over from one that still waits. */
async function show() {
  const state = here();
  const mine = ++turn;
  try {
    const about = await aboutOf(state);
    if (mine !== turn) return;
    const place = placeOf(!about || hasSubject(state, about) ? state.place : 'lost');
    if (about && place.subject === 'layer' && !state.what) {
      return go({ what: layerOf(state, about) }, { replace: true });
    }
    const key = showFrame(state, about, place);
    if (place.needs === 'nothing') searchLatest(state, mine);
    const moved = subject !== '' && subject !== `${key} ${state.what}`;
    subject = `${key} ${state.what}`;
    if (moved) frame.main.scrollTop = 0;
    const update = current?.view.update(state);
    if (moved) focusMain();
    await update;
    if (mine === turn) restoreScroll(frame.main);
    if (moved && mine === turn) focusMain();
  } catch (error) {
    if (mine === turn) showError(error, state);
  }
}

/** Let the search of a place that needs no run find what the latest one has. @param {State} state @param {number} mine */
async function searchLatest(state, mine) {
  const about = await latestRun().catch(() => null);
  if (!about || mine !== turn) return;
  frame.addSearch(search.element);
  search.update(about, { ...state, name: about.name });
}

/** Show the frame and the view of a place. @param {State} state @param {About | null} about @param {import('./state/places.js').Place} place */
function showFrame(state, about, place) {
  const { name, version } = runOf(state);
  const latest = place.needs === 'runs' && version === about?.versions.at(-1);
  const framePlace = /** @type {State['place']} */ (place.name);
  const framed = { ...state, name, version: latest ? null : version, place: framePlace };
  frame.show(framed, about, about && search.element);
  for (const field of [search, beside]) field.update(about, framed);
  const view = viewOf(place, state);
  const key = `${view} ${about?.name}@${about?.tag}`;
  if (current?.key !== key) {
    current?.view.close?.();
    frame.panel.close();
    fill(frame.main);
    current = { key, view: new VIEWS[view]({ root: frame.main, panel: frame.panel, about }) };
  }
  return key;
}

/** @param {unknown} error @param {State} state */
function showError(error, state) {
  current?.view.close?.();
  current = null;
  frame.panel.close();
  frame.show(state, null, null);
  title('not there');
  const home = h('a', { href: href({ ...state, place: 'home', what: '', query: {} }) }, 'All runs');
  const heading = h('h1', { class: 'title' }, 'This could not be shown');
  fill(frame.main, h('div', { class: 'page' }, heading, failed(error, show), h('p', {}, home)));
  if (subject) focusMain();
  subject = subject && 'nothing';
  say(error instanceof Error ? error.message : String(error));
}

/** Focus the new place, if the focused control is gone with the one before. */
function focusMain() {
  if (document.activeElement === document.body || !document.activeElement) frame.main.focus({ preventScroll: true });
}

/** Open the run of a state, null where the place needs none. @param {State} state @returns {Promise<About | null>} */
async function aboutOf(state) {
  if (placeOf(state.place).needs === 'nothing') return null;
  const { name, version } = runOf(state);
  return openRun(name, version);
}

/** Go to a deeper or shallower layer. @param {number} by */
async function changeLayer(by) {
  const state = here();
  const about = placeOf(state.place).subject ? await aboutOf(state) : null;
  if (!about) return;
  const layer = layerOf(state, about);
  const next = about.layers[about.layers.findIndex(({ name }) => name === layer) + by];
  if (next) go(atLayer(state, next.name));
}

/** Go to a place that takes dropped pictures: the user's own image, or the map. */
async function goToDropTarget() {
  const state = here();
  const about = await aboutOf(state);
  if (!about) return frame.notify('Open a run, and drop the picture there.');
  const { name, version } = runOf(state);
  const layer = layerOf(state, about);
  const image = placeOf(state.place).subject === 'image';
  const target = /** @type {const} */ ({ place: 'atlas', name, version, what: layer, query: {} });
  go(image ? { what: '', query: { layer } } : target, { quiet: true });
  await show();
}

/** Locate the user's own picture on the map. @param {File} file */
async function locate(file) {
  const state = here();
  const layer = layerOf(state, await openRun(state.name, state.version));
  go({ place: 'atlas', what: layer, query: {} }, { quiet: true });
  await show();
  drop(file);
}

function toggleList() {
  const { place, query } = here();
  if (placeOf(place).keeps.includes('view')) setQuery({ view: query.view === 'list' ? null : 'list' });
}

/** Leave the search, the panel or what the map is asked for: the innermost that is active. */
function leave() {
  const field = [search, beside].find((one) => one.hasFocus());
  if (field) field.leave();
  else if (frame.panel.isOpen()) frame.panel.leave();
  else if (questionOf(here().query)) setQuery(NOTHING);
}

listenForKeys({
  '/': () => search.focus(),
  '?': async () => openHelp(await aboutOf(here())),
  t: changeTheme,
  l: toggleList,
  '[': () => changeLayer(-1),
  ']': () => changeLayer(1),
  Escape: leave,
});
onPublished((name, version) => frame.announce(name, version, here()));
listenForDrops(goToDropTarget);
addEventListener('locateown', (event) => locate(/** @type {CustomEvent<File>} */ (event).detail));
addEventListener('searchnames', (event) => beside.standIn(/** @type {CustomEvent<HTMLElement>} */ (event).detail));
addEventListener('explainword', async (event) => {
  const word = /** @type {CustomEvent<string>} */ (event).detail;
  openHelp(await aboutOf(here()), word);
});
addEventListener('answersagain', retryPictures);
const LOST = 'The viewer does not answer: pictures are missing, and come back with it.';
watchPictures({ lost: () => frame.notify(LOST), back: () => frame.dismiss(LOST) });
onNavigate(show);
show();
