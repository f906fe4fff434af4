import type {
  Configuration,
  Generation,
  LogBase,
  LogEntry,
  LogIndex,
  NodeId,
  ReplicaId,
  StoreId,
  Term,
} from "@revoada/fabric";
import { decodeConfiguration, encodeConfiguration } from "../../src/core/configuration-codec.ts";
import { configurationOf } from "../../src/core/configuration.ts";
import { RaftCore } from "../../src/core/raft-core.ts";
import type { Presence } from "../../src/core/rest.ts";
import type { CoreLimits, Effect, Event, Message, MessageBody } from "../../src/core/types.ts";

export const electionTimeoutMs = 100;

export function nodeId(n: number): NodeId {
  return n.toString(16).padStart(64, "0") as NodeId;
}

export function storeIdOf(n: number, life = 0): StoreId {
  return `${life.toString(16)}${n.toString(16).padStart(31, "0")}` as StoreId;
}

export function replica(n: number, life = 0): ReplicaId {
  return { id: nodeId(n), storeId: storeIdOf(n, life) };
}

export function replicas(...numbers: readonly number[]): readonly ReplicaId[] {
  return numbers.map((n) => replica(n));
}

export function generation(n: number): Generation {
  return n as Generation;
}

export function entry(
  index: number,
  term: number,
  payload: string | Uint8Array = "",
  kind: LogEntry["kind"] = "command",
): LogEntry {
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  return { index: index as LogIndex, term: term as Term, kind, payload: bytes };
}

export function configurationEntry(index: number, term: number, configuration: Configuration): LogEntry {
  return entry(index, term, encodeConfiguration(configuration), "configuration");
}

