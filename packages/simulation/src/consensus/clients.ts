import { isFabricError, type Committed } from "@revoada/fabric";
import type { SeededRandom, VirtualClock } from "@revoada/fabric/memory";
import type { Call, Operation } from "../linearizability/operation.ts";
import type { ConsensusMonitor } from "./monitor.ts";
import type { RegisterCommand } from "./register-machine.ts";
import { ProcessDiedError, type SimulatedReplica } from "./replica.ts";
import type { Setup } from "./setup.ts";
import { NeverProposedError, SessionClients } from "./session-clients.ts";
import type { ConsensusTotals } from "./totals.ts";

/** Refusals after which nothing was appended and nothing ever will be. */
const definite: readonly string[] = [
  "RAFT_NOT_LEADER",
  "RAFT_NO_QUORUM",
  "RAFT_BACKPRESSURE",
  "RAFT_TOO_LARGE",
  "RAFT_STOPPED",
  "RAFT_SESSION_EXPIRED",
];

/** Operations that are planned together, at moments close to each other. */
export interface Batch {
  readonly atMs: number;
  readonly withinMs: number;
  readonly firstId: number;
  readonly count: number;
}

const batchSize = 25;
const keysRemembered = 4;
/** Operations beyond the plan have ids of their own. */
const firstUnplanned = 1_000_000;

/** Plans the operations of the chaos phase, in bursts and in trickles. */
export function planBatches(setup: Setup, random: SeededRandom): readonly Batch[] {
  const batches: Batch[] = [];
  const count = Math.ceil(setup.operations / batchSize);
  const stepMs = setup.chaosMs / count;
  for (let number = 0; number < count; number += 1) {
    const withinMs = stepMs * random.pick([0.02, 0.3, 1, 1, 2]);
    batches.push({ atMs: 300 + number * stepMs, withinMs, firstId: number * batchSize, count: batchSize });
  }
  return batches;
}

type Outcome = "pending" | "acknowledged" | "refused" | "unknown";

/** One call and what its client knows of it. */
export interface CallRecord {
  readonly id: number;
  readonly key: string;
  readonly call: Call;
  /** Asked the replica's own machine, behind a read barrier. */
  readonly local: boolean;
  readonly invokedAt: number;
  respondedAt: number;
  answer: string | undefined;
  outcome: Outcome;
  /** Where it was said to stand in the log. */
  index: number | undefined;
}

export interface ClientSurroundings {
  readonly clock: VirtualClock;
  readonly setup: Setup;
  readonly totals: ConsensusTotals;
  readonly monitor: ConsensusMonitor;
  readonly random: SeededRandom;
  readonly replicas: readonly SimulatedReplica[];
  entered(replica: SimulatedReplica): void;
  leader(): SimulatedReplica | undefined;
}

/** Clients that write, compare, append and read, each through whichever replica it likes, and note what they were told. */
export class Clients {
  readonly records: CallRecord[] = [];
  readonly #around: ClientSurroundings;
  /** The newest value of each key that somebody was told: what compare-and-swap expects. */
  readonly #told = new Map<string, string>();
  /** Keys that were changed last, the newest one last. */
  #changed: readonly string[] = [];
  readonly #sessions: SessionClients;
  #moment = 0;
  #pending = 0;
  #nextId = firstUnplanned;

  constructor(around: ClientSurroundings) {
    this.#around = around;
    this.#sessions = new SessionClients(around);
  }

  /** Operations that wait for an answer of a process that lives. */
  get pending(): number {
    return this.#pending;
  }

  start(batch: Batch): void {
    const { clock, random } = this.#around;
    for (let number = 0; number < batch.count; number += 1) {
      const id = batch.firstId + number;
      const own = random.fork(`operation-${id}`);
      clock.schedule(own.float() * batch.withinMs, () => this.#operate(id, own));
    }
  }

  /** Reads and writes at this very replica, right away: as the clients do that are connected to it. */
  rush(replica: SimulatedReplica, random: SeededRandom, count: number): void {
    for (let number = 0; number < count; number += 1) {
      const id = this.#take();
      // What was changed last is what somebody who missed it would tell wrong.
      const key = this.#changed.at(-1 - number) ?? this.#key(random);
      this.#call(id, replica, key, random.chance(0.8) ? { kind: "get" } : this.#write(id, random, key), true);
    }
  }

  /** One write through `replica`; the result tells what became of it, and `acknowledged` is called at once where it went well. */
  write(replica: SimulatedReplica, random: SeededRandom, acknowledged?: () => void): CallRecord {
    const id = this.#take();
    return this.#call(id, replica, this.#key(random), { kind: "put", value: `p${id};` }, false, acknowledged);
  }

  read(replica: SimulatedReplica, key: number): CallRecord {
    return this.#call(this.#take(), replica, `k${key}`, { kind: "get" }, true);
  }

  #take(): number {
    this.#nextId += 1;
    return this.#nextId;
  }

