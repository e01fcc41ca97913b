// Whether the focused element uses the keyboard itself.

/** Whether the user is typing text. @param {EventTarget | null} target */
export function typing(target) {
  return (
    target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

/** Whether an element uses the arrow keys: a field, a tab, a command, or an element that scrolls sideways. @param {EventTarget | null} target */
export function takesArrows(target) {
  for (let at = target; at instanceof HTMLElement && !at.matches('main, body'); at = at.parentElement) {
    if (typing(at) || at.matches('code, pre, [role=tab]')) return true;
    if (at.scrollWidth > at.clientWidth && /auto|scroll/.test(getComputedStyle(at).overflowX)) return true;
  }
  return false;
}