/** A linear congruential generator: the same seed, the same elections. */
export function lcg(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

export interface NodeOptions {
  readonly configuration?: Configuration;
  readonly entries?: readonly LogEntry[];
  readonly term?: number;
  readonly vote?: NodeId;
  readonly commitIndex?: number;
  readonly appliedIndex?: number;
  readonly integrity?: "ok" | "corrupt";
  readonly life?: number;
  readonly random?: () => number;
  readonly limits?: Partial<CoreLimits>;
  readonly snapshotIntervalEntries?: number;
  readonly baseIndex?: number;
  readonly baseTerm?: number;
  readonly nowMs?: number;
  readonly leaseReads?: { readonly marginMs: number };
  readonly presence?: Presence;
}

/** What a disk holds: written only by persist effects that have completed. */
export interface StoredLog {
  term: number;
  vote: string | undefined;
  commitIndex: number;
  entries: LogEntry[];
  baseIndex: number;
  baseTerm: number;
  baseConfiguration: Configuration | undefined;
}

type Persist = Extract<Effect, { readonly type: "persist" }>;
type Apply = Extract<Effect, { readonly type: "apply" }>;

/** What a node did, in order. */
export type TraceItem =
  | { readonly kind: "effect"; readonly effect: Effect }
  | { readonly kind: "durable"; readonly seq: number }
  | { readonly kind: "released"; readonly message: Message };

/** One core with a disk and a machine that complete when they are told to. */
export class TestNode {
  readonly number: number;
  readonly options: NodeOptions;
  readonly stored: StoredLog;
  core: RaftCore;
  nowMs: number;
  /** Writes complete at once unless this is set. */
  holdWrites = false;
  /** The machine stops where it is while this is set. */
  holdApply = false;
  pendingWrites: Persist[] = [];
  pendingApply: Apply | undefined;
  pendingInstall: LogBase | undefined;
  onTrace: (item: TraceItem) => void = () => {};
  sent: Message[] = [];
  applied: LogEntry[] = [];
  effects: Effect[] = [];
  #events: Event[] = [];

  constructor(n: number, options: NodeOptions = {}) {
    this.number = n;
    this.options = options;
    this.nowMs = options.nowMs ?? 0;
    this.stored = {
      term: options.term ?? 0,
      vote: options.vote,
      commitIndex: options.commitIndex ?? 0,
      entries: [...(options.entries ?? [])],
      baseIndex: options.baseIndex ?? 0,
      baseTerm: options.baseTerm ?? 0,
      baseConfiguration: options.configuration,
    };
    this.core = this.#open(options.integrity ?? "ok");
  }

  get id(): NodeId {
    return nodeId(this.number);
  }

  #open(integrity: "ok" | "corrupt"): RaftCore {
    const { stored, options } = this;
    const at = (index: number): LogEntry | undefined => stored.entries[index - stored.baseIndex - 1];
    return new RaftCore({
      ...replica(this.number, options.life),
      electionTimeoutMs,
      random: options.random ?? lcg(this.number * 7919 + 1),
      appliedIndex: Math.max(options.appliedIndex ?? 0, stored.baseIndex),
      snapshotIntervalEntries: options.snapshotIntervalEntries ?? 1_000_000,
      ...(options.limits === undefined ? {} : { limits: options.limits }),
      ...(options.presence === undefined ? {} : { presence: options.presence }),
      ...(options.leaseReads === undefined ? {} : { leaseReads: options.leaseReads }),
      nowMs: this.nowMs,
      log: {
        hardState: {
          term: stored.term as Term,
          commitIndex: stored.commitIndex as LogIndex,
          ...(stored.vote === undefined ? {} : { vote: stored.vote }),
        },
        base: {
          index: stored.baseIndex as LogIndex,
          term: stored.baseTerm as Term,
          ...(stored.baseConfiguration === undefined ? {} : { configuration: stored.baseConfiguration }),
        },
        lastIndex: stored.baseIndex + stored.entries.length,
        integrity,
        configurations: stored.entries.flatMap((each) =>
          each.kind === "configuration"
            ? [{ index: each.index, configuration: decodeConfiguration(each.payload) }]
            : [],
        ),
        term: (index) => (index === stored.baseIndex ? stored.baseTerm : at(index)?.term),
      },
    });
  }

  /** Everything that was not durable is gone. */
  restart(integrity: "ok" | "corrupt" = "ok"): void {
    this.pendingWrites = [];
    this.pendingApply = undefined;
    this.sent = [];
    this.applied = this.applied.slice(0, 0);
    this.core = this.#open(integrity);
  }

  /** Carries out all effects of one event before the next, as the driver does. */
  step(event: Event): readonly Effect[] {
    this.#events.push(event);
    if (this.#events.length > 1) return [];
    const all: Effect[] = [];
    try {
      for (let at = 0; at < this.#events.length; at += 1) {
        const effects = this.core.step(this.#events[at] as Event, this.nowMs);
        all.push(...effects);
        for (const effect of effects) this.#carryOut(effect);
      }
    } finally {
      this.#events = [];
    }
    return all;
  }

  advance(ms: number): readonly Effect[] {
    this.nowMs += ms;
    return this.step({ type: "tick" });
  }

  receive(from: number, term: number, body: MessageBody, life = 0): readonly Effect[] {
    const { storeId } = replica(this.number, this.options.life);
    return this.step({
      type: "message",
      message: { from: nodeId(from), fromStore: storeIdOf(from, life), to: this.id, toStore: storeId, term, ...body },
    });
  }

  #carryOut(effect: Effect): void {
    this.effects.push(effect);
    this.onTrace({ kind: "effect", effect });
    if (effect.type === "send") this.sent.push(effect.message);
    if (effect.type === "persist") {
      this.pendingWrites.push(effect);
      if (!this.holdWrites) this.completeWrites();
    }
    if (effect.type === "apply") {
      this.pendingApply = effect;
      if (!this.holdApply) this.completeApply();
    }
    if (effect.type === "snapshot-install") this.pendingInstall = effect.base;
    if (effect.type === "read-log") this.#readLog(effect);
  }

  /** Lets the machine finish what it was given. */
  completeApply(): void {
    const effect = this.pendingApply;
    if (effect === undefined) return;
    this.pendingApply = undefined;
    const { entries, baseIndex } = this.stored;
    this.applied.push(...(effect.entries ?? entries.slice(effect.from - baseIndex - 1, effect.to - baseIndex)));
    this.step({ type: "applied", index: effect.to });
  }

  /** Ends the installation of a snapshot: the log begins behind it. */
  completeInstall(): void {
    const base = this.pendingInstall;
    if (base === undefined) throw new Error(`node ${this.number} installs no snapshot`);
    this.pendingInstall = undefined;
    Object.assign(this.stored, {
      baseIndex: base.index,
      baseTerm: base.term,
      baseConfiguration: base.configuration,
      entries: [],
    });
    this.step({ type: "snapshot-installed", base, success: true });
  }

  /** Forgets the log up to `index`, as after a snapshot was saved. */
  compact(index: number): void {
    const { stored, core } = this;
    const base = { index, term: core.termAt(index), configuration: core.configurationAt(index) } as LogBase;
    stored.entries = stored.entries.slice(index - stored.baseIndex);
    Object.assign(stored, { baseIndex: index, baseTerm: base.term, baseConfiguration: base.configuration });
    this.step({ type: "snapshot-saved", base });
  }

  #readLog(effect: Extract<Effect, { readonly type: "read-log" }>): void {
    const first = effect.from - this.stored.baseIndex - 1;
    const entries: LogEntry[] = [];
    let bytes = 0;
    for (const each of this.stored.entries.slice(first, effect.upTo - this.stored.baseIndex)) {
      bytes += each.payload.length;
      if (entries.length > 0 && bytes > effect.maxBytes) break;
      entries.push(each);
    }
    this.step({ type: "log-read", to: effect.to, term: effect.term, from: effect.from, entries });
  }

  /** Completes the writes that are under way, or the first `count` of them. */
  completeWrites(count = Infinity): void {
    for (let done = 0; done < count && this.pendingWrites.length > 0; done += 1) {
      const write = this.pendingWrites.shift()!;
      this.#write(write);
      this.onTrace({ kind: "durable", seq: write.seq });
      for (const message of write.release) {
        this.onTrace({ kind: "released", message });
        this.sent.push(message);
      }
      this.step({ type: "persisted", seq: write.seq });
    }
  }

  #write(write: Persist): void {
    const { stored } = this;
    if (write.hardState !== undefined) {
      stored.term = write.hardState.term;
      stored.vote = write.hardState.vote;
      stored.commitIndex = write.hardState.commitIndex;
    }
    if (write.truncateFrom !== undefined) stored.entries.length = write.truncateFrom - stored.baseIndex - 1;
    stored.entries.push(...write.entries);
  }

  /** Takes what was sent since the last time. */
  takeSent(): readonly Message[] {
    const sent = this.sent;
    this.sent = [];
    return sent;
  }

  /** The log as (index, term) pairs, in memory. */
  log(): readonly string[] {
    const lines: string[] = [];
    for (let index = this.core.firstIndex; index <= this.core.lastIndex; index += 1)
      lines.push(`${index}/${this.core.termAt(index)}`);
    return lines;
  }
}

