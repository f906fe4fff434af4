import {
  type AppliedEntry,
  type Committed,
  type Configuration,
  type Consensus,
  type ConsensusRole,
  type ConsensusStatus,
  FabricError,
  type Generation,
  isFabricError,
  type LogIndex,
  type NodeId,
  type ReplicaId,
  type ReplicaProgress,
  type StateMachine,
  type Term,
} from "@revoada/fabric";
import type { VirtualClock } from "@revoada/fabric/memory";

/** Ways in which the reference can be broken on purpose. */
export type ConsensusDefect =
  | "needs no majority"
  | "counts learners as voters"
  | "loses the log when all are down"
  | "loses the last entry of a dead leader"
  | "applies what is forwarded twice"
  | "forwards nothing"
  | "answers before it applies"
  | "reads without asking"
  | "keeps the term over an election"
  | "always believes in its majority"
  | "waits for ever"
  | "skips no-ops"
  | "stops with the machine of another"
  | "lets two lead"
  | "tells no listener"
  | "takes commands of any size"
  | "looks at no signal"
  | "serves after its end"
  | "hands over to anyone"
  | "hands over to nobody"
  | "lets followers change voters"
  | "changes no voters"
  | "writes down what is in force already";

type Bytes = Uint8Array;

const tickMs = 10;
const ticksToElect = 3;
const patienceMs = 1000;
const maxCommandBytes = 4 * 1024 * 1024;

interface Waiting {
  readonly from: OracleReplica;
  readonly deadlineMs: number;
  /** True once it is settled or placed in the log. */
  done: boolean;
  attempt(leader: OracleReplica): void;
  readonly reject: (error: unknown) => void;
}

/** The one log that all replicas share, and who of them can talk to whom. What is in the log is committed. */
export class Oracle {
  readonly clock: VirtualClock;
  readonly defect: ConsensusDefect | undefined;
  readonly replicas: Map<NodeId, OracleReplica> = new Map();
  readonly isolated: Set<NodeId> = new Set();
  log: AppliedEntry<Bytes>[] = [];
  readonly answers: Map<number, (result: Bytes) => void> = new Map();
  readonly waiting: Set<Waiting> = new Set();
  readonly initial: Configuration;
  term = 0;
  leader: OracleReplica | undefined;
  #leaderlessTicks = 0;
  #over = false;

  constructor(clock: VirtualClock, initial: Configuration, defect?: ConsensusDefect) {
    this.clock = clock;
    this.initial = initial;
    this.defect = defect;
    this.#tick();
  }

  get configuration(): Configuration {
    const last = this.log.findLast((entry) => entry.kind === "configuration");
    return last?.kind === "configuration" ? last.configuration : this.initial;
  }

  stop(): void {
    this.#over = true;
  }

  connected(one: NodeId, other: NodeId): boolean {
    return one === other || (!this.isolated.has(one) && !this.isolated.has(other));
  }

  /** True where most voters of `configuration` run and can be reached from `from`. */
  hasMajority(from: NodeId, configuration: Configuration = this.configuration): boolean {
    if (this.defect === "needs no majority") return true;
    const voters = [
      ...configuration.voters,
      ...(this.defect === "counts learners as voters" ? configuration.learners : []),
    ];
    const reached = voters.filter(({ id }) => this.replicas.get(id)?.isUp === true && this.connected(from, id));
    const wanted = this.defect === "counts learners as voters" ? configuration.voters.length : voters.length;
    return reached.length > wanted / 2;
  }

  append(
    entry:
      | { kind: "noop" }
      | { kind: "command"; command: Bytes }
      | { kind: "configuration"; configuration: Configuration },
  ): LogIndex {
    const index = (this.log.length + 1) as LogIndex;
    this.log.push({ ...entry, index, term: this.term as Term });
    return index;
  }

  lead(replica: OracleReplica): void {
    if (this.defect !== "keeps the term over an election" || this.term === 0) this.term += 1;
    this.leader = replica;
    this.#leaderlessTicks = 0;
    this.append({ kind: "noop" });
  }

  remove(replica: OracleReplica): void {
    if (this.replicas.get(replica.id) !== replica) return;
    this.replicas.delete(replica.id);
    replica.end();
    for (const waiting of this.waiting) if (waiting.from === replica) this.waiting.delete(waiting);
    if (this.defect === "loses the last entry of a dead leader" && replica === this.leader) this.log.pop();
    if (this.defect === "loses the log when all are down" && this.replicas.size <= 1) this.log = [];
  }

