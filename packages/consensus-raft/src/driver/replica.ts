import {
  shortId,
  type ConsensusStatus,
  type Generation,
  type LogBase,
  type LogEntry,
  type LogIndex,
  type LogStore,
  type NodeId,
  type PeerContext,
  type StoreId,
  type Term,
} from "@revoada/fabric";
import { RaftCore } from "../core/raft-core.ts";
import type { Effect, Event, MessageBody } from "../core/types.ts";
import { RaftBadFrameError, RaftNotLeaderError, RaftStoppedError } from "../errors.ts";
import { ForeignFrameError } from "../wire/cbor.ts";
import { decodeMessages } from "../wire/messages.ts";
import { ClockWatch } from "./clock-watch.ts";
import { Control } from "./control.ts";
import { ReplicaGauges } from "./gauges.ts";
import { answerForward, askForwarded, askReadIndex, forwardProtocol } from "./forwarding.ts";
import type { HostedReplica, Ticks } from "./host-link.ts";
import type { MachineRunner } from "./machine-runner.ts";
import { openLog, type OpenedLog } from "./opening.ts";
import type { ResolvedOptions } from "./options.ts";
import { Outbox, raftProtocol } from "./outbox.ts";
import { Proposals } from "./proposals.ts";
import { Reads } from "./reads.ts";
import { snapshotProtocol } from "./snapshot-frames.ts";
import { Snapshots } from "./snapshots.ts";
import { Ticker, type TickerTarget } from "./ticker.ts";
import { WriteQueue } from "./write-queue.ts";

/** What a replica tells its owner. */
export interface ReplicaOwner {
  changed(): void;
  stopped(error: unknown): void;
}

const maxReopenDelayMs = 30_000;

/** What candidates and leaders send, and nobody else. */
const leads: ReadonlySet<MessageBody["type"]> = new Set(["vote-request", "append", "heartbeat", "timeout-now"]);

/** One core with its log, machine, callers and peers: carries out effects, brings events. */
export class Replica<Command, Result> {
  readonly #options: ResolvedOptions<Command, Result>;
  readonly #runner: MachineRunner<Command, Result>;
  readonly #owner: ReplicaOwner;
  readonly proposals: Proposals<Result>;
  readonly reads: Reads;
  readonly control: Control;
  readonly #snapshots: Snapshots<Command, Result>;
  /** From when the replica takes part: before, there is nothing that time could bring. */
  #ticker: Ticks | undefined;
  readonly #gauges: ReplicaGauges;
  /** Present where reads go by lease. */
  readonly #clocks: ClockWatch | undefined;
  #core!: RaftCore;
  #store!: LogStore;
  #storeId!: StoreId;
  #queue!: WriteQueue;
  #outbox!: Outbox;
  #withdraw: (() => void)[] = [];
  #inbox: Event[] = [];
  #dispatching = false;
  #changed = false;
  #announceAsked = false;
  #stopped = false;
  #quorum = { value: false, sinceMs: 0 };

  constructor(options: ResolvedOptions<Command, Result>, runner: MachineRunner<Command, Result>, owner: ReplicaOwner) {
    this.#options = options;
    this.#runner = runner;
    this.#owner = owner;
    const { clock, electionTimeoutMs, limits, metrics, codec } = options;
    const shared = {
      clock,
      limits,
      metrics,
      electionTimeoutMs,
      maxPendingReads: limits.maxPendingReads,
      dispatch: (event: Event): void => this.dispatch(event),
      isLeader: (): boolean => this.isLeader,
      leader: (): NodeId | undefined => this.knownLeader(),
      notLeader: (): Error => new RaftNotLeaderError(this.knownLeader()),
      watch: (): void => this.#ticker?.armSweep(),
    };
    this.proposals = new Proposals<Result>({
      ...shared,
      forward: (to, commands, timeoutMs) => askForwarded(this.#options, to, commands, timeoutMs),
      decodeResult: (bytes) => codec.decodeResult(bytes),
    });
    this.reads = new Reads({
      ...shared,
      appliedIndex: () => this.#core.appliedIndex,
      checkClocks: () => this.#checkClocks(),
      forwardRead: (to, timeoutMs) => askReadIndex(this.#options, to, timeoutMs),
    });
    this.control = new Control(shared);
    this.#gauges = new ReplicaGauges({
      metrics,
      leaseReads: options.leaseReads,
      monotonicMs: () => clock.monotonicMs(),
      pendingProposals: () => this.proposals.pending,
      waitingProposals: () => this.proposals.waiting,
    });
    this.#snapshots = new Snapshots(this.#snapshotSurroundings(), runner);
    // Two windows overlap a lease at most, and together they stay within its margin.
    if (options.leaseReads) this.#clocks = new ClockWatch(clock, electionTimeoutMs, options.leaseMarginMs / 2);
  }