/** Cores on a network that loses what it is told to lose and keeps the order of the rest. */
export class TestCluster {
  readonly nodes: Map<NodeId, TestNode> = new Map();
  /** True where a message gets through. */
  passes: (message: Message) => boolean = () => true;
  delivered: Message[] = [];

  constructor(numbers: readonly number[], options: (n: number) => NodeOptions = () => ({})) {
    const configuration = configurationOf(replicas(...numbers));
    for (const n of numbers) this.add(n, { configuration, ...options(n) });
  }

  add(n: number, options: NodeOptions): TestNode {
    const node = new TestNode(n, options);
    this.nodes.set(node.id, node);
    return node;
  }

  node(n: number): TestNode {
    return this.nodes.get(nodeId(n))!;
  }

  /** Delivers until nothing is under way. */
  settle(maxRounds = 1000): void {
    for (let round = 0; round < maxRounds; round += 1) {
      const batch = [...this.nodes.values()].flatMap((node) => node.takeSent());
      if (batch.length === 0) return;
      for (const message of batch) {
        if (!this.passes(message)) continue;
        this.delivered.push(message);
        const node = this.nodes.get(message.to);
        node?.step({ type: "message", message });
      }
    }
    throw new Error("the cluster does not come to rest");
  }

  /** Lets time pass everywhere, delivering after each slice. */
  run(totalMs: number, sliceMs = 10): void {
    for (let passed = 0; passed < totalMs; passed += sliceMs) {
      for (const node of this.nodes.values()) node.advance(sliceMs);
      this.settle();
    }
  }

  elect(n: number): TestNode {
    const node = this.node(n);
    // Whoever followed another leader must have lost it first.
    for (const each of this.nodes.values()) each.nowMs += electionTimeoutMs;
    node.step({ type: "campaign" });
    this.settle();
    if (!node.core.isLeader) throw new Error(`node ${n} was not elected`);
    return node;
  }

  propose(n: number, ...texts: readonly string[]): void {
    const payloads = texts.map((text) => new TextEncoder().encode(text));
    this.node(n).step({ type: "propose", id: 1, payloads });
  }

  /** Nobody hears these nodes and they hear nobody but each other. */
  isolate(...numbers: readonly number[]): void {
    const cut = new Set(numbers.map(nodeId));
    this.passes = (message) => cut.has(message.from) === cut.has(message.to);
  }

  heal(): void {
    this.passes = () => true;
  }

  leaders(): readonly number[] {
    return [...this.nodes.values()].filter((node) => node.core.isLeader).map((node) => node.number);
  }
}
