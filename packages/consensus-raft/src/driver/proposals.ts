import {
  isFabricError,
  type Clock,
  type Committed,
  type LogEntry,
  type LogIndex,
  type Metrics,
  type NodeId,
  type Term,
} from "@revoada/fabric";
import type { Effect, Event } from "../core/types.ts";
import {
  RaftBackpressureError,
  RaftNoQuorumError,
  RaftOutcomeUnknownError,
  type RaftStoppedError,
  RaftTooLargeError,
} from "../errors.ts";
import { answerAheadMs, forwardedError, maxForwardedCommands, type ForwardedOutcome } from "../wire/forward.ts";
import type { RaftLimits } from "./options.ts";
import { type Proposal, WaitingLine } from "./waiting-line.ts";

/** A batch on its way to a leader. */
interface Forwarded<Result> {
  readonly leader: NodeId;
  readonly batch: readonly Proposal<Result>[];
  /** Since when somebody else leads. */
  lostSinceMs: number | undefined;
}

/** Those who wait with one signal. */
interface Listening<Result> {
  readonly together: Set<Proposal<Result>>;
  readonly onAbort: () => void;
}

/** What proposals need of the replica around them. */
export interface ProposalSurroundings<Result> {
  readonly clock: Clock;
  readonly limits: RaftLimits;
  readonly metrics: Metrics;
  readonly electionTimeoutMs: number;
  dispatch(event: Event): void;
  /** Somebody waits from now on, and must be let go in time. */
  watch(): void;
  isLeader(): boolean;
  /** Whom to forward to; undefined where nobody is known to lead. */
  leader(): NodeId | undefined;
  notLeader(): Error;
  forward(to: NodeId, commands: readonly Uint8Array[], timeoutMs: number): Promise<readonly ForwardedOutcome[]>;
  decodeResult(bytes: Uint8Array): Result;
}

/** Failures of a request that happened before the other side could act: the command was not appended. */
const definiteTransportCodes = [
  "TRANSPORT_NO_ADDRESS",
  "TRANSPORT_UNREACHABLE",
  "TRANSPORT_WRONG_PEER",
  "TRANSPORT_NOT_ADMITTED",
  "TRANSPORT_BACKPRESSURE",
  "TRANSPORT_UNSUPPORTED",
  "TRANSPORT_SELF_DIAL",
  "RAFT_BAD_FRAME",
  "RAFT_STOPPED",
  "RAFT_UNKNOWN_GROUP",
];

const encodedOverheadBytes = 16;

/** What a caller says with a command. */
export interface SubmitOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  readonly localOnly?: Proposal<unknown>["localOnly"];
}

function overtaken(index: number): string {
  return `another leader's entry stands at ${index}`;
}

/**
 * Commands between their callers and the log.
 *
 * Those of one turn go together: into one append on the leader, into one request elsewhere. A command waits for a leader within
 * bounds and is then refused for certain; once it is in a log, or may be, its caller hears the result or that it is unknown.
 */
export class Proposals<Result> {
  readonly #around: ProposalSurroundings<Result>;
  readonly #waiting: WaitingLine<Result> = new WaitingLine<Result>();
  /** In the log of this replica, by index. */
  readonly #appended = new Map<number, Proposal<Result>>();
  /** Handed to the core, until it says what became of them. */
  readonly #offered = new Map<number, readonly Proposal<Result>[]>();
  #nextOffer = 1;
  /** Sent to a leader, until it answers. */
  readonly #forwards = new Set<Forwarded<Result>>();
  readonly #aborts = new Map<AbortSignal, Listening<Result>>();
  /** All whose callers wait, wherever they are. */
  #pending = 0;
  #flushAsked = false;
  /** False where nobody in line is to be refused for want of leadership. */
  #mayHoldLocalOnly = false;
  #retryAtMs = 0;
  /** Since when nothing can be learnt about what was appended: leadership is gone. */
  #lostSinceMs: number | undefined;
  #stopped: RaftStoppedError | undefined;

