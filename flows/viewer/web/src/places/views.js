// The view of each place: state/places.js has their other properties.

import { Api } from './api.js';
import { Atlas } from './atlas/atlas.js';
import { Compare } from './compare/compare.js';
import { Home } from './home/home.js';
import { ImagePlace } from './image/image.js';
import { ImagesPlace } from './image/images.js';
import { NotFound } from './not_found.js';
import { RunPlace } from './run/run.js';
import { UnitPlace } from './unit/unit.js';
import { UnitsPlace } from './unit/units.js';

/** @typedef {import('../state/address.js').State} State */
/** @typedef {{ update: (state: State) => Promise<void> | void, close?: () => void }} View */

/** @type {Record<import('../state/places.js').ViewName, new (parts: any) => View>} */
export const VIEWS = {
  home: Home,
  atlas: Atlas,
  units: UnitsPlace,
  unit: UnitPlace,
  image: ImagePlace,
  images: ImagesPlace,
  compare: Compare,
  run: RunPlace,
  api: Api,
  lost: NotFound,
};

/** Return the name of the view that shows a state. @param {import('../state/places.js').Place} place @param {State} state @returns {keyof typeof VIEWS} */
export const viewOf = (place, state) =>
  /** @type {keyof typeof VIEWS} */ (place.gallery && !state.what ? place.gallery : place.name);
