import { FabricError } from "@revoada/fabric";

/** A promise of the architecture that a run broke: the seed that broke it reproduces it. */
export class InvariantViolation extends FabricError {
  readonly invariant: string;

  constructor(invariant: string, message: string) {
    super("SIMULATION_INVARIANT_BROKEN", `${invariant}: ${message}`);
    this.invariant = invariant;
  }
}

/** Throws {@link InvariantViolation} unless `holds`. */
export function require(holds: boolean, invariant: string, message: () => string): void {
  if (!holds) throw new InvariantViolation(invariant, message());
}