  #tick(): void {
    if (this.#over) return;
    this.#elect();
    for (const waiting of this.waiting) this.#serve(waiting);
    for (const replica of this.replicas.values()) replica.catchUp();
    for (const replica of this.replicas.values()) replica.tell();
    this.clock.schedule(tickMs, () => this.#tick());
  }

  #elect(): void {
    const { leader } = this;
    const votes = leader !== undefined && this.configuration.voters.some(({ id }) => id === leader.id);
    if (leader?.isUp === true && votes && this.hasMajority(leader.id)) return;
    this.leader = undefined;
    this.#leaderlessTicks += 1;
    if (this.#leaderlessTicks < ticksToElect) return;
    const candidates = this.configuration.voters.flatMap(({ id }) => this.replicas.get(id) ?? []);
    const elected =
      candidates.find(({ id, isUp }) => isUp && id !== leader?.id && this.hasMajority(id)) ??
      candidates.find(({ id, isUp }) => isUp && this.hasMajority(id));
    if (elected !== undefined) this.lead(elected);
  }

  #serve(waiting: Waiting): void {
    const { leader } = this;
    if (leader !== undefined && this.connected(leader.id, waiting.from.id)) waiting.attempt(leader);
    else if (this.clock.monotonicMs() >= waiting.deadlineMs && this.defect !== "waits for ever") {
      waiting.reject(new FabricError("RAFT_NO_QUORUM", "nobody leads", { retryable: true }));
      waiting.done = true;
    }
    if (waiting.done) this.waiting.delete(waiting);
  }
}

/** One replica of the oracle's log. */
export class OracleReplica implements Consensus<Bytes, Bytes> {
  readonly id: NodeId;
  readonly #member: ReplicaId;
  readonly #oracle: Oracle;
  readonly #listeners = new Set<(status: ConsensusStatus) => void>();
  #machine: StateMachine<Bytes, Bytes> | undefined;
  #applied = 0;
  #heard = 0;
  #configuration: Configuration;
  #configurationIndex = 0;
  #told = "";
  #stopped = false;

  constructor(oracle: Oracle, member: ReplicaId) {
    this.id = member.id;
    this.#member = member;
    this.#oracle = oracle;
    const founder = oracle.initial.voters.some(({ id }) => id === member.id);
    this.#configuration = founder ? oracle.initial : { voters: [], learners: [], generation: 0 as Generation };
  }

  get isUp(): boolean {
    return this.#machine !== undefined && !this.#stopped;
  }

  async start(machine: StateMachine<Bytes, Bytes>): Promise<void> {
    this.#machine = machine;
    this.#oracle.replicas.set(this.id, this);
  }

