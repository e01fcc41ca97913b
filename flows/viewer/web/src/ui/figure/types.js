// What a figure is made of.

/** @typedef {CanvasRenderingContext2D} Context */
/** One entry of the legend: a sign of `wide` pixels, if it has one, and words. @typedef {{ words: string, wide?: number, sign?: (context: Context, x: number, y: number) => void }} Key */
/**
 * @typedef {object} Figure
 * @property {string} name  of the file
 * @property {string} title
 * @property {string} lead
 * @property {number} width  of the picture
 * @property {number} height
 * @property {(context: Context) => void} draw  the picture, of which everything has loaded
 * @property {Key[][]} legend  lines of entries
 * @property {About[]} of  the runs it shows
 * @property {import('../../state/address.js').State} state
 */

export {};
