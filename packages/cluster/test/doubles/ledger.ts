import { FabricError } from "@revoada/fabric";

/** What was told to fail did. */
export class PlannedFailure extends FabricError {
  constructor(step: string) {
    super("TEST_PLANNED", `${step} was told to fail`);
  }
}

/** Writes down what was taken and given back, in order, and lets any step fail. */
export class Ledger {
  readonly events: string[] = [];
  readonly #open: string[] = [];
  readonly failing = new Set<string>();

  /** One step; throws where it was told to fail. */
  step(name: string): void {
    this.events.push(name);
    if (this.failing.has(name)) throw new PlannedFailure(name);
  }

  take(what: string): void {
    this.step(`${what} taken`);
    this.#open.push(what);
  }

  /** Gives something back, also where saying so fails. */
  give(what: string): void {
    const place = this.#open.indexOf(what);
    if (place < 0) throw new Error(`${what} was given back and not taken`);
    this.#open.splice(place, 1);
    this.step(`${what} given back`);
  }

  /** What is still held. */
  held(): readonly string[] {
    return [...this.#open];
  }
}
