import type {
  Configuration,
  ConsensusRole,
  LogBase,
  NodeId,
  ReplicaId,
  ReplicaProgress,
  StoreId,
} from "@revoada/fabric";
import { InvariantError } from "@revoada/fabric";
import { isLearner } from "./configuration.ts";
import { handleVoteRequest, handleVoteResponse, mayCampaign, ownVoteDurable, preCampaign } from "./election.ts";
import {
  handleAppend,
  handleHeartbeat,
  handleSnapshotInstalled,
  handleSnapshotReceived,
  handleTimeoutNow,
  repairState,
  type Following,
} from "./following.ts";
import {
  announceCommit,
  clockJumped,
  handleAppendResponse,
  handleHeartbeatResponse,
  handlePropose,
  handleTransfer,
  quorumHeardMs,
  resumeLeader,
  tickLeader,
} from "./leading.ts";
import { holdsLease } from "./lease.ts";
import { afterCommit, handleChange } from "./membership.ts";
import { handleRead } from "./reads.ts";
import { handleApplied, handleLogRead, handlePersisted, maybeApply } from "./replication.ts";
import { endRest, refreshPresence, restBehind, rests, rouse, wasHeard } from "./rest.ts";
import { becomeFollower, forgetLeader, hasLiveLeader, restartElectionTimer } from "./roles.ts";
import { CoreState } from "./state.ts";
import { asIndex, type CoreLimits, type CoreOptions, type Effect, type Event, type Message } from "./types.ts";

/**
 * Raft without time, disk, network or chance of its own: `step(event, nowMs)` returns what is to be done about it.
 *
 * Effects of one step are carried out in their order, steps one after another. Whatever takes time comes back as an event:
 * `persisted`, `applied`, `log-read`, `snapshot-…`. Nothing that rests on a record leaves before that record is durable: it is
 * in the `release` of its `persist`.
 */
export class RaftCore {
  readonly #state: CoreState;
  readonly #following: Following = { matchedIndex: 0, repairedTerm: 0 };

