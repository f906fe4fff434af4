import { crc32 } from "node:zlib";
import type {
  Configuration,
  HardState,
  LogBase,
  LogBatch,
  LogEntry,
  NodeId,
  RecoveredLog,
  ReplicaId,
} from "@revoada/fabric";
import type { Trace } from "../trace.ts";
import { InvariantViolation } from "../violation.ts";
import type { WatchedCore, WatchedEffect, WatchedEvent, WatchedMessage } from "./core-steps.ts";
import type { ConsensusTotals } from "./totals.ts";

/** What is known of one store, whether or not a process has it open. */
interface StoreRecord {
  readonly node: NodeId;
  readonly storeId: string;
  baseIndex: number;
  baseTerm: number;
  /** Durable entries above the base: index → term. */
  readonly durable: Map<number, number>;
  lastDurable: number;
  term: number;
  vote: string | undefined;
  /** Bits of it were flipped, so that what it holds may be gone. */
  damaged: boolean;
  /** What is being written may cut the log from here on, at any moment. */
  cutUnderWay: number;
  resetUnderWay: boolean;
}

/** What a core was seen to be after its last step. */
interface CoreRecord {
  readonly core: WatchedCore;
  term: number;
  commitIndex: number;
  appliedIndex: number;
  configurationIndex: number;
  leads: boolean;
  storage: WatchedCore["storage"];
  /** Messages that wait for a write, by its seq. */
  readonly releases: { readonly seq: number; readonly messages: readonly WatchedMessage[] }[];
}

interface NodeRecord {
  store: StoreRecord | undefined;
  core: CoreRecord | undefined;
}

/** The order of members means nothing. */
export function describeConfiguration(configuration: Configuration | undefined): string {
  if (configuration === undefined) return "none";
  const list = (replicas: readonly ReplicaId[]): string =>
    replicas
      .map(({ id, storeId }) => `${id.slice(0, 4)}.${storeId.slice(0, 6)}`)
      .toSorted()
      .join(" ");
  const { voters, outgoing, learners, generation } = configuration;
  return `${generation}: ${list(voters)}${outgoing === undefined ? "" : ` from ${list(outgoing)}`} + ${list(learners)}`;
}

function entryKey(index: number, term: number): number {
  return index * 2 ** 24 + term;
}

function digestOf(entry: LogEntry): number {
  return crc32(entry.payload, entry.kind.length);
}

/**
 * Watches every step of every core, every durable write and every applied entry of a run. The first broken promise is kept; nothing
 * is thrown, because whoever is being watched would take that for its own failure.
 */
export class ConsensusMonitor {
  readonly #totals: ConsensusTotals;
  readonly #trace: Trace;
  readonly #nowMs: () => number;
  readonly #nodes = new Map<NodeId, NodeRecord>();
  readonly #stores = new Map<string, StoreRecord>();
  readonly #leaders = new Map<number, NodeId>();
  /** (index, term) → what it says and the term of the entry before it: two logs that share it share all before it. */
  readonly #entries = new Map<number, { readonly digest: number; readonly previousTerm: number | undefined }>();
  /** Terms of committed entries, by index. */
  readonly #committed: number[] = [0];
  readonly #configurations: { readonly index: number; readonly configuration: Configuration }[] = [];
  /** The highest committed entry that is a configuration; it may not have been applied yet. */
  #configurationIndex = 0;
  readonly #proposed = new Map<number, string>();
  readonly #hashes: (number | undefined)[] = [];
  #violation: InvariantViolation | undefined;

  constructor(totals: ConsensusTotals, trace: Trace, nowMs: () => number) {
    this.#totals = totals;
    this.#trace = trace;
    this.#nowMs = nowMs;
  }

  /** The first broken promise. */
  get violation(): InvariantViolation | undefined {
    return this.#violation;
  }

  /** The highest index that is known to be committed. */
  get committedIndex(): number {
    return this.#committed.length - 1;
  }

  /** True where every configuration that has committed was applied by somebody. */
  get knowsConfiguration(): boolean {
    return this.#configurationIndex <= (this.#configurations.at(-1)?.index ?? 0);
  }

  /** The configuration in force at the highest committed index. */
  get committedConfiguration(): Configuration | undefined {
    return this.#configurations.at(-1)?.configuration;
  }

  committedTerm(index: number): number | undefined {
    return this.#committed[index];
  }

