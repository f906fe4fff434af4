import {
  FabricError,
  type AppliedEntry,
  type Committed,
  type Configuration,
  type Consensus,
  type ConsensusStatus,
  type Generation,
  type LogIndex,
  type NodeId,
  type ReplicaId,
  type ReplicaProgress,
  type StateMachine,
  type Term,
} from "@revoada/fabric";
import type { Ledger } from "./ledger.ts";

type Machine = StateMachine<Uint8Array, Uint8Array>;
type Change = Parameters<Consensus<Uint8Array, Uint8Array>["changeVoters"]>[0];
type EntryBody =
  AppliedEntry<Uint8Array> extends infer Entry
    ? Entry extends unknown
      ? Omit<Entry, "index" | "term">
      : never
    : never;

class LogRefusal extends FabricError {}

const nobody: Configuration = { voters: [], learners: [], generation: 0 as Generation };

/** The replicated log of one cluster in one place: whoever is told to lead leads, and what is proposed is committed at once. */
export class TestLog {
  readonly entries: AppliedEntry<Uint8Array>[] = [];
  readonly replicas = new Map<NodeId, TestConsensus>();
  /** Every change of voters that a leader asked for. */
  readonly changes: Change[] = [];
  configuration: Configuration = nobody;
  leader: NodeId | undefined;
  term = 0;
  /** Replicas that have acknowledged everything and are silent since, in milliseconds: nobody can hand leadership to them. */
  readonly silentMs = new Map<NodeId, number>();
  /** True: a replica that starts has not applied the log yet, and does with the next entry. */
  appliesLate = false;
  /** Called before a proposal is taken; a throw refuses it. */
  onPropose: (command: Uint8Array, from: NodeId) => void = () => undefined;
  /** Called when a joint change has begun; a throw leaves it half done. */
  onJoint: () => void = () => undefined;

  /** Another leader, in a new term. */
  elect(id: NodeId | undefined): void {
    this.leader = id;
    if (id !== undefined) {
      this.term += 1;
      this.append({ kind: "noop" });
    }
    for (const replica of this.replicas.values()) replica.announce();
  }

  append(body: EntryBody): AppliedEntry<Uint8Array> {
    const entry = {
      ...body,
      index: (this.entries.length + 1) as LogIndex,
      term: this.term as Term,
    } as AppliedEntry<Uint8Array>;
    this.entries.push(entry);
    if (entry.kind === "configuration") this.configuration = entry.configuration;
    for (const replica of this.replicas.values()) replica.catchUp();
    return entry;
  }

  holds(id: NodeId): boolean {
    const { voters, outgoing = [], learners } = this.configuration;
    return [...voters, ...outgoing, ...learners].some((replica) => replica.id === id);
  }
}

/** One node's place in a {@link TestLog}. */
export class TestConsensus implements Consensus<Uint8Array, Uint8Array> {
  readonly #log: TestLog;
  readonly #self: ReplicaId;
  readonly #ledger: Ledger;
  readonly #founding: boolean;
  readonly #listeners = new Set<(status: ConsensusStatus) => void>();
  readonly #results = new Map<number, Uint8Array | undefined>();
  #machine: Machine | undefined;
  #stopped = false;

  constructor(log: TestLog, self: ReplicaId, ledger: Ledger, founding: boolean) {
    this.#log = log;
    this.#self = self;
    this.#ledger = ledger;
    this.#founding = founding;
    ledger.take("consensus");
  }

