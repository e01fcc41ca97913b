export class RunPlace {
  /** @param {any} place */
  constructor(place) { this.place = place; }
  /** @param {any} state */
  update(state) { this.state = state; }
}
