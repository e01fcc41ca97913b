// The places of the page, one row each. Their views are in places/views.js.

/**
 * @typedef {object} Place
 * @property {string} name  as it stands in addresses, and as `data-place` on the page
 * @property {'nothing' | 'run' | 'runs'} needs  what the address names before the place
 * @property {'' | 'layer' | 'unit' | 'image'} subject  what the address names after the place
 * @property {string[]} keeps  query parameters that also apply to another layer
 * @property {string} [path]  the address of a place that needs nothing
 * @property {string} [tab]  label in the navigation
 * @property {string} [parent]  the place whose tab it belongs to, and where another layer leads
 * @property {string} [gallery]  the view that offers subjects, where the address names none
 * @property {boolean} [rail]  whether the layers are listed beside it
 * @property {boolean} [served]  whether it needs a server: exported files show no tab for it
 * @property {string} [drop]  what dropping a picture on it does
 */

const ROWS = /** @type {const} */ ([
  { name: 'home', needs: 'nothing', subject: '', keeps: [], path: '/' },
  {
    name: 'atlas',
    needs: 'run',
    subject: 'layer',
    keeps: ['view', 'order', 'class', 'label', 'against', 'side', 'intensity', 'shade', 'names'],
    tab: 'Atlas',
    rail: true,
  },
  { name: 'units', needs: 'run', subject: 'layer', keeps: ['sort', 'label', 'class'], tab: 'Units', rail: true },
  { name: 'unit', needs: 'run', subject: 'unit', keeps: [], parent: 'units', rail: true },
  {
    name: 'image',
    needs: 'run',
    subject: 'image',
    keeps: ['class', 'against', 'show', 'mix', 'own', 'text'],
    tab: 'Image',
    gallery: 'images',
    served: true,
    drop: 'Drop the picture to take it apart',
  },
  { name: 'compare', needs: 'runs', subject: 'layer', keeps: ['motion'], tab: 'Compare', served: true },
  { name: 'run', needs: 'run', subject: '', keeps: [], tab: 'Run' },
  { name: 'api', needs: 'nothing', subject: '', keeps: [], path: '/api' },
  { name: 'lost', needs: 'nothing', subject: '', keeps: [] },
]);

/** @typedef {(typeof ROWS)[number]['name']} PlaceName */
/** @typedef {PlaceName | 'images'} ViewName */

/** @type {Place[]} */
export const PLACES = ROWS.map((row) => ({ ...row, keeps: [...row.keeps] }));

/** The place of a run whose address names none. */
export const FIRST = 'atlas';

/** @param {string} name @returns {Place} */
export const placeOf = (name) => /** @type {Place} */ (PLACES.find((place) => place.name === name) ?? placeOf('lost'));

/** Whether a word of an address names a place of one run. @param {string} name */
export const isRunPlace = (name) => PLACES.some((place) => place.needs === 'run' && place.name === name);
