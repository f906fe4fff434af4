import { quorumValue } from "./configuration.ts";
import type { CoreState } from "./state.ts";

/**
 * When heartbeat rounds were sent, and since when a quorum is known to stand by this leader.
 *
 * A voter that hears a leader votes for nobody else for T. So from the *send* of a round that a quorum has answered, for T less a
 * margin for clocks that run at different speeds, nobody else can lead, and a read needs no round of its own. When the answers
 * came says nothing: they may have been under way for longer than that.
 */
export class Lease {
  readonly durationMs: number;
  /** A successor was told to campaign, and will win whatever anyone heard: that message may arrive as long as the term lasts. */
  givenAway = false;
  /** Rounds before this one count no more. */
  #floor = 0;
  #first = 1;
  #sentMs: number[] = [];

  constructor(durationMs: number) {
    this.durationMs = durationMs;
  }

  /** Takes a round that is sent now. Rounds are begun one after another. */
  begin(round: number, nowMs: number): void {
    if (this.#sentMs.length === 0) this.#first = round;
    this.#sentMs.push(nowMs);
    let stale = 0;
    while (stale < this.#sentMs.length && nowMs - (this.#sentMs[stale] as number) >= this.durationMs) stale += 1;
    // Dropped in batches: under many reads a round begins with every answer.
    if (stale < 64 && stale < this.#sentMs.length) return;
    this.#sentMs.splice(0, stale);
    this.#first += stale;
  }

  /** When `round` was sent; -Infinity where that is too long ago, or was made void. */
  sentMs(round: number): number {
    return round < this.#floor ? -Infinity : (this.#sentMs[round - this.#first] ?? -Infinity);
  }

  /** Only rounds after `round` count from now on. */
  voidUpTo(round: number): void {
    this.#floor = round + 1;
  }
}

/** True while nobody else can lead, so that the commit index answers a read at once. */
export function holdsLease(core: CoreState): boolean {
  const { lease, configuration, nowMs } = core;
  if (lease === undefined || configuration === undefined || !core.isLeader) return false;
  // Before an entry of the own term has committed, the commit index may lag (etcd#7331).
  if (lease.givenAway || core.transfer !== undefined || core.commitIndex < core.termStartIndex) return false;
  const sinceMs = quorumValue(configuration, (voter) => {
    if (voter.id === core.self.id) return voter.storeId === core.self.storeId ? nowMs : -Infinity;
    const peer = core.progress.get(voter.id);
    return peer === undefined || peer.storeId !== voter.storeId || peer.corrupt ? -Infinity : peer.confirmedMs;
  });
  return nowMs - sinceMs < lease.durationMs;
}

/** Nothing that was confirmed so far counts: only a round that begins from now on does. */
export function voidLease(core: CoreState): void {
  if (core.lease === undefined) return;
  core.lease.voidUpTo(core.round);
  for (const peer of core.progress.values()) peer.confirmedMs = -Infinity;
}
