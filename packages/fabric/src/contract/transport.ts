/**
 * What every `Transport` must do.
 *
 * @example
 * ```ts
 * for (const { name, run } of transportContract(() => makeFixture())) test(name, run);
 * ```
 *
 * @packageDocumentation
 */
import type { Transport } from "../seams/transport.ts";
import { type ContractCase, contractCases, type ContractTime } from "./case.ts";
import { boundCases } from "./transport/bounds.ts";
import { peerCases } from "./transport/peers.ts";
import { requestCases } from "./transport/requests.ts";
import { streamCases } from "./transport/streams.ts";

export { type ContractCase, type ContractTime, ContractViolation, realTime, virtualTime } from "./case.ts";

/** Three transports that have started. Disposing of the fixture shuts all of them down. */
export interface TransportFixture extends AsyncDisposable {
  readonly time: ContractTime;
  /** Knows the addresses of `right` and admits everybody on every channel, as do the others. */
  readonly left: Transport;
  /** Knows the addresses of `left`. */
  readonly right: Transport;
  /** Knows nobody's address, and nobody knows its. */
  readonly stranger: Transport;
}

/** The cases, each over a fixture of its own. */
export function transportContract(create: () => Promise<TransportFixture>): readonly ContractCase[] {
  return contractCases(create, { ...requestCases, ...streamCases, ...boundCases, ...peerCases });
}
