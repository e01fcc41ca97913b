// The address is written once the cursor or the keys rest: who moves over many positions is somewhere else by then.

import { turn } from '../../state/navigate.js';

/** Milliseconds after which they rest. */
const REST = 150;

export class Rest {
  constructor() {
    this.clock = 0;
  }

  /** @param {Record<string, string>} words of the query */
  write(words) {
    clearTimeout(this.clock);
    this.clock = setTimeout(() => {
      this.clock = 0;
      turn(words, { replace: true, quiet: true });
    }, REST);
  }

  /** Is there anything that the address does not say yet? */
  waits() {
    return this.clock !== 0;
  }

  drop() {
    clearTimeout(this.clock);
    this.clock = 0;
  }
}
