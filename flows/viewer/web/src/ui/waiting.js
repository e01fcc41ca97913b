// What is said while the model works, and how long that took the last time.

/** Less than this is an answer that was kept, in seconds. */
const KEPT = 0.05;

/** Seconds that the last answer of each kind took. @type {Map<string, number>} */
const durations = new Map();

/** Whether the model is loaded: the first answer waits for that. */
let loaded = false;

export function modelLoaded() {
  loaded = true;
}

/** Say that the model computes; for how long only where an earlier answer tells. @param {string} kind of answer */
export function computing(kind) {
  const seconds = durations.get(kind);
  if (seconds === undefined) return 'Computing on the model …';
  return `Computing on the model, about ${Math.max(1, Math.round(seconds))} s …`;
}

/** Pass on an answer of the model, and remember how long it took. @template T @param {string} kind @param {Promise<T>} answer @returns {Promise<T>} */
export async function timed(kind, answer) {
  const [started, fair] = [performance.now(), loaded];
  const value = await answer;
  const seconds = (performance.now() - started) / 1000;
  if (fair && seconds > KEPT) durations.set(kind, seconds);
  modelLoaded();
  return value;
}
