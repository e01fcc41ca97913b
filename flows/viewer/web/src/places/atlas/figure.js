// The atlas as a figure: the part of the map on show, with a legend of all that is drawn on it.

import { here } from '../../state/address.js';
import { arrowLines } from '../../map/arrows.js';
import { mapPicture } from '../../map/figure.js';
import { count, many } from '../../ui/format.js';
import { fileName, from } from '../../ui/figure/figure.js';
import { framed, hatchedKey, rampKey, words } from '../../ui/figure/keys.js';
import { absence, ends, leaning, most, sentence } from './filter.js';

/** @typedef {import('../../ui/figure/types.js').Key} Key */

const CELLS =
  'Each picture is optimised to look, to the model, like the average of its cell; larger cells have more samples.';

/** @type {Record<string, string>} */
const NAMES = {
  labels: 'Names: the label that stands out most in a cell, beyond chance.',
  classes: 'Names: the class that stands out most in a cell, beyond chance.',
};

/**
 * What it needs of the atlas.
 * @typedef {object} Host
 * @property {import('../../map/scene.js').Scene} scene
 * @property {About} about
 * @property {LayerFacts | null} layer
 * @property {HTMLElement} stage
 * @property {import('../../map/tiles.js').Tiles} map
 * @property {import('../../map/overlay.js').Overlay} overlay
 * @property {import('./patches.js').Patches} patches
 * @property {import('./shading.js').Shading} shading
 */

/** @param {Host} atlas @returns {Promise<import('../../ui/figure/types.js').Figure | null>} */
export async function atlasFigure({ scene, about, map, stage, overlay, patches, shading, layer }) {
  const { grid } = scene;
  if (!grid || !layer) return null;
  scene.frame = map.frame();
  const { width, height } = stage.getBoundingClientRect();
  const picture = await mapPicture(scene, { width, height }, overlay.colours, (...parts) => patches.draw(...parts));
  const { answer } = shading;
  const names = answer?.parts.map(({ name }) => name).join(' against ');
  const part = picture.whole ? '' : ', of which a part is shown';
  const cells = `${many(grid.facts.samples, 'activation')} in ${many(grid.length, 'cell')} of ${grid.size} × ${grid.size}${part}`;
  return {
    ...picture,
    name: fileName(about.name, about.version, layer.name, 'atlas', names),
    title: names ? `${layer.name}: ${names}` : `Atlas of ${layer.name}`,
    lead: `${from(about)}; ${cells}.`,
    legend: legendOf(scene, shading),
    of: [about],
    state: here(),
  };
}

/** @param {import('../../map/scene.js').Scene} scene @param {import('./shading.js').Shading} shading @returns {Key[][]} */
function legendOf(scene, { answer, shaded }) {
  const lit = [...scene.lit.values()];
  const lines = [
    ...(answer ? answerKeys(answer, scene.way) : []),
    shaded ? [rampKey(`${shaded.name}: ${shaded.low} to ${shaded.high}`, '--ramp')] : [],
    scene.arrows ? arrowLines() : [],
    lit.length ? [framed('cells that positions of the located image fall in, with their number', '--ink')] : [],
    NAMES[scene.names] ? [words(NAMES[scene.names])] : [],
    [words(CELLS)],
  ];
  return lines.filter((line) => line.length);
}

/** @param {import('./answer.js').Answer} answer @param {import('../../map/scene.js').Scene['way']} way @returns {Key[][]} */
function answerKeys(answer, way) {
  const [one, other] = answer.parts;
  const [low, high] = ends(answer, way);
  const samples = answer.parts.map(({ name, samples }) => `${name}: ${count(samples)}`).join(', ');
  const counted = `Samples ${answer.kind === 'label' ? 'with the label' : 'with it as strongest class'}: ${samples}.`;
  const nothing = absence(answer, way);
  const frames = other
    ? [framed(low, '--for'), framed(high, '--against', true)]
    : [high && framed(`${one.name} ${high}`, '--for'), low && hatchedKey(`against it ${low}`, '--against')];
  const scale = [...frames, words('paler = less')];
  return [
    [words(sentence(answer, way))],
    nothing ? [words(nothing)] : [],
    leaning(answer) ? [words(leaning(answer))] : [],
    most(answer) > 0 ? /** @type {Key[]} */ (scale.filter(Boolean)) : [],
    [words(counted)],
  ];
}
