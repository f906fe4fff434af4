import type {
  Committed,
  Consensus,
  ConsensusStatus,
  Generation,
  LogIndex,
  NodeId,
  ReplicaId,
  StateMachine,
} from "@revoada/fabric";

interface Waiting {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** A replica whose host learns when it is gone. */
export class GroupConsensus<Command, Result> implements Consensus<Command, Result> {
  readonly #replica: Consensus<Command, Result>;
  readonly #gone: () => void;

  constructor(replica: Consensus<Command, Result>, gone: () => void) {
    this.#replica = replica;
    this.#gone = gone;
  }

  start(machine: StateMachine<Command, Result>): Promise<void> {
    return this.#replica.start(machine);
  }

  propose(command: Command, options?: Waiting): Promise<Committed<Result>> {
    return this.#replica.propose(command, options);
  }

  readBarrier(options?: Waiting): Promise<LogIndex> {
    return this.#replica.readBarrier(options);
  }

  status(): ConsensusStatus {
    return this.#replica.status();
  }

  onChange(listener: (status: ConsensusStatus) => void): () => void {
    return this.#replica.onChange(listener);
  }

  changeVoters(
    change: {
      readonly voters: readonly ReplicaId[];
      readonly learners: readonly ReplicaId[];
      readonly generation: Generation;
    },
    options?: { readonly signal?: AbortSignal },
  ): Promise<void> {
    return this.#replica.changeVoters(change, options);
  }

  transferLeadership(to: NodeId, options?: Waiting): Promise<void> {
    return this.#replica.transferLeadership(to, options);
  }

  async shutdown(): Promise<void> {
    try {
      await this.#replica.shutdown();
    } finally {
      this.#gone();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}