  constructor(around: ProposalSurroundings<Result>) {
    this.#around = around;
  }

  /** Proposals whose callers wait. */
  get pending(): number {
    return this.#pending;
  }

  /** Those among them that no leader has taken yet. */
  get waiting(): number {
    return this.#waiting.size;
  }

  get needsSweep(): boolean {
    return this.#waiting.size > 0 || this.#appended.size > 0 || this.#forwards.size > 0;
  }

  /** Takes a command. Exactly one of the two callbacks is called, later or at once. */
  submit(
    payload: Uint8Array,
    options: SubmitOptions,
    resolve: (committed: Committed<Result>) => void,
    reject: (error: unknown) => void,
  ): void {
    const refusal = this.#refusal(payload, options.signal);
    if (refusal !== undefined) {
      reject(refusal.reason);
      return this.#countRefusal(refusal.reason);
    }
    const { limits, clock } = this.#around;
    const nowMs = clock.monotonicMs();
    const proposal: Proposal<Result> = {
      payload,
      resolve,
      reject,
      deadlineMs: nowMs + (options.timeoutMs ?? limits.proposalTimeoutMs),
      localOnly: options.localOnly,
      sinceMs: nowMs,
      sentMs: nowMs,
      waits: false,
      settled: false,
      term: 0,
      release: undefined,
    };
    this.#pending += 1;
    if (proposal.localOnly !== undefined) this.#mayHoldLocalOnly = true;
    if (options.signal !== undefined) this.#listen(proposal, options.signal);
    this.#waiting.push(proposal);
    this.#askFlush();
  }

  /** Why a command is not taken at all. */
  #refusal(payload: Uint8Array, signal: AbortSignal | undefined): { readonly reason: unknown } | undefined {
    const { limits } = this.#around;
    if (this.#stopped !== undefined) return { reason: this.#stopped };
    if (payload.length > limits.maxCommandBytes)
      return { reason: new RaftTooLargeError(payload.length, limits.maxCommandBytes) };
    if (signal?.aborted === true) return { reason: signal.reason };
    const full =
      this.#waiting.size >= limits.maxWaitingProposals ||
      this.#pending >= limits.maxPendingProposals ||
      this.#waiting.bytes + payload.length > limits.maxWaitingBytes;
    return full ? { reason: new RaftBackpressureError(`${this.#pending} proposals`) } : undefined;
  }

  /** One listener for all who share a signal: adding one more to a signal takes a look through those it has. */
  #listen(proposal: Proposal<Result>, signal: AbortSignal): void {
    const { together, onAbort } = this.#aborts.get(signal) ?? this.#listenTo(signal);
    together.add(proposal);
    proposal.release = (): void => {
      together.delete(proposal);
      if (together.size > 0) return;
      signal.removeEventListener("abort", onAbort);
      if (this.#aborts.get(signal)?.together === together) this.#aborts.delete(signal);
    };
  }