  /** Notes a broken promise. */
  check(holds: boolean, invariant: string, message: () => string): void {
    if (holds || this.#violation !== undefined) return;
    this.#violation = new InvariantViolation(invariant, `${message()}, at ${this.#nowMs().toFixed(1)} ms`);
  }

  /** Tells of the configuration that the group was founded with, and of every change that is asked for. */
  proposed(configuration: Configuration): void {
    const known = { ...configuration, outgoing: undefined } as unknown as Configuration;
    this.#proposed.set(configuration.generation, describeConfiguration(known));
    if (this.#configurations.length === 0) this.#configurations.push({ index: 0, configuration });
  }

  #node(node: NodeId): NodeRecord {
    let record = this.#nodes.get(node);
    if (record === undefined) {
      record = { store: undefined, core: undefined };
      this.#nodes.set(node, record);
    }
    return record;
  }

  /** A process of this node ended. */
  stopped(node: NodeId): void {
    this.#node(node).core = undefined;
  }

  /** Bits of this node's log were flipped. */
  flipped(node: NodeId): void {
    const { store } = this.#node(node);
    if (store !== undefined) store.damaged = true;
  }

  /** It is durable that this node's log was refilled: until then it may open as corrupt again. */
  refilled(node: NodeId): void {
    const { store } = this.#node(node);
    if (store !== undefined) store.damaged = false;
  }

  /** True where the node's disk was found to be damaged, and it has not been refilled yet. */
  isCorrupt(node: NodeId): boolean {
    return this.#node(node).core?.storage === "corrupt";
  }

  // What disks hold.

  /** Notes what a log was found to hold: all that was durable, unless its bytes were changed. */
  logOpened(node: NodeId, found: RecoveredLog, termOf: (index: number) => number | undefined): void {
    const record = this.#node(node);
    const key = `${node}:${found.storeId}`;
    let store = this.#stores.get(key);
    if (store === undefined) {
      store = this.#newStore(node, found.storeId);
      this.#stores.set(key, store);
    } else {
      this.#compareOpened(store, found, termOf);
    }
    record.store = store;
    store.baseIndex = found.base.index;
    store.baseTerm = found.base.term;
    store.lastDurable = found.lastIndex;
    store.term = found.hardState.term;
    store.vote = found.hardState.vote;
    store.cutUnderWay = Infinity;
    store.resetUnderWay = false;
    store.durable.clear();
    for (let index = found.base.index + 1; index <= found.lastIndex; index += 1)
      store.durable.set(index, termOf(index) ?? 0);
    if (found.integrity === "corrupt") this.#totals.corruptLogs += 1;
    else store.damaged = false;
  }

  #newStore(node: NodeId, storeId: string): StoreRecord {
    return {
      node,
      storeId,
      baseIndex: 0,
      baseTerm: 0,
      durable: new Map(),
      lastDurable: 0,
      term: 0,
      vote: undefined,
      damaged: false,
      cutUnderWay: Infinity,
      resetUnderWay: false,
    };
  }