  propose(command: Bytes, options: { readonly signal?: AbortSignal } = {}): Promise<Committed<Bytes>> {
    const { defect } = this.#oracle;
    if (this.#stopped && defect !== "serves after its end") return Promise.reject(stopped());
    if (options.signal?.aborted === true && defect !== "looks at no signal")
      return Promise.reject(options.signal.reason as Error);
    if (command.length > maxCommandBytes && defect !== "takes commands of any size") {
      return Promise.reject(new FabricError("RAFT_TOO_LARGE", `${command.length} bytes`));
    }
    if (defect === "forwards nothing" && this.#oracle.leader !== this) {
      return Promise.reject(new FabricError("RAFT_NOT_LEADER", "another leads", { retryable: true }));
    }
    return this.#wait<Committed<Bytes>>((leader, resolve) => {
      const index = this.#oracle.append({ kind: "command", command });
      if (defect === "applies what is forwarded twice" && leader !== this)
        this.#oracle.append({ kind: "command", command });
      const term = this.#oracle.term as Term;
      if (defect === "answers before it applies") resolve({ index, term, result: new Uint8Array() });
      else this.#oracle.answers.set(index, (result) => resolve({ index, term, result }));
    });
  }

  readBarrier(): Promise<LogIndex> {
    if (this.#stopped) return Promise.reject(stopped());
    if (this.#oracle.defect === "reads without asking") return Promise.resolve(this.#applied as LogIndex);
    const wanted = this.#oracle.log.length;
    return this.#wait<LogIndex>((_leader, resolve) => {
      this.catchUp();
      if (this.#applied >= wanted) resolve(this.#applied as LogIndex);
    });
  }

  status(): ConsensusStatus {
    const oracle = this.#oracle;
    const last = oracle.log.length as LogIndex;
    const leader = this.#leader();
    const role = this.#role();
    const believes = oracle.defect === "always believes in its majority";
    return {
      id: this.id,
      storeId: this.#member.storeId,
      role,
      term: oracle.term as Term,
      ...(leader === undefined ? {} : { leader: leader.id }),
      firstIndex: 1 as LogIndex,
      lastIndex: last,
      durableIndex: last,
      commitIndex: last,
      appliedIndex: this.#applied as LogIndex,
      configuration: this.#configuration,
      configurationIndex: this.#configurationIndex as LogIndex,
      quorum: believes || leader !== undefined,
      quorumSinceMs: 0,
      progress: this.#progress(role),
      storage: "ok",
    };
  }

  onChange(listener: (status: ConsensusStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  changeVoters(change: {
    readonly voters: readonly ReplicaId[];
    readonly learners: readonly ReplicaId[];
    readonly generation: Generation;
  }): Promise<void> {
    const { defect, configuration } = this.#oracle;
    if (this.#oracle.leader !== this && defect !== "lets followers change voters") {
      return Promise.reject(new FabricError("RAFT_NOT_LEADER", "another leads", { retryable: true }));
    }
    const inForce = JSON.stringify(configuration) === JSON.stringify({ ...change });
    if ((inForce && defect !== "writes down what is in force already") || defect === "changes no voters")
      return Promise.resolve();
    return this.#wait<void>((leader, resolve) => {
      if (!this.#oracle.hasMajority(leader.id, change)) return;
      this.#oracle.append({ kind: "configuration", configuration: { ...change } });
      leader.catchUp();
      resolve();
    });
  }

  async transferLeadership(to: NodeId): Promise<void> {
    const { defect, configuration, leader, replicas } = this.#oracle;
    if (leader !== this) throw new FabricError("RAFT_NOT_LEADER", "another leads", { retryable: true });
    const heir = replicas.get(to);
    const votes = configuration.voters.some(({ id }) => id === to) || defect === "hands over to anyone";
    if (heir?.isUp !== true || !votes) throw new FabricError("RAFT_TRANSFER_FAILED", "it cannot lead");
    if (defect !== "hands over to nobody") this.#oracle.lead(heir);
  }

  async shutdown(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const waiting of this.#oracle.waiting) if (waiting.from === this) waiting.reject(stopped());
    this.#oracle.remove(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** Its process is gone. */
  end(): void {
    this.#machine = undefined;
  }

  /** Applies what is in the log, where a leader can be heard. */
  catchUp(): void {
    const leader = this.#leader();
    const known = [...this.#oracle.configuration.voters, ...this.#oracle.configuration.learners].some(
      ({ id }) => id === this.id,
    );
    if (!this.isUp || leader === undefined || !known) return;
    // A follower hears of the newest entries a tick later.
    const end = leader === this ? this.#oracle.log.length : this.#heard;
    this.#heard = leader.#applied;
    for (const entry of this.#oracle.log.slice(this.#applied, end)) if (!this.#apply(entry)) return;
  }

  /** Calls listeners where something changed. */
  tell(): void {
    const status = this.status();
    const now = [status.role, status.leader, status.term, status.configurationIndex].join();
    if (now === this.#told || this.#oracle.defect === "tells no listener") return;
    this.#told = now;
    for (const listener of this.#listeners) listener(status);
  }

  #apply(entry: AppliedEntry<Bytes>): boolean {
    const { answers, defect, leader, replicas } = this.#oracle;
    this.#applied = entry.index;
    if (entry.kind === "configuration") {
      this.#configuration = entry.configuration;
      this.#configurationIndex = entry.index;
    }
    if (entry.kind === "noop" && defect === "skips no-ops") return true;
    try {
      const results = this.#machine?.apply([entry]);
      const result = Array.isArray(results) ? (results as readonly (Bytes | undefined)[])[0] : undefined;
      if (leader !== this || entry.kind !== "command") return true;
      answers.get(entry.index)?.(result ?? new Uint8Array());
      answers.delete(entry.index);
      return true;
    } catch (error) {
      if (isFabricError(error, "CONTRACT_VIOLATED")) this.#machine = undefined;
      this.#stopped = true;
      if (defect === "stops with the machine of another")
        for (const replica of replicas.values()) replica.#stopped = true;
      return false;
    }
  }

  #leader(): OracleReplica | undefined {
    const { leader } = this.#oracle;
    return leader !== undefined && this.isUp && this.#oracle.connected(leader.id, this.id) ? leader : undefined;
  }

  #role(): ConsensusRole {
    if (this.#stopped) return "stopped";
    const twin =
      this.#oracle.defect === "lets two lead" && this.#oracle.leader !== undefined && this.id.startsWith("2");
    if (this.#oracle.leader === this || twin) return "leader";
    if (this.#configuration.voters.some(({ id }) => id === this.id)) return "follower";
    return this.#configuration.learners.some(({ id }) => id === this.id) ? "learner" : "outsider";
  }

  #progress(role: ConsensusRole): ReadonlyMap<NodeId, ReplicaProgress> {
    if (role !== "leader") return new Map();
    const others = [...this.#configuration.voters, ...this.#configuration.learners].filter(({ id }) => id !== this.id);
    const matchIndex = this.#applied as LogIndex;
    return new Map(others.map(({ id }) => [id, { matchIndex, state: "replicate", silentMs: 0 }]));
  }

  #wait<T>(attempt: (leader: OracleReplica, resolve: (value: T) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        from: this,
        deadlineMs: this.#oracle.clock.monotonicMs() + patienceMs,
        done: false,
        reject,
        attempt(leader) {
          const before = leader.#oracle.log.length;
          attempt(leader, (value) => {
            waiting.done = true;
            resolve(value);
          });
          // What is in the log is there for good: it must not be tried again.
          if (leader.#oracle.log.length > before) waiting.done = true;
        },
      };
      this.#oracle.waiting.add(waiting);
    });
  }
}

function stopped(): FabricError {
  return new FabricError("RAFT_STOPPED", "the replica was shut down");
}
