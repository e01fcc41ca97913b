// What the address of an atlas names but the run does not have.

export const IMAGE_ID = /^\d{1,9}$/;

/** Name it in sentences. @param {import('../../state/address.js').State} state @param {LayerFacts | null} layer @param {import('../../map/scene.js').Scene} scene */
export function absences({ query: { grid, cell, locate } }, layer, scene) {
  const hasGrid = layer?.grids.some((facts) => String(facts.grid) === grid);
  const sentences = [
    grid && !hasGrid && `${layer?.name} has no grid ${grid}.`,
    cell && scene.grid && scene.open < 0 && `There is no cell ${cell} in this grid.`,
    locate && !IMAGE_ID.test(locate) && `There is no image ${locate}.`,
  ];
  return sentences.filter(Boolean).join(' ');
}