  #compareOpened(store: StoreRecord, found: RecoveredLog, termOf: (index: number) => number | undefined): void {
    const { node, term, vote } = store;
    if (found.integrity === "corrupt") {
      return this.check(
        store.damaged,
        "no-false-corruption",
        () => `the log of ${node.slice(0, 4)} opens as corrupt although nothing happened to its bytes`,
      );
    }
    const { hardState } = found;
    this.check(
      hardState.term >= term,
      "durable-term",
      () => `${node.slice(0, 4)} opens its log at term ${hardState.term}, ${term} was durable`,
    );
    const sameVote = hardState.term > term || vote === undefined || hardState.vote === vote;
    this.check(
      sameVote,
      "durable-vote",
      () =>
        `${node.slice(0, 4)} voted for ${vote?.slice(0, 4)} in term ${term}, its log says ${hardState.vote?.slice(0, 4)}`,
    );
    if (store.resetUnderWay) return;
    for (const [index, known] of store.durable) {
      if (index <= found.base.index || index >= store.cutUnderWay) continue;
      const now = termOf(index);
      this.check(
        now === known,
        "durable-entries",
        () => `entry ${index} of term ${known} was durable on ${node.slice(0, 4)}, its log has term ${now} there`,
      );
    }
  }

  /** A write begins: from now on its cut may have happened. */
  appendBegins(node: NodeId, batch: LogBatch): void {
    const { store } = this.#node(node);
    if (store !== undefined && batch.truncateFrom !== undefined)
      store.cutUnderWay = Math.min(store.cutUnderWay, batch.truncateFrom);
  }

  /** A write is durable, whatever happens from now on. */
  appendEnds(node: NodeId, batch: LogBatch): void {
    const { store } = this.#node(node);
    if (store === undefined) return;
    if (batch.hardState !== undefined) this.#hardState(store, batch.hardState);
    if (batch.truncateFrom !== undefined) this.#truncated(store, batch.truncateFrom);
    for (const entry of batch.entries) this.#entryDurable(store, entry);
  }

  #hardState(store: StoreRecord, { term, vote }: HardState): void {
    const { node } = store;
    this.check(
      term >= store.term,
      "monotonic-term",
      () => `${node.slice(0, 4)} stores term ${term} after ${store.term}`,
    );
    const voted = term > store.term ? undefined : store.vote;
    // A log that was refilled stands by the leader of its term, whatever its candidate of that term had been.
    const follows = this.#leaders.get(term) === vote;
    this.check(
      voted === undefined || vote === voted || follows,
      "one-vote-a-term",
      () => `${node.slice(0, 4)} votes for ${vote?.slice(0, 4)} and ${voted?.slice(0, 4)} in term ${term}`,
    );
    store.term = term;
    store.vote = vote;
  }

  #truncated(store: StoreRecord, from: number): void {
    store.cutUnderWay = Infinity;
    if (store.durable.has(from)) this.#totals.truncations += 1;
    for (let index = from; index <= store.lastDurable; index += 1) {
      const term = store.durable.get(index);
      this.check(
        term !== this.#committed[index],
        "committed-immutable",
        () => `${store.node.slice(0, 4)} cuts entry ${index} of term ${term}, which is committed`,
      );
      store.durable.delete(index);
    }
    store.lastDurable = Math.min(store.lastDurable, from - 1);
  }

  #entryDurable(store: StoreRecord, entry: LogEntry): void {
    const { index, term } = entry;
    const previousTerm = index - 1 === store.baseIndex ? store.baseTerm : store.durable.get(index - 1);
    const digest = digestOf(entry);
    const key = entryKey(index, term);
    const known = this.#entries.get(key);
    if (known === undefined) this.#entries.set(key, { digest, previousTerm });
    else {
      const same =
        known.digest === digest &&
        (known.previousTerm === undefined || previousTerm === undefined || known.previousTerm === previousTerm);
      this.check(
        same,
        "log-matching",
        () => `${store.node.slice(0, 4)} stores another entry ${index} of term ${term} than others have`,
      );
    }
    store.durable.set(index, term);
    store.lastDurable = index;
  }

  resetBegins(node: NodeId): void {
    const { store } = this.#node(node);
    if (store !== undefined) store.resetUnderWay = true;
  }

  /** A snapshot took the place of the log. */
  resetEnds(node: NodeId, base: LogBase, hardState: HardState): void {
    const { store } = this.#node(node);
    if (store === undefined) return;
    this.#hardState(store, hardState);
    store.durable.clear();
    store.baseIndex = base.index;
    store.baseTerm = base.term;
    store.lastDurable = base.index;
    store.resetUnderWay = false;
    if (base.index > 0) this.checkBase(node, base);
  }

  compacted(node: NodeId, base: LogBase): void {
    const { store } = this.#node(node);
    if (store === undefined || base.index <= store.baseIndex) return;
    this.#totals.compactions += 1;
    this.checkBase(node, base);
    for (let index = store.baseIndex + 1; index <= base.index; index += 1) store.durable.delete(index);
    store.baseIndex = base.index;
    store.baseTerm = base.term;
    store.lastDurable = Math.max(store.lastDurable, base.index);
  }

  /** What stands for everything before it must say what is committed there, voters included. */
  checkBase(node: NodeId, base: LogBase): void {
    this.check(
      this.#committed[base.index] === base.term,
      "snapshot-of-the-committed",
      () =>
        `${node.slice(0, 4)} begins its log after ${base.index} of term ${base.term}, committed is term ${this.#committed[base.index]}`,
    );
    const inForce = this.#configurations.findLast(({ index }) => index <= base.index);
    const expected = describeConfiguration(inForce?.configuration);
    // Who joined later and has the log from its first entry on was never told who founded the group, and needs not know.
    if (base.configuration === undefined && inForce?.index === 0) return;
    const found = describeConfiguration(base.configuration);
    this.check(
      expected === found,
      "snapshot-voters",
      () => `a base of ${node.slice(0, 4)} at ${base.index} says ${found}, in force there is ${expected}`,
    );
  }

  // What cores do.

  /** Called after each step of a core, before its effects are carried out. True where it won an election in it. */
  stepped(node: NodeId, core: WatchedCore, event: WatchedEvent, effects: readonly WatchedEffect[]): boolean {
    const record = this.#node(node);
    let known = record.core;
    if (known?.core !== core) {
      known = this.#newCore(core);
      record.core = known;
    }
    if (event.type === "persisted") {
      this.#checkDurable(record, core);
      this.#checkReleased(record, known, event.seq ?? 0);
    }
    const { term, leads } = known;
    this.#checkMonotonic(node, known, core);
    this.#checkRole(node, known, core, event);
    if (core.commitIndex > known.commitIndex) this.#checkCommit(node, known, core);
    if (event.type === "read") this.#countLeaseRead(core, effects);
    for (const effect of effects) this.#checkEffect(node, record, known, effect);
    if (known.storage === "corrupt" && core.storage === "ok") this.#totals.refills += 1;
    known.storage = core.storage;
    known.term = core.term;
    known.commitIndex = core.commitIndex;
    known.appliedIndex = core.appliedIndex;
    known.configurationIndex = core.configurationIndex;
    known.leads = core.isLeader;
    return core.isLeader && (!leads || core.term !== term);
  }

  /** What a core counts as durable is on its disk, and is what it has there. */
  #checkDurable({ store }: NodeRecord, core: WatchedCore): void {
    const index = core.durableIndex;
    // A base that has just moved is something that the core still has to hear of.
    if (store === undefined || core.storage === "failed" || core.firstIndex <= store.baseIndex) return;
    if (index <= store.baseIndex) return;
    this.check(
      store.durable.get(index) === core.termAt(index),
      "durable-is-durable",
      () =>
        `${store.node.slice(0, 4)} takes entry ${index} of term ${core.termAt(index)} for durable, its disk has term ${store.durable.get(index)} there`,
    );
  }

  /** A read that is answered in the very step that it came in has waited for nobody. */
  #countLeaseRead({ configuration }: WatchedCore, effects: readonly WatchedEffect[]): void {
    if ((configuration?.voters.length ?? 0) > 1 && effects.some(({ type }) => type === "read-ready"))
      this.#totals.leaseReads += 1;
  }

  #newCore(core: WatchedCore): CoreRecord {
    return {
      core,
      term: 0,
      commitIndex: 0,
      appliedIndex: 0,
      configurationIndex: core.configurationIndex,
      leads: false,
      storage: core.storage,
      releases: [],
    };
  }

  #checkMonotonic(node: NodeId, known: CoreRecord, core: WatchedCore): void {
    const name = node.slice(0, 4);
    this.check(core.term >= known.term, "monotonic-term", () => `${name} went from term ${known.term} to ${core.term}`);
    this.check(
      core.commitIndex >= known.commitIndex,
      "monotonic-commit",
      () => `${name} went from commit ${known.commitIndex} to ${core.commitIndex}`,
    );
    this.check(
      core.appliedIndex >= known.appliedIndex,
      "monotonic-applied",
      () => `${name} went from applied ${known.appliedIndex} to ${core.appliedIndex}`,
    );
    this.check(
      core.appliedIndex <= core.commitIndex,
      "applied-within-committed",
      () => `${name} applied ${core.appliedIndex}, committed is ${core.commitIndex}`,
    );
  }

  #checkRole(node: NodeId, known: CoreRecord, core: WatchedCore, event: WatchedEvent): void {
    if (core.isLeader && (!known.leads || core.term !== known.term)) return this.#elected(node, core);
    if (known.leads && !core.isLeader && core.term === known.term) this.#steppedDown(node, core, event);
    const changed = event.type === "change" && core.configurationIndex !== known.configurationIndex;
    if (!changed || !core.isLeader) return;
    // §4.1 of the dissertation and its correction of 2015.
    this.check(
      core.termAt(known.commitIndex) === core.term,
      "settled-before-reconfiguring",
      () =>
        `${node.slice(0, 4)} changes the configuration in term ${core.term} before an entry of that term has committed`,
    );
    this.check(
      known.configurationIndex <= known.commitIndex,
      "one-change-at-a-time",
      () => `${node.slice(0, 4)} changes the configuration while that of ${known.configurationIndex} has not committed`,
    );
  }

  #elected(node: NodeId, core: WatchedCore): void {
    const { term } = core;
    const other = this.#leaders.get(term);
    this.check(
      other === undefined || other === node,
      "election-safety",
      () => `term ${term} is led by ${other?.slice(0, 4)} and ${node.slice(0, 4)}`,
    );
    this.#leaders.set(term, node);
    this.#totals.elections += 1;
    this.#totals.terms = Math.max(this.#totals.terms, term);
    this.#trace.record(this.#nowMs(), node.slice(0, 4), `leads term ${term}`);
    const highest = this.committedIndex;
    // A leader whose log begins behind it holds a snapshot of it.
    const holds = core.firstIndex > highest || core.termAt(highest) === this.#committed[highest];
    this.check(
      holds && core.lastIndex >= highest,
      "leader-completeness",
      () => `${node.slice(0, 4)} leads term ${term} without entry ${highest} of term ${this.#committed[highest]}`,
    );
  }

  /** In the same term a place is given up for silence, for a disk, or once the entry that took the seat away has committed. */
  #steppedDown(node: NodeId, core: WatchedCore, event: WatchedEvent): void {
    if (event.type === "tick" || event.type === "stalled" || event.type === "storage-failed") return;
    this.#totals.leadersVotedOut += 1;
    this.check(
      core.configurationIndex <= core.commitIndex,
      "seat-until-committed",
      () =>
        `${node.slice(0, 4)} stops leading term ${core.term} before its removal at ${core.configurationIndex} has committed`,
    );
  }

  #checkCommit(node: NodeId, known: CoreRecord, core: WatchedCore): void {
    const from = Math.max(known.commitIndex + 1, core.firstIndex);
    for (let index = from; index <= core.commitIndex; index += 1) {
      const term = core.termAt(index);
      if (index < this.#committed.length) {
        this.check(
          term === this.#committed[index],
          "state-machine-safety",
          () =>
            `${node.slice(0, 4)} commits entry ${index} of term ${term}, committed is term ${this.#committed[index]}`,
        );
        continue;
      }
      this.check(
        index === this.#committed.length && term !== undefined,
        "committed-in-order",
        () => `${node.slice(0, 4)} commits ${index} after ${this.committedIndex}`,
      );
      this.#checkQuorum(node, core, index, term ?? 0);
      this.#committed[index] = term ?? 0;
      if (core.configurationAt(index) !== core.configurationAt(index - 1)) this.#configurationIndex = index;
      this.#totals.commits += 1;
      this.#trace.hash(this.#nowMs(), node.slice(0, 4), `commits ${index} of term ${term}`);
    }
  }

  /** What commits is durable on a majority of each half of the configuration that counts it. */
  #checkQuorum(node: NodeId, core: WatchedCore, index: number, term: number): void {
    const now = core.configuration;
    // Where the commit went on to change the configuration in the same step, the one before it has counted.
    const before = core.configurationAt(core.configurationIndex - 1);
    if (this.#isOnQuorum(now, index, term) || this.#isOnQuorum(before, index, term)) return;
    this.check(
      false,
      "committed-on-quorum",
      () =>
        `${node.slice(0, 4)} commits ${index} of term ${term}, which is not durable on a majority of ${describeConfiguration(now)}`,
    );
  }

  #isOnQuorum(configuration: Configuration | undefined, index: number, term: number): boolean {
    if (configuration === undefined) return false;
    const isMajority = (voters: readonly ReplicaId[]): boolean => {
      const holders = voters.filter(({ id, storeId }) => {
        const store = this.#stores.get(`${id}:${storeId}`);
        return store !== undefined && (store.durable.get(index) === term || store.baseIndex >= index);
      });
      return holders.length * 2 > voters.length;
    };
    const { voters, outgoing } = configuration;
    return isMajority(voters) && (outgoing === undefined || isMajority(outgoing));
  }

  #checkEffect(node: NodeId, record: NodeRecord, known: CoreRecord, effect: WatchedEffect): void {
    if (effect.type === "send" && effect.message !== undefined) this.#checkSent(record, known, effect.message);
    else if (effect.type === "persist" && effect.release !== undefined && effect.release.length > 0)
      known.releases.push({ seq: effect.seq ?? 0, messages: effect.release });
    else if (effect.type === "apply") {
      const to = Number(effect.to);
      const { store } = record;
      this.check(
        store === undefined || to <= Math.max(store.lastDurable, store.baseIndex),
        "applied-within-durable",
        () => `${node.slice(0, 4)} applies up to ${to}, durable is ${store?.lastDurable}`,
      );
    }
  }

  #checkReleased(record: NodeRecord, known: CoreRecord, seq: number): void {
    while ((known.releases[0]?.seq ?? Infinity) <= seq) {
      for (const message of known.releases.shift()?.messages ?? []) this.#checkSent(record, known, message);
    }
  }

  /** A term, a vote and an acknowledgement leave a node only once they are durable. */
  #checkSent({ store }: NodeRecord, known: CoreRecord, message: WatchedMessage): void {
    if (store === undefined || known.storage === "failed") return;
    const name = store.node.slice(0, 4);
    if (message.type === "vote-response" && message.pre === false && message.granted === true) {
      const kept = store.term > message.term || (store.term === message.term && store.vote === message.to);
      this.check(
        kept,
        "vote-before-durable",
        () =>
          `${name} votes for ${message.to.slice(0, 4)} in term ${message.term}; durable is ${store.vote?.slice(0, 4)} in ${store.term}`,
      );
    } else if (message.type === "vote-request" && message.pre === false) {
      this.check(
        store.term >= message.term,
        "term-before-durable",
        () => `${name} asks for votes in term ${message.term}, durable is ${store.term}`,
      );
    } else if (message.type === "append-response" && message.success === true && store.term === message.term) {
      const index = message.index ?? 0;
      this.check(
        index <= Math.max(store.lastDurable, store.baseIndex),
        "acknowledged-before-durable",
        () => `${name} acknowledges ${index}, durable is ${store.lastDurable}`,
      );
    }
  }

  // What machines hold.

  /** A machine has applied an entry and hashes to this. */
  applied(node: NodeId, index: number, term: number, hash: number): void {
    this.check(
      this.#committed[index] === term,
      "applies-the-committed",
      () => `${node.slice(0, 4)} applies entry ${index} of term ${term}, committed is term ${this.#committed[index]}`,
    );
    this.#compareState(node, index, hash);
  }

  /** A configuration was applied: it is the one that was asked for. */
  configurationApplied(node: NodeId, index: number, configuration: Configuration): void {
    const last = this.#configurations.at(-1);
    if (last !== undefined && index <= last.index) return;
    this.#configurations.push({ index, configuration });
    const { outgoing, voters, learners, generation } = configuration;
    const asked = this.#proposed.get(generation);
    const found = describeConfiguration({ voters, learners, generation });
    this.check(
      asked === found,
      "configuration-as-proposed",
      () => `${node.slice(0, 4)} applies ${found} at ${index}, proposed was ${asked}`,
    );
    this.#countConfiguration(configuration, last?.configuration);
    this.#trace.record(this.#nowMs(), node.slice(0, 4), `applies ${describeConfiguration(configuration)} at ${index}`);
    if (outgoing === undefined) return;
    const before = describeConfiguration({ voters: last?.configuration.voters ?? [], learners: [], generation });
    this.check(
      describeConfiguration({ voters: outgoing, learners: [], generation }) === before,
      "joint-from-the-last",
      () =>
        `the joint configuration at ${index} leaves ${describeConfiguration(configuration)}, in force was ${before}`,
    );
  }

  #countConfiguration({ outgoing, voters, learners }: Configuration, last: Configuration | undefined): void {
    if (outgoing !== undefined) {
      this.#totals.jointChanges += 1;
      return;
    }
    this.#totals.membershipChanges += 1;
    if (voters.length % 2 === 0) this.#totals.evenConfigurations += 1;
    if (learners.length > (last?.learners.length ?? 0)) this.#totals.learnersAdded += 1;
  }

  /** A machine was handed an entry that is not the next one. */
  applicationGap(node: NodeId, index: number, after: number): void {
    this.check(false, "applied-in-order", () => `${node.slice(0, 4)} was to apply entry ${index} after ${after}`);
  }

  restored(node: NodeId, index: number, hash: number): void {
    this.#compareState(node, index, hash);
  }

  #compareState(node: NodeId, index: number, hash: number): void {
    const known = this.#hashes[index];
    if (known === undefined) this.#hashes[index] = hash;
    else {
      this.#totals.comparedStates += 1;
      this.check(
        known === hash,
        "equal-state",
        () => `${node.slice(0, 4)} has another state at index ${index} than others`,
      );
    }
  }
}
