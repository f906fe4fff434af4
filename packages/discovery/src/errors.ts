import { describeValue, FabricError } from "@revoada/fabric";

/** A seed, or the name of a source, that cannot be understood. */
export class DiscoverySourceError extends FabricError {
  constructor(value: unknown, expected: string) {
    super("DISCOVERY_INVALID_SOURCE", `expected ${expected}, got ${describeValue(value)}`);
  }
}
