// What a map is asked for, in the address: a class or a label, alone or against another.

/** @typedef {'class' | 'label'} Kind */
/** @typedef {{ kind: Kind, values: string[] }} Question  one or two values, as in the address */

/** The query without what is asked for. */
export const NOTHING = { class: '', label: '', against: '', side: '', intensity: '' };

/** @param {Record<string, string>} query @returns {Question | null} */
export function questionOf(query) {
  const kind = query.class ? 'class' : query.label ? 'label' : null;
  return kind && { kind, values: [query[kind], query.against ?? ''].filter(Boolean) };
}

/** Ask for one more: the second of a kind stands against the first. Return the parameters to change. @param {Record<string, string>} query @param {Kind} kind @param {string} value @returns {Record<string, string>} */
export function withName(query, kind, value) {
  const question = questionOf(query);
  if (question?.kind !== kind) return { class: '', label: '', against: '', side: '', [kind]: value };
  return value === question.values[0] ? {} : { against: value, side: '' };
}

/** Ask for one less. Return the parameters to change. @param {Record<string, string>} query @param {number} place @returns {Record<string, string>} */
export function withoutName(query, place) {
  const question = questionOf(query);
  if (!question || question.values.length < 2) return NOTHING;
  return { [question.kind]: question.values[1 - place], against: '' };
}
