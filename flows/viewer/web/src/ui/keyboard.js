// What the keyboard is used for where the focus is.

/** Is somebody typing? @param {EventTarget | null} target */
export function typing(target) {
  return (
    target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

/** Are arrow keys at home there: in a field, on a tab, in text that is read or that they scroll? @param {EventTarget | null} target */
export function takesArrows(target) {
  for (let at = target; at instanceof HTMLElement && !at.matches('main, body'); at = at.parentElement) {
    if (typing(at) || at.matches('code, pre, [role=tab]')) return true;
    if (at.scrollWidth > at.clientWidth && /auto|scroll/.test(getComputedStyle(at).overflowX)) return true;
  }
  return false;
}
