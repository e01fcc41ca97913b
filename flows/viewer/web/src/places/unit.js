export class UnitPlace {
  /** @param {any} place */
  constructor(place) { this.place = place; }
  /** @param {any} state */
  update(state) { this.state = state; }
}
