import type { Configuration, LogBase, LogEntry, NodeId, ReplicaId } from "@revoada/fabric";
import { InvariantError } from "@revoada/fabric";
import { ConfigurationHistory, isVoter } from "./configuration.ts";
import { Lease } from "./lease.ts";
import { CoreLog, entryBytes } from "./log.ts";
import type { Progress } from "./progress.ts";
import type { Presence, Rest, RestRound } from "./rest.ts";
import {
  asIndex,
  asTerm,
  defaultCoreLimits,
  type CoreLimits,
  type CoreOptions,
  type CoreRole,
  type Effect,
  type Message,
  type MessageBody,
  type RejectReason,
} from "./types.ts";

/** A change of configuration that a caller waits for. */
export interface PendingChange {
  readonly id: number;
  /** The entry after whose commit the target stands alone; 0 until it is appended. */
  finalIndex: number;
}

export interface PendingTransfer {
  readonly id: number;
  readonly to: NodeId;
  readonly deadlineMs: number;
  /** The target was told to campaign. */
  told: boolean;
}

interface PendingReads {
  /** Wait for the next round. */
  queued: number[];
  /** Wait for answers to `round`, at the commit index that stood when it began. */
  inRound: number[];
  index: number;
  round: number;
}

/**
 * All that a replica's core remembers, and the collecting of effects. Rules live in the modules around it; here is only what
 * every rule needs: who to send to, and what must be durable before something may leave.
 */
export class CoreState {
  readonly self: ReplicaId;
  readonly electionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly limits: CoreLimits;
  readonly snapshotIntervalEntries: number;
  readonly random: () => number;
  readonly log: CoreLog;
  readonly configurations: ConfigurationHistory;
  /** Present where reads go by lease. */
  readonly lease: Lease | undefined;

  nowMs = 0;
  term: number;
  vote: NodeId | undefined;
  commitIndex: number;
  appliedIndex: number;
  role: CoreRole = "follower";
  leader: NodeId | undefined;
  storage: "ok" | "corrupt" | "failed";

  electionDeadlineMs = 0;
  /** When a leader was last heard, of whatever term: nobody else gets this vote for T. */
  leaderHeardMs: number = -Infinity;
  /** What voters answered in the election under way, by node. */
  votes: Map<NodeId, { readonly storeId: string; readonly granted: boolean }> = new Map();
  /** The write that holds the own vote: it counts only once that is durable. */
  ownVoteSeq = 0;

  progress: Map<NodeId, Progress> = new Map();
  heartbeatDueMs = 0;
  /** The first index of the own term: nothing is decided before it has committed. */
  termStartIndex = 0;
  uncommittedBytes = 0;
  round = 0;
  reads: PendingReads = { queued: [], inRound: [], index: 0, round: 0 };
  change: PendingChange | undefined;
  transfer: PendingTransfer | undefined;
  /** Something committed in this step, and what a leader does about that is still to be done. */
  commitUnseen = false;

  /** What hosts know of each other; absent where this replica is alone in its process. */
  readonly presence: Presence | undefined;
  rest: Rest | undefined;
  restRound: RestRound | undefined;

  applying = false;
  installing: LogBase | undefined;
  savingSnapshot = false;
  snapshotDueIndex: number;

  #seq = 0;
  #finishedSeq = 0;
  #hardStateSeq = 0;
  #hardStateDirty = false;
  #entries: LogEntry[] = [];
  #entriesBytes = 0;
  #truncateFrom: number | undefined;
  #release: Message[] = [];
  #effects: Effect[] = [];

  constructor(options: CoreOptions, self: ReplicaId) {
    const { log } = options;
    this.self = self;
    this.electionTimeoutMs = options.electionTimeoutMs;
    this.heartbeatMs = options.electionTimeoutMs / 5;
    this.limits = { ...defaultCoreLimits, ...options.limits };
    this.snapshotIntervalEntries = options.snapshotIntervalEntries;
    this.random = options.random;
    const { leaseReads } = options;
    this.lease = leaseReads && new Lease(Math.max(0, options.electionTimeoutMs - leaseReads.marginMs));
    this.presence = options.presence;
    this.log = new CoreLog(log);
    const base = log.base.configuration;
    const known = base === undefined ? [] : [{ index: log.base.index, configuration: base }];
    this.configurations = new ConfigurationHistory([...known, ...log.configurations]);
    this.term = log.hardState.term;
    this.vote = log.hardState.vote as NodeId | undefined;
    // A commit index is only ever a hint on disk: what is applied is committed, and what is gone is not counted.
    const committed = Math.max(log.hardState.commitIndex, options.appliedIndex, log.base.index);
    this.commitIndex = Math.min(committed, log.lastIndex);
    this.appliedIndex = options.appliedIndex;
    this.storage = log.integrity;
    this.snapshotDueIndex = log.base.index + options.snapshotIntervalEntries;
  }

