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
import { forwardedError, maxForwardedCommands, type ForwardedOutcome } from "../wire/forward.ts";
import type { RaftLimits } from "./options.ts";

/** One command on its way, and who waits for it. */
interface Proposal<Result> {
  readonly payload: Uint8Array;
  readonly resolve: (committed: Committed<Result>) => void;
  readonly reject: (error: unknown) => void;
  /** When its caller stops waiting. */
  readonly deadlineMs: number;
  /** Since when it looks for a leader. */
  readonly sinceMs: number;
  /** Refused rather than forwarded where this replica does not lead: it has been forwarded once already. */
  readonly localOnly: boolean;
  term: number;
  settled: boolean;
  /** Takes back what listens for the caller's abort. */
  release: (() => void) | undefined;
}

/** A batch on its way to a leader. */
interface Forwarded<Result> {
  readonly leader: NodeId;
  readonly batch: readonly Proposal<Result>[];
  /** Since when somebody else leads. */
  lostSinceMs: number | undefined;
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
];

const encodedOverheadBytes = 16;

/**
 * Commands between their callers and the log.
 *
 * Those of one turn go together: into one append on the leader, into one request elsewhere. A command waits for a leader within
 * bounds and is then refused for certain; once it is in a log, or may be, its caller hears the result or that it is unknown.
 */
export class Proposals<Result> {
  readonly #around: ProposalSurroundings<Result>;
  #waiting: Proposal<Result>[] = [];
  #waitingBytes = 0;
  /** In the log of this replica, by index. */
  readonly #appended = new Map<number, Proposal<Result>>();
  /** Handed to the core, until it says what became of them. */
  readonly #offered = new Map<number, readonly Proposal<Result>[]>();
  #nextOffer = 1;
  /** Sent to a leader, until it answers. */
  readonly #forwards = new Set<Forwarded<Result>>();
  #flushAsked = false;
  #retryAtMs = 0;
  /** Since when nothing can be learnt about what was appended: leadership is gone. */
  #lostSinceMs: number | undefined;
  #stopped: RaftStoppedError | undefined;

  constructor(around: ProposalSurroundings<Result>) {
    this.#around = around;
  }

  get pending(): number {
    return this.#waiting.length + this.#appended.size;
  }

  get needsSweep(): boolean {
    return this.#waiting.length > 0 || this.#appended.size > 0 || this.#forwards.size > 0;
  }