  #listenTo(signal: AbortSignal): Listening<Result> {
    const together = new Set<Proposal<Result>>();
    const onAbort = (): void => {
      for (const proposal of [...together]) {
        const { reason } = signal;
        this.#fail(
          proposal,
          proposal.waits ? reason : new RaftOutcomeUnknownError("its caller stopped waiting", reason),
        );
      }
    };
    const listening: Listening<Result> = { together, onAbort };
    this.#aborts.set(signal, listening);
    signal.addEventListener("abort", onAbort, { once: true });
    return listening;
  }

  #askFlush(): void {
    this.#around.watch();
    if (this.#flushAsked) return;
    this.#flushAsked = true;
    this.#around.clock.nextTurn(() => {
      this.#flushAsked = false;
      this.flush();
    });
  }

  /** Sends on what waits, if there is somewhere to send it. */
  flush(): void {
    if (this.#waiting.size === 0 || this.#stopped !== undefined) return;
    if (this.#around.isLeader()) return this.#offer();
    const leader = this.#around.leader();
    this.#refuseLocalOnly(leader);
    if (leader === undefined || this.#around.clock.monotonicMs() < this.#retryAtMs) return;
    while (this.#waiting.size > 0 && !this.#forwardsAreFull) this.#forwardSome(leader);
  }

  get #forwardsAreFull(): boolean {
    return this.#forwards.size >= this.#around.limits.maxForwardsInFlight;
  }

  #refuseLocalOnly(leader: NodeId | undefined): void {
    if (!this.#mayHoldLocalOnly) return;
    this.#mayHoldLocalOnly = false;
    for (const proposal of this.#waiting.list()) {
      if (proposal.localOnly === undefined) continue;
      if (proposal.localOnly === "at once" || leader !== undefined) this.#fail(proposal, this.#around.notLeader());
      else this.#mayHoldLocalOnly = true;
    }
  }

  #offer(): void {
    const batch = this.#waiting.take(Infinity, Infinity, 0);
    const id = this.#nextOffer;
    this.#nextOffer += 1;
    const nowMs = this.#around.clock.monotonicMs();
    for (const proposal of batch) proposal.sentMs = nowMs;
    this.#offered.set(id, batch);
    this.#around.dispatch({ type: "propose", id, payloads: batch.map((proposal) => proposal.payload) });
  }

  /** Part of an offer stands in the log. True where the offer was ours. */
  onProposed(effect: Extract<Effect, { readonly type: "proposed" }>): void {
    const batch = this.#offered.get(effect.id);
    if (batch === undefined) return;
    this.#lostSinceMs = undefined;
    for (let at = 0; at < effect.count; at += 1) {
      const proposal = batch[at] as Proposal<Result>;
      const index = effect.firstIndex + at;
      proposal.term = effect.term;
      const overwritten = this.#appended.get(index);
      if (overwritten !== undefined) this.#fail(overwritten, new RaftOutcomeUnknownError(overtaken(index)));
      this.#appended.set(index, proposal);
    }
    if (effect.count === batch.length) this.#offered.delete(effect.id);
  }

  /** The rest of an offer was refused. */
  onRejected(effect: Extract<Effect, { readonly type: "reject" }>): boolean {
    const batch = this.#offered.get(effect.id);
    if (batch === undefined) return false;
    this.#offered.delete(effect.id);
    const rest = batch.slice(effect.from);
    const { maxCommandBytes } = this.#around.limits;
    for (const proposal of rest) {
      if (effect.reason === "backpressure")
        this.#fail(proposal, new RaftBackpressureError("bytes that have not committed"));
      else if (effect.reason === "too-large" && proposal.payload.length > maxCommandBytes)
        this.#fail(proposal, new RaftTooLargeError(proposal.payload.length, maxCommandBytes));
    }
    this.#waitAgain(rest);
    return true;
  }

  /** Refused for certain by whoever does not lead: it may look for a leader on. */
  #waitAgain(proposals: readonly Proposal<Result>[]): void {
    const nowMs = this.#around.clock.monotonicMs();
    // What a leader kept them for does not count as looking for one.
    for (const proposal of proposals) proposal.sinceMs += nowMs - proposal.sentMs;
    this.#waiting.pushFront(proposals);
    this.#retryAtMs = nowMs + this.#around.electionTimeoutMs / 5;
    this.#mayHoldLocalOnly = true;
    if (!this.#around.isLeader()) this.#refuseLocalOnly(this.#around.leader());
  }

  #forwardSome(leader: NodeId): void {
    const { limits, clock } = this.#around;
    const batch = this.#waiting.take(maxForwardedCommands, limits.maxForwardBytes, encodedOverheadBytes);
    const nowMs = clock.monotonicMs();
    let lastMs = nowMs + 1;
    for (const proposal of batch) {
      proposal.sentMs = nowMs;
      lastMs = Math.max(lastMs, proposal.deadlineMs);
    }
    const forwarded: Forwarded<Result> = { leader, batch, lostSinceMs: undefined };
    this.#forwards.add(forwarded);
    const commands = batch.map((proposal) => proposal.payload);
    const outcomes = this.#around.forward(leader, commands, lastMs - nowMs);
    outcomes.then(
      (answers) => this.#onForwarded(forwarded, answers),
      (error: unknown) => this.#onForwardFailed(forwarded, error),
    );
  }

  #onForwarded(forwarded: Forwarded<Result>, outcomes: readonly ForwardedOutcome[]): void {
    const { batch } = forwarded;
    // Given up meanwhile: its callers were told that the outcome is unknown, and nothing is sent a second time.
    if (!this.#forwards.delete(forwarded)) return;
    const again: Proposal<Result>[] = [];
    outcomes.forEach((outcome, at) => {
      const proposal = batch[at] as Proposal<Result>;
      if (outcome.ok) this.#succeed(proposal, outcome.index, outcome.term, outcome.result);
      else if (outcome.code === "RAFT_NOT_LEADER" || outcome.code === "RAFT_STOPPED") again.push(proposal);
      else this.#fail(proposal, forwardedError(outcome, proposal.payload.length));
    });
    if (again.length > 0) this.#waitAgain(again);
    this.flush();
  }

  #succeed(proposal: Proposal<Result>, index: number, term: number, bytes: Uint8Array): void {
    if (proposal.settled) return;
    let result: Result;
    try {
      result = this.#around.decodeResult(bytes);
    } catch (error) {
      return this.#fail(proposal, new RaftOutcomeUnknownError("its result could not be decoded", error));
    }
    this.#settle(proposal);
    proposal.resolve({ index: index as LogIndex, term: term as Term, result });
  }

  #onForwardFailed(forwarded: Forwarded<Result>, error: unknown): void {
    const { batch } = forwarded;
    if (!this.#forwards.delete(forwarded)) return;
    if (isFabricError(error, ...definiteTransportCodes)) return this.#waitAgain(batch);
    for (const proposal of batch)
      this.#fail(proposal, new RaftOutcomeUnknownError("the leader's answer was lost", error));
    this.flush();
  }

  /** The machine has applied these entries. */
  onApplied(entries: readonly LogEntry[], results: readonly (Result | undefined)[]): void {
    if (this.#appended.size === 0) return;
    for (let at = 0; at < entries.length; at += 1) {
      const { index, term } = entries[at] as LogEntry;
      const proposal = this.#appended.get(index);
      if (proposal === undefined) continue;
      this.#appended.delete(index);
      if (proposal.settled) continue;
      if (proposal.term === term) {
        this.#settle(proposal);
        proposal.resolve({ index, term, result: results[at] as Result });
      } else {
        this.#fail(proposal, new RaftOutcomeUnknownError(overtaken(index)));
      }
    }
  }

  /** A snapshot took the place of everything up to `index`: what became of proposals in there is not told. */
  onInstalled(index: number): void {
    for (const [at, proposal] of this.#appended) {
      if (at > index) continue;
      this.#appended.delete(at);
      this.#fail(proposal, new RaftOutcomeUnknownError("a snapshot overtook it"));
    }
  }

  /** Role, leader or term changed. */
  onRoleChanged(): void {
    const leads = this.#around.isLeader();
    if (leads) this.#lostSinceMs = undefined;
    else if (this.#appended.size > 0) this.#lostSinceMs ??= this.#around.clock.monotonicMs();
    const leader = leads ? undefined : this.#around.leader();
    for (const forwarded of this.#forwards) {
      if (leads || (leader !== undefined && leader !== forwarded.leader)) {
        forwarded.lostSinceMs ??= this.#around.clock.monotonicMs();
      }
    }
    this.#retryAtMs = 0;
    if (this.#waiting.size > 0) this.#askFlush();
  }

  /** Everything that was appended here is out of sight: the log was lost or the replica stops. */
  abandon(why: string, cause?: unknown): void {
    for (const proposal of this.#appended.values()) this.#fail(proposal, new RaftOutcomeUnknownError(why, cause));
    this.#appended.clear();
    for (const batch of this.#offered.values())
      for (const proposal of batch) this.#fail(proposal, new RaftOutcomeUnknownError(why, cause));
    this.#offered.clear();
  }

  /** Lets go of whoever has waited long enough. */
  sweep(): void {
    const nowMs = this.#around.clock.monotonicMs();
    if (this.#waiting.size > 0) this.#sweepWaiting(nowMs);
    const lost = this.#lostSinceMs !== undefined && nowMs >= this.#lostSinceMs + 2 * this.#around.electionTimeoutMs;
    for (const [index, proposal] of this.#appended) {
      if (!lost && nowMs < proposal.deadlineMs) continue;
      this.#appended.delete(index);
      const why = lost ? "the leader that had appended it lost its place" : "it did not commit in time";
      this.#fail(proposal, new RaftOutcomeUnknownError(why));
    }
    this.#sweepForwards(nowMs);
    this.flush();
  }

  /** Looking for a leader has its patience; waiting for room on the way to one that is known has only the deadline. */
  #sweepWaiting(nowMs: number): void {
    const around = this.#around;
    const crowded = this.#forwardsAreFull && !around.isLeader() && around.leader() !== undefined;
    const patienceMs = crowded ? Infinity : 4 * around.electionTimeoutMs;
    for (const proposal of this.#waiting.list()) {
      if (nowMs < Math.min(proposal.deadlineMs, proposal.sinceMs + patienceMs)) continue;
      const error = crowded
        ? new RaftBackpressureError(`${this.#forwards.size} forwarded requests`)
        : new RaftNoQuorumError("proposal", nowMs - proposal.sinceMs);
      this.#fail(proposal, error);
    }
  }

  /** Each caller has its own deadline; and a leader that was replaced, stands still or is cut off may not answer for long. */
  #sweepForwards(nowMs: number): void {
    for (const forwarded of this.#forwards) {
      const { lostSinceMs, batch } = forwarded;
      const lost = lostSinceMs !== undefined && nowMs >= lostSinceMs + 2 * this.#around.electionTimeoutMs;
      if (lost) this.#forwards.delete(forwarded);
      const why = lost ? "the leader that it was sent to lost its place" : "the leader did not answer in time";
      for (const proposal of batch) {
        if (lost || nowMs >= proposal.deadlineMs + answerAheadMs)
          this.#fail(proposal, new RaftOutcomeUnknownError(why));
      }
    }
  }

  /** Refuses what waits, gives up what is on its way, and takes nothing more. */
  stop(error: RaftStoppedError): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = error;
    for (const proposal of this.#waiting.list()) this.#fail(proposal, error);
    this.abandon("the replica stopped", error);
    for (const { batch } of this.#forwards)
      for (const proposal of batch)
        this.#fail(proposal, new RaftOutcomeUnknownError("the replica stopped before the leader answered", error));
    this.#forwards.clear();
  }

  #settle(proposal: Proposal<Result>): void {
    proposal.settled = true;
    this.#pending -= 1;
    if (proposal.waits) this.#waiting.leave(proposal);
    proposal.release?.();
  }

  #fail(proposal: Proposal<Result>, error: unknown): void {
    if (proposal.settled) return;
    this.#settle(proposal);
    proposal.reject(error);
    this.#countRefusal(error);
  }

  #countRefusal(error: unknown): void {
    const code = isFabricError(error) ? error.code : "ABORTED";
    this.#around.metrics.count("revoada_raft_proposals_refused_total", 1, { code });
  }
}
