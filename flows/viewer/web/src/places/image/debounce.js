// Updating the URL only after the pointer or keys have been idle.

import { setQuery } from '../../state/navigate.js';

/** How long they must be idle, in milliseconds. */
const IDLE = 150;

export class DebouncedQuery {
  constructor() {
    this.clock = 0;
  }

  /** @param {Record<string, string>} parameters */
  set(parameters) {
    clearTimeout(this.clock);
    this.clock = setTimeout(() => {
      this.clock = 0;
      setQuery(parameters, { replace: true, quiet: true });
    }, IDLE);
  }

  /** Whether an update is pending. */
  isPending() {
    return this.clock !== 0;
  }

  cancel() {
    clearTimeout(this.clock);
    this.clock = 0;
  }
}
