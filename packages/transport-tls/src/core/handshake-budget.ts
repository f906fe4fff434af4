/** How many handshakes may begin. */
export interface HandshakeLimits {
  /** Per second, from one source. */
  readonly perSecond: number;
  /** At once from one source that has begun none for a while. */
  readonly burst: number;
  /** How long none from a source begins after a connection from there broke the protocol. */
  readonly violationWaitMs: number;
}

/** Fills steadily up to its depth; of both there is only a share while the process has better things to do. */
class Bucket {
  readonly #perMs: number;
  readonly #depth: number;
  #level: number;
  #atMs: number;

  constructor(perSecond: number, depth: number, nowMs: number) {
    this.#perMs = perSecond / 1000;
    this.#depth = depth;
    this.#level = depth;
    this.#atMs = nowMs;
  }

  /** How long until there is one to take; 0 where there is one. */
  waitMs(nowMs: number, share: number): number {
    const level = this.#fill(nowMs, share);
    // Levels are sums of fractions: what is one but for rounding is one.
    return level > 0.999_999 ? 0 : (1 - level) / (this.#perMs * share);
  }

  take(nowMs: number, share: number): void {
    this.#level = this.#fill(nowMs, share) - 1;
  }

  /** Is empty, and fills from then on. */
  emptyUntil(atMs: number): void {
    this.#level = 0;
    this.#atMs = atMs;
  }

  giveBack(): void {
    this.#level = Math.min(this.#depth, this.#level + 1);
  }

  isFull(nowMs: number, share: number): boolean {
    return this.#fill(nowMs, share) >= this.#depthAt(share);
  }

  #depthAt(share: number): number {
    return Math.max(Math.min(leastDepth, this.#depth), this.#depth * share);
  }

  #fill(nowMs: number, share: number): number {
    const filled = this.#level + Math.max(0, nowMs - this.#atMs) * this.#perMs * share;
    this.#level = Math.min(this.#depthAt(share), filled);
    this.#atMs = Math.max(this.#atMs, nowMs);
    return this.#level;
  }
}

interface Source {
  readonly bucket: Bucket;
  knownUntilMs: number;
  notBeforeMs: number;
}

/** So many may be under way at once however busy the process is: of members beyond the first, which wait for the network in between. */
const leastDepth = 4;
/** All strangers' sources together may begin as many as so many single ones. */
const strangersShare = 2;
/** From a source that an admitted peer came from, later handshakes do not count among the strangers' for so long. */
const knownMs = 10 * 60_000;
const maxSources = 4096;
const never = Number.NEGATIVE_INFINITY;
/** A peer that comes back sooner than this has cost its handshake. */
const comebackMs = 1000;
const maxComebacks = 4096;

/**
 * Who may begin a TLS handshake, which is a millisecond of CPU time for whoever asks for it.
 *
 * Each source has a bucket of its own, and those from which no admitted peer has come share another one, so that neither one
 * stranger nor many keep members out. A handshake that has shown an admitted peer is given back, but once a second for a peer's channel. Where
 * a connection ends by what came over it, its source waits.
 */
export class HandshakeBudget {
  readonly #limits: HandshakeLimits;
  readonly #strangers: Bucket;
  /** Those used longest ago first. */
  readonly #sources = new Map<string, Source>();
  readonly #seenMs = new Map<string, number>();

  constructor(limits: HandshakeLimits, nowMs: number) {
    this.#limits = limits;
    this.#strangers = new Bucket(limits.perSecond * strangersShare, limits.burst * strangersShare, nowMs);
  }

  /** How long until a source may begin a handshake, under a share of the limits from 0 to 1; 0 where it may now. */
  waitMs(source: string, nowMs: number, share = 1): number {
    const { bucket, knownUntilMs, notBeforeMs } = this.#source(source, nowMs, share);
    const ownMs = Math.max(bucket.waitMs(nowMs, share), notBeforeMs - nowMs);
    return knownUntilMs > nowMs ? ownMs : Math.max(ownMs, this.#strangers.waitMs(nowMs, share));
  }

  /** Counts a handshake that begins. */
  take(source: string, nowMs: number, share = 1): void {
    const { bucket, knownUntilMs } = this.#source(source, nowMs, share);
    bucket.take(nowMs, share);
    if (knownUntilMs <= nowMs) this.#strangers.take(nowMs, share);
  }

  /** A handshake from this source has shown an admitted peer, named together with its channel. */
  admitted(source: string, who: string, nowMs: number): void {
    const from = this.#source(source, nowMs, 1);
    const lastMs = this.#seenMs.get(who);
    this.#seenMs.delete(who);
    if (this.#seenMs.size >= maxComebacks) this.#seenMs.delete(first(this.#seenMs));
    this.#seenMs.set(who, nowMs);
    if (lastMs === undefined || nowMs - lastMs >= comebackMs) {
      from.bucket.giveBack();
      if (from.knownUntilMs <= nowMs) this.#strangers.giveBack();
    }
    from.knownUntilMs = nowMs + knownMs;
  }

  /** A connection from this source broke the protocol, whoever came over it. */
  violated(source: string, nowMs: number): void {
    const from = this.#source(source, nowMs, 1);
    from.notBeforeMs = nowMs + this.#limits.violationWaitMs;
    // Or as many as fit would begin together once the wait is over.
    from.bucket.emptyUntil(from.notBeforeMs);
  }

  #source(name: string, nowMs: number, share: number): Source {
    let source = this.#sources.get(name);
    if (source === undefined) {
      if (this.#sources.size >= maxSources) this.#sources.delete(this.#leastMissed(nowMs, share));
      const { perSecond, burst } = this.#limits;
      source = { bucket: new Bucket(perSecond, burst, nowMs), knownUntilMs: never, notBeforeMs: never };
    } else {
      this.#sources.delete(name);
    }
    this.#sources.set(name, source);
    return source;
  }

  /** The oldest about which nothing is worth knowing, and of none such the oldest. */
  #leastMissed(nowMs: number, share: number): string {
    for (const [name, { bucket, knownUntilMs, notBeforeMs }] of this.#sources)
      if (Math.max(knownUntilMs, notBeforeMs) <= nowMs && bucket.isFull(nowMs, share)) return name;
    return first(this.#sources);
  }
}

function first(map: ReadonlyMap<string, unknown>): string {
  return map.keys().next().value as string;
}