  #key(random: SeededRandom): string {
    return `k${random.below(this.#around.setup.keys)}`;
  }

  #operate(id: number, random: SeededRandom): void {
    const { setup, totals, replicas } = this.#around;
    const running = replicas.filter((replica) => replica.isRunning);
    const leader = random.chance(setup.leaderBias) ? this.#around.leader() : undefined;
    const replica = leader ?? (running.length > 0 ? random.pick(running) : undefined);
    const key = this.#key(random);
    if (random.chance(setup.readShare)) {
      if (replica !== undefined) this.#call(id, replica, key, { kind: "get" }, true);
      else totals.operations += 1;
      return;
    }
    const call = this.#write(id, random, key);
    if (replica !== undefined) this.#call(id, replica, key, call, false);
    else totals.operations += 1;
  }

  #write(id: number, random: SeededRandom, key = ""): Call {
    const kind = random.pick(["get", "put", "put", "append", "append", "compare-and-swap"] as const);
    switch (kind) {
      case "get":
        return { kind };
      case "put":
        return { kind, value: `p${id};` };
      case "append":
        return { kind, value: `a${id};` };
      case "compare-and-swap":
        return { kind, expected: this.#told.get(key) ?? "", value: `c${id};` };
    }
  }

  #call(
    id: number,
    replica: SimulatedReplica,
    key: string,
    call: Call,
    mayBeLocal: boolean,
    acknowledged?: () => void,
  ): CallRecord {
    const { totals } = this.#around;
    const local = mayBeLocal && call.kind === "get";
    this.#moment += 1;
    const record: CallRecord = {
      id,
      key,
      call,
      local,
      invokedAt: this.#moment,
      respondedAt: Infinity,
      answer: undefined,
      outcome: "pending",
      index: undefined,
    };
    this.records.push(record);
    totals.operations += 1;
    this.#pending += 1;
    this.#around.entered(replica);
    (local ? this.#readLocally(replica, record) : this.#propose(replica, record)).then(
      () => {
        this.#acknowledged(record);
        acknowledged?.();
      },
      (error: unknown) => this.#failed(record, error),
    );
    return record;
  }

  async #readLocally(replica: SimulatedReplica, record: CallRecord): Promise<void> {
    const { machine, consensus } = replica.life;
    await replica.whileUp(consensus.readBarrier());
    record.answer = machine.registers.get(record.key);
    this.#around.totals.readIndexReads += 1;
  }

  async #propose(replica: SimulatedReplica, record: CallRecord): Promise<void> {
    const { id, key, call } = record;
    const { index, result } = await this.#committed(replica, { id, key, call });
    record.answer = result;
    record.index = index;
  }

  /** A part of what is planned goes through sessions. What proves that a healed group serves does not: its session might expire. */
  #committed(replica: SimulatedReplica, command: RegisterCommand): Promise<Committed<string>> {
    const inSession = command.id < firstUnplanned ? this.#sessions.propose(replica, command) : undefined;
    return inSession ?? replica.whileUp(replica.life.consensus.propose(command));
  }

  #acknowledged(record: CallRecord): void {
    this.#moment += 1;
    record.respondedAt = this.#moment;
    record.outcome = "acknowledged";
    this.#pending -= 1;
    this.#around.totals.acknowledged += 1;
    const { call, answer } = record;
    if (call.kind === "get" || call.kind === "append") this.#told.set(record.key, answer ?? "");
    else if (answer === "true") this.#told.set(record.key, call.value);
    if (call.kind !== "get" && answer?.startsWith("false") === false)
      this.#changed = [...this.#changed.filter((key) => key !== record.key), record.key].slice(-keysRemembered);
  }

  #failed(record: CallRecord, error: unknown): void {
    this.#pending -= 1;
    const cause = error instanceof NeverProposedError ? error.cause : error;
    const isKnown = isFabricError(cause) || cause instanceof ProcessDiedError;
    this.#around.monitor.check(
      isKnown,
      "typed-outcomes",
      () =>
        `operation ${record.id} failed with ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
    const isRefused = isFabricError(error, ...definite) || error instanceof NeverProposedError;
    record.outcome = isRefused ? "refused" : "unknown";
    this.#around.totals[record.outcome] += 1;
  }

  /** What the clients saw, as a history: refused calls did not happen, and a read that failed says nothing. */
  history(): readonly Operation[] {
    const operations: Operation[] = [];
    for (const { id, key, call, invokedAt, respondedAt, answer, outcome } of this.records) {
      if (outcome === "refused" || (call.kind === "get" && outcome !== "acknowledged")) continue;
      operations.push({ id, key, call, invokedAt, respondedAt, ...(answer === undefined ? {} : { answer }) });
    }
    return operations;
  }
}
