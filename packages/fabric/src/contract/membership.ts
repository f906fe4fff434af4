/**
 * What every `Membership` must do.
 *
 * @example
 * ```ts
 * for (const { name, run } of membershipContract(() => makeFixture())) test(name, run);
 * ```
 *
 * @packageDocumentation
 */
import type { NodeId } from "../ids.ts";
import type { Membership } from "../seams/membership.ts";
import { type ContractCase, contractCases, type ContractTime } from "./case.ts";
import { factCases } from "./membership/facts.ts";
import { statusCases } from "./membership/statuses.ts";

export { type ContractCase, type ContractTime, ContractViolation, realTime, virtualTime } from "./case.ts";

/** Five nodes, started and able to find each other. */
export interface MembershipFixture extends AsyncDisposable {
  readonly time: ContractTime;
  /** Five ids; the kit speaks of the nodes by them. */
  readonly ids: readonly NodeId[];
  /** The membership of a node in its present life. */
  member(id: NodeId): Membership;
  /** Ends a node's process as SIGKILL does: its host stays, closes its connections and refuses new ones. */
  kill(id: NodeId): Promise<void>;
  /** Cuts a node off from every other, both ways and without a sign. */
  silence(id: NodeId): void;
  /** Ends every silence. */
  heal(): void;
  /** Starts a killed node, or one that has left, in a newer generation. */
  restart(id: NodeId): Promise<void>;
}

/** The cases, each over a fixture of its own. */
export function membershipContract(create: () => Promise<MembershipFixture>): readonly ContractCase[] {
  return contractCases(create, { ...factCases, ...statusCases });
}
