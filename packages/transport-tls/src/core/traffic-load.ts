/** A rate is told of windows of this length. */
const windowMs = 200;
/** Up to so many frames a second a handshake delays next to nobody. */
const calmPerSecond = 25;
/** What is left to strangers however busy the process is. */
const leastShare = 0.05;

/**
 * How much of their budget handshakes may use, by the frames that admitted peers send.
 *
 * A handshake holds the process up for a millisecond, and every frame that comes meanwhile. Handshakes are let through in inverse proportion
 * to the frames, so that the number of frames that strangers delay each second stays the same however many there are.
 */
export class TrafficLoad {
  /** Frames of admitted peers so far, signs of life aside; counted by whoever takes them. */
  frames = 0;
  #windowFrames = 0;
  #windowAtMs: number;
  #perSecond = 0;

  constructor(nowMs: number) {
    this.#windowAtMs = nowMs;
  }

  /** Frames per second: of the last window, or what the present one has shown already where that is more. */
  perSecond(nowMs: number): number {
    const elapsedMs = nowMs - this.#windowAtMs;
    const since = this.frames - this.#windowFrames;
    if (elapsedMs < windowMs) return Math.max(this.#perSecond, (since * 1000) / windowMs);
    this.#perSecond = (since * 1000) / elapsedMs;
    this.#windowAtMs = nowMs;
    this.#windowFrames = this.frames;
    return this.#perSecond;
  }

  /** The share of their budget that handshakes may use now: 1 while it is calm, never less than a twentieth. */
  share(nowMs: number): number {
    return Math.max(leastShare, Math.min(1, calmPerSecond / Math.max(1, this.perSecond(nowMs))));
  }
}