  get configuration(): Configuration | undefined {
    return this.configurations.current;
  }

  /** True where this store votes in the configuration in force. */
  get isVoter(): boolean {
    const configuration = this.configurations.current;
    return configuration !== undefined && isVoter(configuration, this.self.id, this.self.storeId);
  }

  /**
   * True where this store may stand for election: it votes, or it is voted out by an entry that it does not know to be committed.
   *
   * In the latter case it may be the only one that holds that entry, and without it nobody else can win (dissertation §4.2.2).
   * It does not count its own vote then.
   */
  get mayStand(): boolean {
    if (this.isVoter) return true;
    const { previous, currentIndex } = this.configurations;
    if (previous === undefined || currentIndex <= this.commitIndex) return false;
    return isVoter(previous, this.self.id, this.self.storeId);
  }

  get isLeader(): boolean {
    return this.role === "leader";
  }

  effect(effect: Effect): void {
    this.#effects.push(effect);
  }

  reject(id: number, reason: RejectReason, from = 0): void {
    this.#effects.push({ type: "reject", id, from, reason });
  }

  /** Sends at once, in parallel with whatever is being written: for what rests on records that are durable already. */
  send(to: ReplicaId, body: MessageBody, term: number = this.term): void {
    this.#effects.push({ type: "send", message: this.#message(to, body, term) });
  }

  /** Sends once the current term and vote are durable. */
  sendAfterTerm(to: ReplicaId, body: MessageBody, term: number = this.term): void {
    if (this.#hardStateDirty || this.#finishedSeq < this.#hardStateSeq)
      this.#release.push(this.#message(to, body, term));
    else this.send(to, body, term);
  }

  /** Sends once everything that is in the log now is durable, and term and vote with it. */
  sendAfterLog(to: ReplicaId, body: MessageBody): void {
    const clean = this.#entries.length === 0 && this.#truncateFrom === undefined && !this.log.hasWrites;
    if (clean) this.sendAfterTerm(to, body);
    else this.#release.push(this.#message(to, body, this.term));
  }

  setTerm(term: number, vote: NodeId | undefined): void {
    if (term < this.term) throw new InvariantError(`term ${this.term} was to fall to ${term}`);
    if (term === this.term && this.vote === vote) return;
    this.term = term;
    this.vote = vote;
    this.#hardStateDirty = true;
  }

  append(entry: LogEntry): void {
    this.log.append(entry);
    this.#entries.push(entry);
    this.#entriesBytes += entryBytes(entry);
  }

  truncate(from: number): void {
    if (from <= this.commitIndex)
      throw new InvariantError(`truncation at ${from} reaches below commit ${this.commitIndex}`);
    this.log.truncate(from);
    this.#entries = this.#entries.filter((entry) => entry.index < from);
    this.#truncateFrom = Math.min(this.#truncateFrom ?? from, from);
  }

  /** The seq that the write of this step will bear. */
  get nextSeq(): number {
    return this.#seq + 1;
  }

  finishedWrite(seq: number): void {
    this.#finishedSeq = Math.max(this.#finishedSeq, seq);
    this.log.finishWrite(seq);
  }

  /** Ends a step: what it changed becomes one write, and what waits for that goes with it. */
  takeEffects(): Effect[] {
    const changesLog = this.#entries.length > 0 || this.#truncateFrom !== undefined;
    if (this.#hardStateDirty || changesLog || this.#release.length > 0) this.#writeOut(changesLog);
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #writeOut(changesLog: boolean): void {
    this.#seq += 1;
    if (this.#hardStateDirty) this.#hardStateSeq = this.#seq;
    const withHardState = this.#hardStateDirty || changesLog;
    this.#effects.push({
      type: "persist",
      seq: this.#seq,
      ...(withHardState ? { hardState: this.hardState() } : {}),
      ...(this.#truncateFrom === undefined ? {} : { truncateFrom: asIndex(this.#truncateFrom) }),
      entries: this.#entries,
      release: this.#release,
    });
    this.log.startWrite(this.#seq, this.nowMs, this.#entriesBytes);
    this.#hardStateDirty = false;
    this.#entries = [];
    this.#entriesBytes = 0;
    this.#truncateFrom = undefined;
    this.#release = [];
  }

  /** Term, vote and commit index as they must be written now. */
  hardState(): {
    readonly term: ReturnType<typeof asTerm>;
    readonly vote?: string;
    readonly commitIndex: ReturnType<typeof asIndex>;
  } {
    const vote = this.vote === undefined ? {} : { vote: this.vote };
    return { term: asTerm(this.term), ...vote, commitIndex: asIndex(this.commitIndex) };
  }

  #message(to: ReplicaId, body: MessageBody, term: number): Message {
    return { from: this.self.id, fromStore: this.self.storeId, to: to.id, toStore: to.storeId, term, ...body };
  }
}