  async start(machine: Machine): Promise<void> {
    this.#ledger.step("consensus started");
    this.#machine = machine;
    this.#log.replicas.set(this.#self.id, this);
    if (this.#founding && this.#log.entries.length === 0) {
      this.#log.configuration = { ...nobody, voters: [this.#self] };
      this.#log.elect(this.#self.id);
    }
    if (!this.#log.appliesLate) this.catchUp();
  }

  /** Applies what the log holds, where this node has a place in it. */
  catchUp(): void {
    const machine = this.#machine;
    if (machine === undefined || this.#stopped || !this.#log.holds(this.#self.id)) return;
    const { index } = machine.position();
    const results = machine.apply(this.#log.entries.slice(index)) as readonly (Uint8Array | undefined)[];
    for (const [place, result] of results.entries()) this.#results.set(index + place + 1, result);
  }

  announce(): void {
    for (const listener of this.#listeners) listener(this.status());
  }

  async propose(command: Uint8Array, options: { readonly signal?: AbortSignal } = {}): Promise<Committed<Uint8Array>> {
    options.signal?.throwIfAborted();
    if (this.#stopped) throw new LogRefusal("RAFT_STOPPED", "it is stopped");
    const { leader } = this.#log;
    if (leader === undefined) throw new LogRefusal("RAFT_NO_QUORUM", "no leader took it", { retryable: true });
    this.#log.onPropose(command, this.#self.id);
    const { index, term } = this.#log.append({ kind: "command", command });
    const answering = this.#results.has(index) ? this : (this.#log.replicas.get(leader) ?? this);
    const result = answering.#results.get(index);
    if (result === undefined) throw new LogRefusal("RAFT_OUTCOME_UNKNOWN", "nobody applied it");
    return { index, term, result };
  }

  async readBarrier(): Promise<LogIndex> {
    return this.#log.entries.length as LogIndex;
  }

  status(): ConsensusStatus {
    const log = this.#log;
    const { id, storeId } = this.#self;
    const last = log.entries.length as LogIndex;
    const applied = this.#machine?.position().index ?? (0 as LogIndex);
    const leads = log.leader === id;
    const role =
      this.#stopped || this.#machine === undefined
        ? "stopped"
        : leads
          ? "leader"
          : log.holds(id)
            ? this.#follows()
            : "outsider";
    const progress = new Map<NodeId, ReplicaProgress>();
    if (leads)
      for (const other of log.replicas.keys())
        if (other !== id)
          progress.set(other, { matchIndex: last, state: "replicate", silentMs: log.silentMs.get(other) ?? 0 });
    return {
      id,
      storeId,
      role,
      term: log.term as Term,
      ...(log.leader === undefined ? {} : { leader: log.leader }),
      firstIndex: 1 as LogIndex,
      lastIndex: last,
      durableIndex: last,
      commitIndex: last,
      appliedIndex: applied,
      configuration: log.configuration,
      configurationIndex: last,
      quorum: log.leader !== undefined,
      // For longer than anybody waits for.
      quorumSinceMs: log.leader === undefined ? 0 : 3_600_000,
      progress,
      storage: "ok",
    };
  }

  onChange(listener: (status: ConsensusStatus) => void): () => void {
    this.#listeners.add(listener);
    this.#ledger.take("consensus listener");
    return () => {
      if (this.#listeners.delete(listener)) this.#ledger.give("consensus listener");
    };
  }

  async changeVoters(change: Change): Promise<void> {
    const log = this.#log;
    if (log.leader !== this.#self.id) throw new LogRefusal("RAFT_NOT_LEADER", "another leads");
    log.changes.push(change);
    const outgoing = log.configuration.outgoing ?? log.configuration.voters;
    log.append({ kind: "configuration", configuration: { ...change, outgoing } });
    log.onJoint();
    log.append({ kind: "configuration", configuration: change });
    for (const replica of log.replicas.values()) replica.announce();
  }

  async transferLeadership(to: NodeId): Promise<void> {
    if (!this.#log.configuration.voters.some(({ id }) => id === to))
      throw new LogRefusal("RAFT_TRANSFER_FAILED", "it does not vote");
    if (this.#log.silentMs.has(to))
      throw new LogRefusal("RAFT_TRANSFER_FAILED", "it is not heard", { retryable: true });
    this.#log.elect(to);
  }

  async shutdown(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#log.replicas.get(this.#self.id) === this) this.#log.replicas.delete(this.#self.id);
    this.#ledger.give("consensus");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  #follows(): "follower" | "learner" {
    return this.#log.configuration.learners.some(({ id }) => id === this.#self.id) ? "learner" : "follower";
  }
}
