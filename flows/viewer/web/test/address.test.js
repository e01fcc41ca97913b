import assert from 'node:assert/strict';
import { test } from 'node:test';
import { format, parse, runOf, trailOf, unitOf, versionOf } from '../src/state/address.js';
import { atLayer, atPlace, hasSubject, layerOf } from '../src/state/layer.js';
import { isRunPlace, PLACES, placeOf } from '../src/state/places.js';

const LAYERS = ['features.2', 'mixed:4a', 'head'].map((name) => ({ name, units: 8 }));
const ABOUT = /** @type {any} */ ({ name: 'photos', version: 7, versions: [1, 6, 7], layers: LAYERS, ids: 40 });

/** Every form of an address, and the state it stands for. */
const FORMS = {
  '/': { place: 'home' },
  '/api': { place: 'api' },
  '/photos/atlas': { place: 'atlas', name: 'photos' },
  '/photos@7/atlas/features.2': { place: 'atlas', name: 'photos', version: 7, what: 'features.2' },
  '/photos/atlas/mixed:4a?cell=3,4&grid=20': {
    place: 'atlas',
    name: 'photos',
    what: 'mixed:4a',
    query: { cell: '3,4', grid: '20' },
  },
  '/photos/units/head?sort=drift:photos@6': {
    place: 'units',
    name: 'photos',
    what: 'head',
    query: { sort: 'drift:photos@6' },
  },
  '/photos/unit/mixed:4a:7?side=negative': {
    place: 'unit',
    name: 'photos',
    what: 'mixed:4a:7',
    query: { side: 'negative' },
  },
  '/photos/image': { place: 'image', name: 'photos' },
  '/photos/image/12?layer=head': { place: 'image', name: 'photos', what: '12', query: { layer: 'head' } },
  '/photos/run': { place: 'run', name: 'photos' },
  '/photos/atlas/a%2Fb%20c': { place: 'atlas', name: 'photos', what: 'a/b c' },
  '/compare/photos@6..photos@7/head': {
    place: 'compare',
    name: 'photos',
    version: 6,
    other: 'photos@7',
    what: 'head',
  },
  '/compare/a%2E%2Eb..c': { place: 'compare', name: 'a..b', other: 'c' },
  '/compare/a%2E..c': { place: 'compare', name: 'a.', other: 'c' },
  '/api/atlas': { place: 'atlas', name: 'api' },
  '/compare@2/atlas': { place: 'atlas', name: 'compare', version: 2 },
  '/compare/run': { place: 'run', name: 'compare' },
};

const EMPTY = { name: '', version: null, what: '', query: {} };

for (const [address, state] of Object.entries(FORMS)) {
  test(`${address} is parsed and written again`, () => {
    assert.deepEqual(parse(address), { ...EMPTY, ...state });
    assert.equal(format(parse(address)), address);
  });
}

test('a run alone shows its first place', () => {
  assert.deepEqual(parse('/photos@7'), { ...EMPTY, place: 'atlas', name: 'photos', version: 7 });
});

for (const address of ['/photos/elsewhere', '/photos@0/atlas', '/photos/atlas/a/b', '/compare/a', '/photos@x']) {
  test(`${address} leads nowhere`, () => assert.equal(parse(address).place, 'lost'));
}

test('an address with a broken escape is kept as it is', () => {
  assert.equal(parse('/photos/atlas/%E0%A4%A').what, '%E0%A4%A');
});

test('empty query parameters are not written', () => {
  assert.equal(format({ ...parse('/photos/atlas'), query: { cell: '', grid: '20' } }), '/photos/atlas?grid=20');
});

test('names, versions and units are split', () => {
  assert.deepEqual(versionOf('photos@12'), { name: 'photos', version: 12 });
  assert.deepEqual(versionOf('photos@x'), { name: 'photos', version: null });
  assert.deepEqual(unitOf('mixed:4a:7'), { layer: 'mixed:4a', unit: 7 });
});

test('the later of two runs is on show', () => {
  assert.deepEqual(runOf(parse('/compare/photos@6..photos@7')), { name: 'photos', version: 7 });
  assert.deepEqual(runOf(parse('/photos@6/run')), { name: 'photos', version: 6 });
});

