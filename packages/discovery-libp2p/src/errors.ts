import { describeValue, FabricError } from "@revoada/fabric";

/** What the source is told cannot be understood. */
export class DiscoveryOptionsError extends FabricError {
  constructor(option: string, value: unknown, expected: string) {
    super("DISCOVERY_INVALID_OPTIONS", `${option}: expected ${expected}, got ${describeValue(value)}`);
  }
}

/** libp2p cannot listen where it was told to. */
export class DiscoveryListenError extends FabricError {
  constructor(addresses: readonly string[], cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super("DISCOVERY_LISTEN_FAILED", `libp2p cannot listen on ${addresses.join(", ")}: ${reason}`, { cause });
  }
}
