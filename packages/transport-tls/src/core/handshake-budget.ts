/** How many handshakes may begin. */
export interface HandshakeLimits {
  /** Per second, from one source. */
  readonly perSecond: number;
  /** At once from one source that has begun none for a while. */
  readonly burst: number;
}

/** Fills steadily up to its depth. */
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
  waitMs(nowMs: number): number {
    const level = this.#fill(nowMs);
    // Levels are sums of fractions: what is one but for rounding is one.
    return level > 0.999_999 ? 0 : (1 - level) / this.#perMs;
  }

  take(nowMs: number): void {
    this.#level = this.#fill(nowMs) - 1;
  }

  giveBack(): void {
    this.#level = Math.min(this.#depth, this.#level + 1);
  }

  isFull(nowMs: number): boolean {
    return this.#fill(nowMs) >= this.#depth;
  }

  #fill(nowMs: number): number {
    this.#level = Math.min(this.#depth, this.#level + Math.max(0, nowMs - this.#atMs) * this.#perMs);
    this.#atMs = nowMs;
    return this.#level;
  }
}

interface Source {
  readonly bucket: Bucket;
  knownUntilMs: number;
}

/** All strangers' sources together may begin as many as so many single ones. */
const strangersShare = 2;
/** From a source that an admitted peer came from, later handshakes do not count among the strangers' for so long. */
const knownMs = 10 * 60_000;
const maxSources = 4096;
/** A peer that comes back sooner than this has cost its handshake. */
const comebackMs = 1000;
const maxComebacks = 4096;

/**
 * Who may begin a TLS handshake, which is a millisecond of CPU time for whoever asks for it.
 *
 * Each source has a bucket of its own, and those from which no admitted peer has come share another one, so that neither one
 * stranger nor many keep members out. A handshake that has shown an admitted peer is given back, but once a second for a peer's channel.
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

  /** How long until a source may begin a handshake; 0 where it may now. */
  waitMs(source: string, nowMs: number): number {
    const { bucket, knownUntilMs } = this.#source(source, nowMs);
    const ownMs = bucket.waitMs(nowMs);
    return knownUntilMs > nowMs ? ownMs : Math.max(ownMs, this.#strangers.waitMs(nowMs));
  }

  /** Counts a handshake that begins. */
  take(source: string, nowMs: number): void {
    const { bucket, knownUntilMs } = this.#source(source, nowMs);
    bucket.take(nowMs);
    if (knownUntilMs <= nowMs) this.#strangers.take(nowMs);
  }

  /** A handshake from this source has shown an admitted peer, named together with its channel. */
  admitted(source: string, who: string, nowMs: number): void {
    const from = this.#source(source, nowMs);
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

  #source(name: string, nowMs: number): Source {
    let source = this.#sources.get(name);
    if (source === undefined) {
      if (this.#sources.size >= maxSources) this.#sources.delete(this.#leastMissed(nowMs));
      const { perSecond, burst } = this.#limits;
      source = { bucket: new Bucket(perSecond, burst, nowMs), knownUntilMs: Number.NEGATIVE_INFINITY };
    } else {
      this.#sources.delete(name);
    }
    this.#sources.set(name, source);
    return source;
  }

  /** The oldest about which nothing is worth knowing, and of none such the oldest. */
  #leastMissed(nowMs: number): string {
    for (const [name, { bucket, knownUntilMs }] of this.#sources)
      if (knownUntilMs <= nowMs && bucket.isFull(nowMs)) return name;
    return first(this.#sources);
  }
}

function first(map: ReadonlyMap<string, unknown>): string {
  return map.keys().next().value as string;
}