test('a trail keeps the units that the run has', () => {
  const state = parse('/photos/unit/head:1?trail=head:2~head:99~nowhere:1~mixed:4a:3');
  assert.deepEqual(trailOf(state, ABOUT), ['head:2', 'mixed:4a:3']);
});

test('the layer of a state is the one it names, or the middle one', () => {
  assert.equal(layerOf(parse('/photos/units/head'), ABOUT), 'head');
  assert.equal(layerOf(parse('/photos/unit/mixed:4a:3'), ABOUT), 'mixed:4a');
  assert.equal(layerOf(parse('/photos/image/3?layer=head'), ABOUT), 'head');
  assert.equal(layerOf(parse('/photos/atlas/nowhere'), ABOUT), 'mixed:4a');
});

test('another layer keeps what applies to it too', () => {
  const at = (/** @type {string} */ address) => format(atLayer(parse(address), 'head'));
  assert.equal(at('/photos/atlas/mixed:4a?cell=1,2&class=3&view=list'), '/photos/atlas/head?class=3&view=list');
  assert.equal(at('/photos/atlas/mixed:4a?shade=unit:3'), '/photos/atlas/head');
  assert.equal(at('/photos/units/mixed:4a?sort=like:3&label=cat'), '/photos/units/head?label=cat');
  assert.equal(at('/photos/unit/mixed:4a:3?side=range'), '/photos/units/head');
  assert.equal(at('/photos/image/3?layer=mixed:4a&class=5&at=1,2'), '/photos/image/3?class=5&layer=head');
  assert.equal(at('/compare/photos@6..photos@7/mixed:4a?motion=off'), '/compare/photos@6..photos@7/head?motion=off');
});

test('every tab leads to its place at the same layer', () => {
  const state = parse('/photos@7/units/head?label=cat');
  const tabs = PLACES.filter((place) => place.tab).map(({ name }) => format(atPlace(state, name, ABOUT)));
  assert.deepEqual(tabs, [
    '/photos@7/atlas/head',
    '/photos@7/units/head',
    '/photos@7/image?layer=head',
    '/compare/photos@6..photos@7/head',
    '/photos@7/run',
  ]);
});

test('a run has the subjects of its addresses, or it has not', () => {
  const has = (/** @type {string} */ address) => hasSubject(parse(address), ABOUT);
  for (const address of ['/photos/atlas/head', '/photos/unit/head:7', '/photos/image/39', '/photos/image', '/api']) {
    assert.ok(has(address), address);
  }
  for (const address of ['/photos/atlas/nowhere', '/photos/unit/head:8', '/photos/unit', '/photos/image/40']) {
    assert.ok(!has(address), address);
  }
});

test('a fallback stands for places that are not in the table', () => assert.equal(placeOf('probe').name, 'lost'));

/** @type {import('../src/state/places.js').Place} */
const PROBE = { name: 'probe', needs: 'run', subject: 'layer', keeps: ['sort'], tab: 'Probe' };

/** @param {string} address */
const probeIsWhole = (address) => {
  const state = parse(address);
  assert.equal(state.place, 'probe');
  assert.equal(format(state), address);
  assert.equal(format(atLayer(state, 'head')), '/photos/probe/head?sort=max');
  assert.equal(format(atPlace(parse('/photos/units/head'), 'probe', ABOUT)), '/photos/probe/head');
  assert.ok(hasSubject(state, ABOUT) && isRunPlace('probe'));
};

const ADDRESS = '/photos/probe/mixed:4a?sort=max&cell=1,2';

test('mutant: a place without a row is not parsed', () => assert.throws(() => probeIsWhole(ADDRESS)));

for (const forgotten of /** @type {const} */ (['keeps', 'subject', 'needs'])) {
  test(`mutant: a row without ${forgotten} is seen`, (context) => {
    const nothing = { keeps: [], subject: '', needs: 'nothing' }[forgotten];
    PLACES.push(/** @type {any} */ ({ ...PROBE, [forgotten]: nothing }));
    context.after(() => PLACES.pop());
    assert.throws(() => probeIsWhole(ADDRESS));
  });
}

test('a place added to the table is parsed, linked and kept', (context) => {
  PLACES.push(PROBE);
  context.after(() => PLACES.pop());
  probeIsWhole(ADDRESS);
});
