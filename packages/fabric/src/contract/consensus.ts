/**
 * What every `Consensus` must do.
 *
 * @example
 * ```ts
 * for (const { name, run } of consensusContract(() => makeFixture())) test(name, run);
 * ```
 *
 * @packageDocumentation
 */
import type { NodeId } from "../ids.ts";
import type { Consensus, ReplicaId } from "../seams/consensus.ts";
import { type ContractCase, contractCases, type ContractTime } from "./case.ts";
import { agreementCases } from "./consensus/agreement.ts";
import { configurationCases } from "./consensus/configurations.ts";
import { failureCases } from "./consensus/failures.ts";
import { Replicas } from "./consensus/replicas.ts";

export { type ContractCase, type ContractTime, ContractViolation, realTime, virtualTime } from "./case.ts";

/** Three voters and a spare, none of them started. Commands and results are bytes. */
export interface ConsensusFixture extends AsyncDisposable {
  readonly time: ContractTime;
  /** Three: the voters of the configuration that the cluster begins with. */
  readonly voters: readonly ReplicaId[];
  /** Can be reached by the others and is in no configuration. */
  readonly spare: ReplicaId;
  /** A replica over what the node has on its disk, not started. Another one for the same node is asked for after a crash only. */
  replica(id: NodeId): Consensus<Uint8Array, Uint8Array>;
  /** Ends a node as a power cut does: it says nothing more, and only what it had made durable is there for its next replica. */
  crash(id: NodeId): Promise<void>;
  /** Cuts a node off from every other, both ways. */
  isolate(id: NodeId): void;
  /** Connects everybody again. */
  heal(): void;
}

/** The cases, each over a fixture of its own. */
export function consensusContract(create: () => Promise<ConsensusFixture>): readonly ContractCase[] {
  const started = async (): Promise<Replicas> => {
    const replicas = new Replicas(await create());
    await replicas.startAll();
    return replicas;
  };
  return contractCases(started, { ...agreementCases, ...failureCases, ...configurationCases });
}