  /** Takes a command. Exactly one of the two callbacks is called, later or at once. */
  submit(
    payload: Uint8Array,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number; readonly localOnly?: boolean },
    resolve: (committed: Committed<Result>) => void,
    reject: (error: unknown) => void,
  ): void {
    const { limits, clock } = this.#around;
    if (this.#stopped !== undefined) return reject(this.#stopped);
    if (payload.length > limits.maxCommandBytes)
      return reject(new RaftTooLargeError(payload.length, limits.maxCommandBytes));
    if (options.signal?.aborted === true) return reject(options.signal.reason);
    const full =
      this.#waiting.length >= limits.maxWaitingProposals ||
      this.#waitingBytes + payload.length > limits.maxWaitingBytes;
    if (full) return reject(new RaftBackpressureError(`${this.#waiting.length} proposals`));
    const nowMs = clock.monotonicMs();
    const proposal: Proposal<Result> = {
      payload,
      resolve,
      reject,
      deadlineMs: nowMs + (options.timeoutMs ?? limits.proposalTimeoutMs),
      sinceMs: nowMs,
      localOnly: options.localOnly === true,
      term: 0,
      settled: false,
      release: undefined,
    };
    if (options.signal !== undefined) this.#listen(proposal, options.signal);
    this.#waiting.push(proposal);
    this.#waitingBytes += payload.length;
    this.#askFlush();
  }

  #listen(proposal: Proposal<Result>, signal: AbortSignal): void {
    const onAbort = (): void => {
      const definite = this.#waiting.includes(proposal);
      this.#fail(
        proposal,
        definite ? signal.reason : new RaftOutcomeUnknownError("its caller stopped waiting", signal.reason),
      );
      if (definite) this.#takeWaiting((each) => !each.settled);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    proposal.release = (): void => signal.removeEventListener("abort", onAbort);
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
    if (this.#waiting.length === 0 || this.#stopped !== undefined) return;
    if (this.#around.isLeader()) return this.#offer();
    this.#refuseLocalOnly();
    const leader = this.#around.leader();
    if (leader === undefined || this.#around.clock.monotonicMs() < this.#retryAtMs) return;
    while (this.#waiting.length > 0 && this.#forwards.size < this.#around.limits.maxForwardsInFlight)
      this.#forwardSome(leader);
  }

  #refuseLocalOnly(): void {
    for (const proposal of this.#waiting) if (proposal.localOnly) this.#fail(proposal, this.#around.notLeader());
    this.#takeWaiting((each) => !each.settled);
  }

  /** Keeps those that `keep` says, and counts their bytes anew. */
  #takeWaiting(keep: (proposal: Proposal<Result>) => boolean): void {
    this.#waiting = this.#waiting.filter(keep);
    this.#waitingBytes = 0;
    for (const proposal of this.#waiting) this.#waitingBytes += proposal.payload.length;
  }

  #offer(): void {
    const batch = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    const id = this.#nextOffer;
    this.#nextOffer += 1;
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
      proposal.term = effect.term;
      this.#appended.set(effect.firstIndex + at, proposal);
    }
    if (effect.count === batch.length) this.#offered.delete(effect.id);
  }

  /** The rest of an offer was refused. */
  onRejected(effect: Extract<Effect, { readonly type: "reject" }>): boolean {
    const batch = this.#offered.get(effect.id);
    if (batch === undefined) return false;
    this.#offered.delete(effect.id);
    const rest = batch.slice(effect.from).filter((proposal) => !proposal.settled);
    if (effect.reason === "backpressure" || effect.reason === "too-large") {
      const error =
        effect.reason === "backpressure" ? new RaftBackpressureError("bytes that have not committed") : undefined;
      for (const proposal of rest) {
        this.#fail(
          proposal,
          error ?? new RaftTooLargeError(proposal.payload.length, this.#around.limits.maxCommandBytes),
        );
      }
    } else {
      this.#waitAgain(rest);
    }
    return true;
  }

  /** Refused for certain by whoever does not lead: it may look for a leader on. */
  #waitAgain(proposals: readonly Proposal<Result>[]): void {
    this.#waiting = [...proposals.filter((proposal) => !proposal.settled), ...this.#waiting];
    this.#takeWaiting(() => true);
    if (!this.#around.isLeader()) this.#refuseLocalOnly();
    this.#retryAtMs = this.#around.clock.monotonicMs() + this.#around.electionTimeoutMs / 5;
  }

  #forwardSome(leader: NodeId): void {
    const { limits, clock } = this.#around;
    let bytes = 0;
    let count = 0;
    while (count < this.#waiting.length && count < maxForwardedCommands) {
      bytes += (this.#waiting[count] as Proposal<Result>).payload.length + encodedOverheadBytes;
      if (bytes > limits.maxForwardBytes && count > 0) break;
      count += 1;
    }
    const batch = this.#waiting.splice(0, count);
    for (const proposal of batch) this.#waitingBytes -= proposal.payload.length;
    const nowMs = clock.monotonicMs();
    const timeoutMs = Math.max(1, Math.max(...batch.map((proposal) => proposal.deadlineMs)) - nowMs);
    const forwarded: Forwarded<Result> = { leader, batch, lostSinceMs: undefined };
    this.#forwards.add(forwarded);
    const commands = batch.map((proposal) => proposal.payload);
    const outcomes = this.#around.forward(leader, commands, timeoutMs);
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
      if (outcome.ok) {
        this.#succeed(proposal, outcome.index, outcome.term, outcome.result);
      } else if (outcome.code === "RAFT_NOT_LEADER" || outcome.code === "RAFT_STOPPED") {
        again.push(proposal);
      } else {
        this.#fail(proposal, forwardedError(outcome));
      }
    });
    if (again.length > 0) this.#waitAgain(again);
    this.flush();
  }

  #succeed(proposal: Proposal<Result>, index: number, term: number, bytes: Uint8Array): void {
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
    if (isFabricError(error, ...definiteTransportCodes)) {
      this.#waitAgain(batch);
      return;
    }
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
        this.#fail(proposal, new RaftOutcomeUnknownError(`another leader's entry stands at ${index}`));
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
    if (this.#waiting.length > 0) this.#askFlush();
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
    const { clock, electionTimeoutMs } = this.#around;
    const nowMs = clock.monotonicMs();
    const patienceMs = 4 * electionTimeoutMs;
    let expired = false;
    for (const proposal of this.#waiting) {
      if (nowMs < Math.min(proposal.deadlineMs, proposal.sinceMs + patienceMs)) continue;
      expired = true;
      this.#fail(proposal, new RaftNoQuorumError("proposal", nowMs - proposal.sinceMs));
    }
    if (expired) this.#takeWaiting((each) => !each.settled);
    const lost = this.#lostSinceMs !== undefined && nowMs >= this.#lostSinceMs + 2 * electionTimeoutMs;
    for (const [index, proposal] of this.#appended) {
      if (!lost && nowMs < proposal.deadlineMs) continue;
      this.#appended.delete(index);
      const why = lost ? "the leader that had appended it lost its place" : "it did not commit in time";
      this.#fail(proposal, new RaftOutcomeUnknownError(why));
    }
    this.#giveUpForwards(nowMs);
    this.flush();
  }

  /** A leader that was replaced and does not answer soon, because it stands still or is cut off, may not answer for long. */
  #giveUpForwards(nowMs: number): void {
    for (const forwarded of this.#forwards) {
      const { lostSinceMs, batch } = forwarded;
      if (lostSinceMs === undefined || nowMs < lostSinceMs + 2 * this.#around.electionTimeoutMs) continue;
      this.#forwards.delete(forwarded);
      for (const proposal of batch)
        this.#fail(proposal, new RaftOutcomeUnknownError("the leader that it was sent to lost its place"));
    }
  }

  /** Refuses what waits and takes nothing more. */
  stop(error: RaftStoppedError): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = error;
    for (const proposal of this.#waiting) this.#fail(proposal, error);
    this.#takeWaiting(() => false);
    this.abandon("the replica stopped", error);
  }

  /** Takes commands again. */
  resume(): void {
    this.#stopped = undefined;
  }

  #settle(proposal: Proposal<Result>): void {
    proposal.settled = true;
    proposal.release?.();
  }

  #fail(proposal: Proposal<Result>, error: unknown): void {
    if (proposal.settled) return;
    this.#settle(proposal);
    proposal.reject(error);
    const code = isFabricError(error) ? error.code : "ABORTED";
    this.#around.metrics.count("revoada_raft_proposals_refused_total", 1, { code });
  }
}