  constructor(options: CoreOptions & { readonly nowMs: number }) {
    this.#state = new CoreState(options, { id: options.id, storeId: options.storeId });
    this.#state.nowMs = options.nowMs;
    restartElectionTimer(this.#state);
    const voters = this.#state.configuration?.voters;
    const alone = voters?.length === 1 && this.#state.configuration?.outgoing === undefined && this.#state.isVoter;
    // There is nobody to wait for.
    if (alone) this.#state.electionDeadlineMs = options.nowMs;
    // Whom it heard in its earlier life is forgotten, the lease that counts on its vote perhaps not run out.
    else if (options.leaseReads !== undefined && this.#state.term > 0) this.#state.leaderHeardMs = options.nowMs;
  }

  get term(): number {
    return this.#state.term;
  }
  get vote(): NodeId | undefined {
    return this.#state.vote;
  }
  get leader(): NodeId | undefined {
    return this.#state.leader;
  }
  get isLeader(): boolean {
    return this.#state.isLeader;
  }
  get commitIndex(): number {
    return this.#state.commitIndex;
  }
  get appliedIndex(): number {
    return this.#state.appliedIndex;
  }
  get lastIndex(): number {
    return this.#state.log.lastIndex;
  }
  get lastTerm(): number {
    return this.#state.log.lastTerm;
  }
  get firstIndex(): number {
    return this.#state.log.baseIndex + 1;
  }
  get durableIndex(): number {
    return this.#state.log.durableIndex;
  }
  get configuration(): Configuration | undefined {
    return this.#state.configuration;
  }
  get configurationIndex(): number {
    return this.#state.configurations.currentIndex;
  }
  get storage(): "ok" | "corrupt" | "failed" {
    return this.#state.storage;
  }
  get limits(): CoreLimits {
    return this.#state.limits;
  }
  get uncommittedBytes(): number {
    return this.#state.uncommittedBytes;
  }
  /** True once this leader may answer reads and change voters: an entry of its own term has committed. */
  get isSettled(): boolean {
    return this.#state.isLeader && this.#state.commitIndex >= this.#state.termStartIndex;
  }

  /** True while reads are answered at once, because nobody else can lead. */
  holdsLease(nowMs: number): boolean {
    this.#state.nowMs = Math.max(this.#state.nowMs, nowMs);
    return holdsLease(this.#state);
  }

  get role(): Exclude<ConsensusRole, "stopped"> {
    const { configuration, self } = this.#state;
    if (this.#state.role !== "follower") return this.#state.role;
    if (configuration === undefined) return "outsider";
    if (this.#state.isVoter) return "follower";
    return isLearner(configuration, self.id, self.storeId) ? "learner" : "outsider";
  }

  /** When a `tick` is due next. */
  get wakeMs(): number {
    if (this.#state.storage === "failed" || rests(this.#state)) return Infinity;
    return this.#state.isLeader ? this.#state.heartbeatDueMs : this.#state.electionDeadlineMs;
  }

  /** The term of an entry, where it is known. */
  termAt(index: number): number | undefined {
    return this.#state.log.term(index);
  }

  /** The configuration that was in force at `index`, for a base or a snapshot there. */
  configurationAt(index: number): Configuration | undefined {
    return this.#state.configurations.at(index);
  }

  /** Term, vote and commit index as they stand now, durable or not. */
  hardState(): ReturnType<CoreState["hardState"]> {
    return this.#state.hardState();
  }

  /** Since when, if at all, a quorum is out of reach: the last time that it was known to be there. */
  quorumSeenMs(nowMs: number): number {
    this.#refresh(nowMs);
    if (!this.#state.isLeader) return this.#state.leader === undefined ? -Infinity : this.#state.leaderHeardMs;
    return quorumHeardMs(this.#state);
  }

  #refresh(nowMs: number): void {
    this.#state.nowMs = Math.max(this.#state.nowMs, nowMs);
    if (this.#state.rest !== undefined) refreshPresence(this.#state);
  }

  /** True where this leader replicates to that store of that node. */
  hasPeer(id: NodeId, storeId: StoreId): boolean {
    return this.#state.isLeader && this.#state.progress.get(id)?.storeId === storeId;
  }

  progress(nowMs: number): ReadonlyMap<NodeId, ReplicaProgress> {
    this.#refresh(nowMs);
    const seen = new Map<NodeId, ReplicaProgress>();
    for (const peer of this.#state.progress.values()) {
      const silentMs = Math.max(0, nowMs - peer.lastHeardMs);
      seen.set(peer.id, { matchIndex: asIndex(peer.matchIndex), state: peer.state, silentMs });
    }
    return seen;
  }

  /** Bytes that are out to followers and not acknowledged. */
  get inFlightBytes(): number {
    let bytes = 0;
    for (const peer of this.#state.progress.values()) bytes += peer.inFlightBytes;
    return bytes;
  }

  /** Takes one event. Time never goes back: an earlier `nowMs` counts as the latest one seen. */
  step(event: Event, nowMs: number): Effect[] {
    const core = this.#state;
    core.nowMs = Math.max(core.nowMs, nowMs);
    if (core.rest !== undefined) refreshPresence(core);
    // What a failed disk holds is unknown: only its being opened anew, in a new core, ends that.
    if (core.storage !== "failed") this.#dispatch(core, event);
    else if ("id" in event) core.reject(event.id, "not-leader");
    // What follows from a commit may commit more, in a cluster of one.
    while (core.commitUnseen) afterCommit(core);
    endRest(core);
    return core.takeEffects();
  }

  #dispatch(core: CoreState, event: Event): void {
    switch (event.type) {
      case "start":
        return maybeApply(core);
      case "tick":
        return this.#tick(core);
      case "stalled":
        return this.#resume(core);
      case "rest":
        return restBehind(core, event.leader, event.term);
      case "rouse":
        return rouse(core);
      case "message":
        return this.#receive(core, event.message);
      case "clock-jumped":
        return clockJumped(core);
      case "forget-leader":
        return forgetLeader(core);
      case "campaign":
        // Its own vote is one that a leader who was heard just now may count on.
        return hasLiveLeader(core) ? undefined : preCampaign(core);
      case "propose":
        return handlePropose(core, event.id, event.payloads);
      case "announce":
        return core.isLeader ? announceCommit(core) : undefined;
      case "read":
        return handleRead(core, event.id);
      case "change":
        return handleChange(core, event.id, event);
      case "transfer":
        return handleTransfer(core, event.id, event.to);
      case "persisted":
        core.finishedWrite(event.seq);
        ownVoteDurable(core, event.seq);
        return handlePersisted(core);
      case "applied":
        return handleApplied(core, event.index);
      default:
        return this.#dispatchTransfers(core, event);
    }
  }

  #dispatchTransfers(
    core: CoreState,
    event: Extract<Event, { readonly type: `snapshot-${string}` | "log-read" | "storage-failed" }>,
  ): void {
    switch (event.type) {
      case "log-read": {
        const peer = core.progress.get(event.to);
        if (!core.isLeader || event.term !== core.term || peer === undefined || !peer.reading) return;
        return handleLogRead(core, peer, event.from, event.entries);
      }
      case "snapshot-progress": {
        const peer = core.progress.get(event.to);
        if (peer?.state === "snapshot") peer.snapshotDeadlineMs = core.nowMs + core.limits.snapshotStallMs;
        return;
      }
      case "snapshot-sent":
        return this.#snapshotSent(core, event.to, event.index, event.success);
      case "snapshot-received":
        return this.#snapshotReceived(core, { id: event.from, storeId: event.fromStore }, event.term, event.base);
      case "snapshot-installed":
        // Of an earlier core, whose log failed meanwhile: this one has begun with what was found.
        if (core.installing?.index !== event.base.index || core.installing.term !== event.base.term) return;
        handleSnapshotInstalled(core, this.#following, event.base, event.success);
        return this.#acknowledgeInstalled(core, event.success);
      case "snapshot-saved":
        core.savingSnapshot = false;
        if (event.base === undefined) return;
        core.log.compact(event.base.index, event.base.term);
        return core.configurations.compact(event.base.index);
      case "storage-failed":
        becomeFollower(core, core.term, undefined);
        core.storage = "failed";
        return core.effect({ type: "role-changed" });
    }
  }

  #resume(core: CoreState): void {
    if (!core.isLeader) return restartElectionTimer(core);
    rouse(core);
    resumeLeader(core);
  }

  #tick(core: CoreState): void {
    if (rests(core)) return;
    if (core.isLeader) return tickLeader(core);
    if (core.nowMs < core.electionDeadlineMs || wasHeard(core)) return;
    if (mayCampaign(core)) return preCampaign(core);
    restartElectionTimer(core);
    if (core.leader === undefined) return;
    core.leader = undefined;
    core.effect({ type: "role-changed" });
  }

  #receive(core: CoreState, message: Message): void {
    // Meant for a store that this one is not: a disk was wiped, or an address is another's now.
    if (message.to !== core.self.id || message.toStore !== core.self.storeId || message.from === core.self.id) return;
    // Somebody lost sight of this leader: it shows itself.
    if (message.type === "vote-request" && core.isLeader) rouse(core);
    // A disk that hangs cannot back what would be answered: what else comes is lost, as on a network.
    if (!core.isLeader && core.log.unfinishedWrites >= core.limits.maxBacklogWrites) return;
    if (message.term > core.term && !this.#meetLaterTerm(core, message)) return;
    if (message.term < core.term) return this.#meetEarlierTerm(core, message);
    switch (message.type) {
      case "vote-request":
        return handleVoteRequest(core, message);
      case "vote-response":
        return handleVoteResponse(core, message);
      case "append":
        this.#followLeader(core, message);
        return handleAppend(core, this.#following, message);
      case "heartbeat":
        this.#followLeader(core, message);
        return handleHeartbeat(core, this.#following, message);
      case "append-response":
        return handleAppendResponse(core, message);
      case "heartbeat-response":
        return handleHeartbeatResponse(core, message);
      case "timeout-now":
        return message.from === core.leader ? handleTimeoutNow(core) : undefined;
    }
  }

  /** False where the message is to be ignored or has been dealt with. */
  #meetLaterTerm(core: CoreState, message: Message): boolean {
    if (message.type === "vote-request") {
      // A live leader is not deposed by one that merely lost sight of it (dissertation §4.2.3), whatever its term.
      if (!message.transfer && hasLiveLeader(core)) return false;
      if (message.pre) {
        handleVoteRequest(core, message);
        return false;
      }
    }
    if (message.type === "vote-response" && message.pre && message.granted) {
      handleVoteResponse(core, message);
      return false;
    }
    becomeFollower(core, message.term, undefined);
    return true;
  }

  /** Whoever is behind must learn of it, or it would go on for ever (etcd#8243); answers to an earlier self mean nothing. */
  #meetEarlierTerm(core: CoreState, message: Message): void {
    const to: ReplicaId = { id: message.from, storeId: message.fromStore };
    if (message.type === "append" || message.type === "heartbeat") {
      const { lastIndex, lastTerm } = core.log;
      const body = {
        type: "append-response",
        success: false,
        index: lastIndex,
        hintIndex: lastIndex,
        hintTerm: lastTerm,
        // Whoever asked may lead in this term by the time that it is answered.
        repair: repairState(core, this.#following),
      } as const;
      return core.sendAfterTerm(to, body);
    }
    if (message.type !== "vote-request") return;
    core.sendAfterTerm(to, { type: "vote-response", pre: message.pre, granted: false });
  }

  #followLeader(core: CoreState, message: Message): void {
    if (core.isLeader)
      throw new InvariantError(`two leaders in term ${core.term}: ${core.self.id} and ${message.from}`);
    if (core.role !== "follower" || core.leader !== message.from) {
      this.#following.matchedIndex = 0;
      becomeFollower(core, core.term, message.from);
    }
    core.leaderHeardMs = core.nowMs;
    restartElectionTimer(core);
  }

  #snapshotSent(core: CoreState, to: NodeId, index: number, success: boolean): void {
    const peer = core.progress.get(to);
    if (peer?.state !== "snapshot") return;
    if (success) peer.snapshotIndex = index;
    peer.becomeProbe();
    // The receiver still has to install it: probing goes on with its next sign of life.
    peer.probePaused = true;
  }

  #snapshotReceived(core: CoreState, leader: ReplicaId, term: number, base: LogBase): void {
    if (term < core.term) return;
    if (term > core.term) becomeFollower(core, term, undefined);
    if (core.isLeader) throw new InvariantError(`two leaders in term ${core.term}: ${core.self.id} and ${leader.id}`);
    if (core.role !== "follower" || core.leader !== leader.id) becomeFollower(core, term, leader.id);
    core.leaderHeardMs = core.nowMs;
    restartElectionTimer(core);
    handleSnapshotReceived(core, this.#following, leader, base);
    maybeApply(core);
  }

  #acknowledgeInstalled(core: CoreState, success: boolean): void {
    const storeId = this.#leaderStore(core);
    if (!success || core.leader === undefined || storeId === undefined) return;
    const repair = core.storage === "corrupt" ? "corrupt" : "sound";
    const body = {
      type: "append-response",
      success: true,
      index: core.log.durableIndex,
      hintIndex: 0,
      hintTerm: 0,
      repair,
    } as const;
    core.sendAfterLog({ id: core.leader, storeId }, body);
  }

  #leaderStore(core: CoreState): StoreId | undefined {
    const { configuration, leader } = core;
    if (configuration === undefined) return undefined;
    const all = [...configuration.voters, ...(configuration.outgoing ?? []), ...configuration.learners];
    return all.find((replica) => replica.id === leader)?.storeId;
  }
}