  #makeTicker(): Ticks {
    const { clock, electionTimeoutMs, host } = this.#options;
    const target: TickerTarget = {
      wakeMs: () => this.#core.wakeMs,
      tick: () => this.#tick(),
      stalled: () => this.#stalled(),
      checkClocks: () => this.#checkClocks(),
      needsSweep: () => this.proposals.needsSweep || this.reads.needsSweep,
      sweep: () => this.#sweep(),
    };
    return host?.ticks(target) ?? new Ticker(clock, electionTimeoutMs, target);
  }

  #snapshotSurroundings(): ConstructorParameters<typeof Snapshots>[0] {
    return {
      ...this.#options,
      storeId: () => this.#storeId,
      leadsSince: (term) => this.#core.isLeader && this.#core.term >= term,
      dispatch: (event) => this.dispatch(event),
      baseAt: (index) => this.#baseAt(index),
      firstIndex: () => this.#core.firstIndex,
      compact: (base) => this.#inTurn(() => this.#store.compact(base)),
      reset: (base) => this.#inTurn(() => this.#store.reset(base, this.#core.hardState())),
      machineFailed: (what, error) => this.fail(new Error(`${what}: ${String(error)}`, { cause: error })),
    };
  }

  get isLeader(): boolean {
    return !this.#stopped && this.#core.isLeader && this.#core.storage === "ok";
  }

  /** Who is known to lead, other than this replica; a hint where none was heard. */
  knownLeader(): NodeId | undefined {
    const leader = this.#core.leader ?? this.#options.hintLeader?.();
    return leader === this.#options.id ? undefined : leader;
  }

  /** Opens the log and makes a core of it. */
  async open(): Promise<void> {
    await this.#snapshots.open();
    this.#adopt(await openLog(this.#options, this.#runner.machine, this.#storeId));
  }

  #adopt(log: OpenedLog): void {
    const { clock, random, transport, groupId, metrics } = this.#options;
    this.#store = log.store;
    this.#storeId = log.storeId;
    this.#outbox = new Outbox(transport, groupId, log.storeId, metrics);
    this.#core = new RaftCore({
      id: this.#options.id,
      storeId: log.storeId,
      electionTimeoutMs: this.#options.electionTimeoutMs,
      snapshotIntervalEntries: this.#options.snapshotIntervalEntries,
      limits: this.#options.limits,
      random: () => random.float(),
      log: log.state,
      appliedIndex: this.#runner.machine.position().index,
      ...(this.#options.host === undefined ? {} : { presence: this.#options.host.presence }),
      ...(this.#options.leaseReads ? { leaseReads: { marginMs: this.#options.leaseMarginMs } } : {}),
      nowMs: clock.monotonicMs(),
    });
    const queue: WriteQueue = new WriteQueue(log.store, clock, metrics, {
      durable: (writes) => {
        for (const write of writes) for (const message of write.release) this.#outbox.add(message);
        this.dispatch({ type: "persisted", seq: writes.at(-1)?.seq ?? 0 });
      },
      failed: (error) => this.#onStorageFailed(queue, error),
    });
    this.#queue = queue;
  }

  /** Offers its protocols and begins to act. */
  takePart(): void {
    const { transport } = this.#options;
    this.#ticker = this.#makeTicker();
    this.#withdraw = [
      transport.handle(raftProtocol, { onMessage: (payload, context) => this.#receive(payload, context) }),
      transport.handle(forwardProtocol, {
        onRequest: (payload, { peer }) => answerForward(this.#options, this, payload, peer),
      }),
      transport.handle(snapshotProtocol, { onRequest: (payload, context) => this.#receiveSnapshot(payload, context) }),
    ];
    const { host } = this.#options;
    if (host !== undefined) this.#withdraw.push(host.attach(this.#hosted()));
    this.dispatch({ type: "start" });
  }

  #hosted(): HostedReplica {
    return {
      follows: (leader, term, ownStore) => {
        const core = this.#core;
        if (this.#stopped || core.isLeader || core.storage !== "ok" || ownStore !== this.#storeId) return false;
        return core.leader === leader && core.term === term;
      },
      leadsTo: (peer, term, peerStore) =>
        !this.#stopped && this.#core.term === term && this.#core.hasPeer(peer, peerStore),
      rest: (leader, term) => this.dispatch({ type: "rest", leader, term }),
      rouse: () => this.dispatch({ type: "rouse" }),
    };
  }

  #receive(payload: Uint8Array, context: PeerContext): void {
    const { groupId, id, metrics, logger } = this.#options;
    let messages;
    try {
      messages = decodeMessages(payload, groupId, context.peer, id);
    } catch (error) {
      const reason = error instanceof ForeignFrameError ? error.reason : "malformed";
      metrics.count("revoada_raft_frames_dropped_total", 1, { reason });
      logger.debug("a frame was dropped", { from: context.peer, error });
      return;
    }
    if (this.#stopped) return;
    const mayLead = this.#mayLead(context.peer);
    for (const message of messages) {
      if (mayLead || (!leads.has(message.type) && message.term <= this.#core.term))
        this.#inbox.push({ type: "message", message });
      else metrics.count("revoada_raft_frames_dropped_total", 1, { reason: "no-leader" });
    }
    this.#drain();
  }

  async #receiveSnapshot(payload: Uint8Array, context: PeerContext): Promise<Uint8Array> {
    if (!this.#mayLead(context.peer)) throw new RaftBadFrameError(`${shortId(context.peer)} may not lead`);
    return this.#snapshots.receive(payload, context);
  }

  #mayLead(peer: NodeId): boolean {
    return this.#options.mayLead?.(peer) !== false;
  }

  /** Brings an event to the core and carries out what follows, after what is being carried out already. */
  dispatch(event: Event): void {
    if (this.#stopped) return;
    this.#inbox.push(event);
    this.#drain();
  }

  #drain(): void {
    if (this.#dispatching || this.#stopped) return;
    this.#dispatching = true;
    try {
      for (let at = 0; at < this.#inbox.length; at += 1) {
        const effects = this.#core.step(this.#inbox[at] as Event, this.#options.clock.monotonicMs());
        for (const effect of effects) this.#carryOut(effect);
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.#inbox = [];
      this.#dispatching = false;
    }
    this.#afterDrain();
  }

  #afterDrain(): void {
    if (this.#stopped) return;
    this.#outbox.flush();
    if (this.#changed) {
      this.#changed = false;
      this.proposals.onRoleChanged();
      this.reads.onRoleChanged();
      this.control.onRoleChanged(this.#core.isLeader, this.#core.leader);
      this.#snapshots.onLeader(this.#core.leader, this.#core.term);
      this.#noteQuorum();
      this.#options.host?.changed();
      this.#owner.changed();
    }
    this.#gauges.note(this.#core);
    this.#ticker?.arm();
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case "persist":
        return this.#queue.write(effect);
      case "send":
        return this.#outbox.add(effect.message);
      case "apply":
        return this.#apply(effect);
      case "proposed":
        return this.proposals.onProposed(effect);
      case "reject":
        if (!this.proposals.onRejected(effect) && !this.reads.onRejected(effect)) this.control.onRejected(effect);
        return;
      case "committed":
        return this.#askAnnounce();
      case "read-ready":
        return this.reads.onReady(effect);
      case "change-done":
        return this.control.onChangeDone(effect.id);
      case "transfer-done":
        return this.control.onTransferDone(effect);
      case "role-changed":
        return this.#noteRole();
      case "rest-asked":
        return this.#options.host?.offer(effect.term, effect.peers);
      default:
        return this.#carryOutTransfer(effect);
    }
  }

  #carryOutTransfer(effect: Extract<Effect, { readonly type: `snapshot-${string}` | "read-log" }>): void {
    switch (effect.type) {
      case "read-log":
        return void this.#readLog(effect);
      case "snapshot-save":
        return void this.#snapshots.save();
      case "snapshot-send":
        return void this.#snapshots.send(effect);
      case "snapshot-cancel":
        return this.#snapshots.cancel(effect.to);
      case "snapshot-install":
        return void this.#snapshots.install(effect.base).then(() => this.proposals.onInstalled(effect.base.index));
    }
  }

  #noteRole(): void {
    this.#changed = true;
    if (this.#core.storage === "ok" && this.#store !== undefined && "markRefilled" in this.#store && this.#wasCorrupt)
      this.#markRefilled();
    this.#wasCorrupt = this.#core.storage === "corrupt";
  }

  #wasCorrupt = false;

  #markRefilled(): void {
    const store = this.#store as LogStore & { markRefilled(): Promise<void> };
    this.#queue.task(() => store.markRefilled());
  }

  /** Followers learn of a commit with the next entries, or with nothing, but not later than the next turn. */
  #askAnnounce(): void {
    if (this.#announceAsked || !this.#core.isLeader) return;
    this.#announceAsked = true;
    this.#options.clock.nextTurn(() => {
      this.#announceAsked = false;
      if (this.#stopped) return;
      this.proposals.flush();
      this.dispatch({ type: "announce" });
    });
  }

  #apply(effect: Extract<Effect, { readonly type: "apply" }>): void {
    const core = this.#core;
    const { entries } = effect;
    if (entries !== undefined) return this.#runner.apply(entries, (results) => this.#onApplied(core, entries, results));
    this.#runner.applyRead(
      () => this.#readToApply(core, effect),
      (read, results) => this.#onApplied(core, read, results),
    );
  }

  /** Undefined where they could not be read, which is as good as a write that failed, or where nobody asks any more. */
  async #readToApply(
    core: RaftCore,
    { from, to }: Extract<Effect, { readonly type: "apply" }>,
  ): Promise<readonly LogEntry[] | undefined> {
    const queue = this.#queue;
    const { limits } = this.#options;
    // No more than is applied at once: small entries would be read, checked and thrown away many times over.
    const end = Math.min(to + 1, from + limits.maxApplyEntries);
    try {
      const entries = await this.#store.read(from as LogIndex, end as LogIndex, limits.maxApplyBytes);
      return core === this.#core && core.storage !== "failed" ? entries : undefined;
    } catch (error) {
      this.#onStorageFailed(queue, error);
      return undefined;
    }
  }

  #onApplied(core: RaftCore, entries: readonly LogEntry[], results: readonly (Result | undefined)[]): void {
    this.proposals.onApplied(entries, results);
    const index = entries.at(-1)?.index ?? 0;
    if (core !== this.#core || index === 0) return;
    this.dispatch({ type: "applied", index });
    this.reads.onApplied(index);
  }

  async #readLog(effect: Extract<Effect, { readonly type: "read-log" }>): Promise<void> {
    const { to, term, from } = effect;
    let entries: readonly LogEntry[] = [];
    try {
      entries = await this.#store.read(from as LogIndex, (effect.upTo + 1) as LogIndex, effect.maxBytes);
    } catch (error) {
      this.#options.logger.warn("entries for a follower could not be read", { to, from, error });
    }
    this.dispatch({ type: "log-read", to, term, from, entries });
  }

  #baseAt(index: number): LogBase | undefined {
    const term = this.#core.termAt(index);
    // The log's own base is one: a machine that has applied nothing since it was compacted stands there.
    if (term === undefined || index < this.#core.firstIndex - 1) return undefined;
    const configuration = this.#core.configurationAt(index);
    const position = { index: index as LogIndex, term: term as Term };
    return configuration === undefined ? position : { ...position, configuration };
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.task(async () => {
        try {
          await work();
        } catch (error) {
          reject(error);
          throw error;
        }
        resolve();
      }, reject);
    });
  }

  #tick(): void {
    this.dispatch({ type: "tick" });
  }

  #stalled(): void {
    if (this.#options.host === undefined) this.#options.metrics.count("revoada_raft_stalls_total");
    this.dispatch({ type: "stalled" });
  }

  #checkClocks(): void {
    if (this.#clocks?.jumped() !== true) return;
    this.#options.logger.warn("the wall clock jumped: leases are void");
    this.dispatch({ type: "clock-jumped" });
  }

  #sweep(): void {
    if (this.#stopped) return;
    this.proposals.sweep();
    this.reads.sweep();
    this.#noteQuorum();
    this.#gauges.note(this.#core);
  }

  /** The disk took no write, or gave nothing back. What it holds is unknown until it is opened anew, and so is what was being written. */
  #onStorageFailed(queue: WriteQueue, error: unknown): void {
    if (this.#stopped || queue !== this.#queue || this.#core.storage === "failed") return;
    queue.stop();
    this.#options.logger.error("the log failed", { error });
    this.#options.metrics.count("revoada_raft_storage_failures_total");
    this.dispatch({ type: "storage-failed" });
    this.proposals.abandon("the log failed", error);
    this.reads.restart();
    this.control.abandon(error);
    void this.#reopen();
  }

  /** The log is being opened anew. */
  #opening: Promise<void> | undefined;

  async #reopen(): Promise<void> {
    const { clock, electionTimeoutMs, logger } = this.#options;
    await this.#runner.idle();
    await this.#store.close().catch((error: unknown) => logger.warn("the failed log could not be closed", { error }));
    for (let delayMs = electionTimeoutMs; !this.#stopped; delayMs = Math.min(2 * delayMs, maxReopenDelayMs)) {
      await new Promise<void>((resolve) => {
        clock.schedule(delayMs, resolve);
      });
      if (this.#stopped) return;
      try {
        this.#opening = this.open();
        await this.#opening;
        break;
      } catch (error) {
        logger.warn("the log could not be opened anew", { error });
      }
    }
    // A shutdown that did not wait for this had nothing to close.
    if (this.#stopped) return this.#store.close();
    this.#changed = true;
    this.dispatch({ type: "start" });
  }

  status(stopped: boolean): ConsensusStatus {
    const core = this.#core;
    const nowMs = this.#options.clock.monotonicMs();
    this.#noteQuorum();
    const leader = core.leader;
    return {
      id: this.#options.id,
      storeId: this.#storeId,
      role: stopped || this.#stopped ? "stopped" : core.role,
      term: core.term as Term,
      ...(leader === undefined || stopped || this.#stopped ? {} : { leader }),
      firstIndex: core.firstIndex as LogIndex,
      lastIndex: core.lastIndex as LogIndex,
      durableIndex: core.durableIndex as LogIndex,
      commitIndex: core.commitIndex as LogIndex,
      appliedIndex: core.appliedIndex as LogIndex,
      configuration: core.configuration ?? { voters: [], learners: [], generation: 0 as Generation },
      configurationIndex: core.configurationIndex as LogIndex,
      quorum: this.#quorum.value,
      quorumSinceMs: Math.max(0, nowMs - this.#quorum.sinceMs),
      progress: core.progress(nowMs),
      storage: core.storage,
    };
  }

  #noteQuorum(): void {
    const { clock, electionTimeoutMs } = this.#options;
    const nowMs = clock.monotonicMs();
    const seenMs = this.#core.quorumSeenMs(nowMs);
    const value = !this.#stopped && nowMs - seenMs <= electionTimeoutMs;
    if (value === this.#quorum.value) return;
    // It was lost an election timeout after it was last seen, even if nobody looked then.
    const lostMs = Number.isFinite(seenMs) ? Math.min(nowMs, seenMs + electionTimeoutMs) : nowMs;
    this.#quorum = { value, sinceMs: value ? nowMs : Math.max(this.#quorum.sinceMs, lostMs) };
  }

  /** Stops because of what broke: nothing that this replica would still say could be relied on. */
  fail(error: unknown): void {
    if (this.#stopped) return;
    this.#halt(error);
    void this.#release();
    this.#owner.stopped(error);
  }

  /** Ends everything within bounds. */
  async shutdown(): Promise<void> {
    if (!this.#stopped) this.#halt(undefined);
    await this.#release();
  }

  #halt(cause: unknown): void {
    const error = new RaftStoppedError(cause);
    this.proposals.stop(error);
    this.reads.stop(error);
    this.control.stop(error);
    this.#stopped = true;
    this.#ticker?.stop();
    this.#snapshots.stop();
    for (const withdraw of this.#withdraw) withdraw();
    this.#withdraw = [];
  }

  #released: Promise<void> | undefined;

  #release(): Promise<void> {
    this.#released ??= this.#close();
    return this.#released;
  }

  async #close(): Promise<void> {
    const { clock, limits, logger } = this.#options;
    let cancel: (() => void) | undefined;
    const patience = new Promise<void>((resolve) => {
      cancel = clock.schedule(limits.shutdownMs, resolve);
    });
    // What was appended is written out; what the machine has begun it may end; a log that is being opened anew can be closed then.
    const opened = this.#opening?.catch(() => undefined) ?? Promise.resolve();
    const ended = [this.#queue.idle(), this.#runner.idle(), this.#snapshots.idle(), opened];
    await Promise.race([Promise.all(ended), patience]);
    this.#queue.stop();
    this.#runner.stop();
    const closed = this.#store.close().catch((error: unknown) => logger.warn("the log could not be closed", { error }));
    await Promise.race([closed, patience]);
    cancel?.();
  }
}
