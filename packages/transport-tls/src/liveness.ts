import { ProtocolViolationError } from "./errors.ts";
import type { ConnectionHost } from "./connection.ts";
import type { Frame } from "./core/frame.ts";
import type { Wire } from "./wire.ts";

type Sign = Extract<Frame, { readonly kind: "ping" | "pong" | "retire" | "stay" }>;

/** What a connection tells of itself when it is asked whether anybody needs it. */
export interface LivenessOwner {
  /** True where nothing is under way: no request, in neither direction, and no stream. */
  quiet(): boolean;
  /** True where this node could dial the peer itself, so that nothing is lost by letting the connection go. */
  canDial(): boolean;
  send(sign: Sign): void;
  /** A round trip without any handler's time in it. */
  measured(roundTripMs: number): void;
  /** Whoever waited for the other side's word on letting go may use the connection again. */
  stayed(): void;
}

/** An incomplete frame that grows by less than this within `stallTimeoutMs` is dripped, not sent. */
const leastProgressBytes = 64 * 1024;
/** Weight of the newest sample in the smoothed round trip, as in RFC 6298. */
const roundTripGain = 1 / 8;

/** The smoothed round trip with one more sample in it. */
export function smoothed(previousMs: number | undefined, sampleMs: number): number {
  return previousMs === undefined ? sampleMs : previousMs + (sampleMs - previousMs) * roundTripGain;
}

/**
 * Whether a connection lives and is needed: output that goes nowhere, frames that never end and silence end it; so does the dialler,
 * with the other side's consent, when nobody has used it for long.
 */
export class Liveness {
  readonly #wire: Wire;
  readonly #host: ConnectionHost;
  readonly #owner: LivenessOwner;
  #pingToken = 0;
  #pingAtMs = 0;
  /** When a ping was sent after which nothing has come. */
  #silentSinceMs: number | undefined;
  #writtenBytes = 0;
  #writtenMs: number;
  #frames = 0;
  #partialBytes = 0;
  #partialMs: number;
  #uses = 0;
  #usesSeen = 0;
  #usedMs: number;
  #retiring = false;

  constructor(wire: Wire, host: ConnectionHost, owner: LivenessOwner) {
    this.#wire = wire;
    this.#host = host;
    this.#owner = owner;
    const nowMs = host.clock.monotonicMs();
    this.#writtenMs = nowMs;
    this.#partialMs = nowMs;
    this.#usedMs = nowMs;
  }

  /** True from when the other side was asked to let the connection go until it has answered: nothing new may be sent. */
  get retiring(): boolean {
    return this.#retiring;
  }

  /** Somebody needs the connection. Cheap: called for every frame that is no sign of life. */
  used(): void {
    this.#uses += 1;
  }

  /** Looks for signs of life; called at a steady beat. `forgive` where this host itself stood still. */
  tick(nowMs: number, forgive: boolean): void {
    if (this.#stalls(nowMs, forgive) || this.#drips(nowMs, forgive)) return this.#wire.end("timeout");
    this.#retire(nowMs);
    this.#askForLife(nowMs, forgive);
  }

  onSign(sign: Sign): void {
    switch (sign.kind) {
      case "ping":
        return this.#owner.send({ kind: "pong", token: sign.token });
      case "pong":
        return this.#onPong(sign.token);
      case "retire":
        return this.#onRetire();
      case "stay":
        if (!this.#retiring) throw new ProtocolViolationError("stay without having been asked");
        this.#retiring = false;
        this.#usedMs = this.#host.clock.monotonicMs();
        this.#owner.stayed();
    }
  }

  /** Output waits and none of it leaves. */
  #stalls(nowMs: number, forgive: boolean): boolean {
    const { outbox } = this.#wire;
    if (forgive || outbox.writtenBytes !== this.#writtenBytes || outbox.queuedBytes === 0) {
      this.#writtenBytes = outbox.writtenBytes;
      this.#writtenMs = nowMs;
    }
    return nowMs - this.#writtenMs >= this.#host.limits.stallTimeoutMs;
  }

  /** A frame has begun and hardly grows. */
  #drips(nowMs: number, forgive: boolean): boolean {
    const { frames, partialBytes } = this.#wire;
    const grown = partialBytes - this.#partialBytes >= leastProgressBytes;
    if (forgive || partialBytes === 0 || frames !== this.#frames || grown) {
      this.#frames = frames;
      this.#partialBytes = partialBytes;
      this.#partialMs = nowMs;
    }
    return nowMs - this.#partialMs >= this.#host.limits.stallTimeoutMs;
  }

  #askForLife(nowMs: number, forgive: boolean): void {
    const { limits, clock } = this.#host;
    const wire = this.#wire;
    if (this.#silentSinceMs !== undefined && (forgive || wire.receivedAtMs >= this.#silentSinceMs))
      this.#silentSinceMs = undefined;
    if (this.#silentSinceMs === undefined) {
      if (nowMs - wire.receivedAtMs < limits.pingIntervalMs) return;
      this.#silentSinceMs = nowMs;
      this.#pingAtMs = nowMs;
      this.#pingToken += 1;
      return this.#owner.send({ kind: "ping", token: this.#pingToken });
    }
    if (nowMs - this.#silentSinceMs < limits.pingTimeoutMs) return;
    const judgedMs = this.#silentSinceMs;
    // Input may wait in the kernel while this process was busy: it is received before the peer is judged.
    clock.nextTurn(() => {
      if (wire.receivedAtMs < judgedMs) wire.end("timeout");
    });
  }

  #onPong(token: number): void {
    // An answer may be late, after another ping; one to a ping that was never sent is made up.
    if (token === 0 || token > this.#pingToken) throw new ProtocolViolationError(`pong ${token} to no ping`);
    if (token === this.#pingToken) this.#owner.measured(this.#wire.receivedAtMs - this.#pingAtMs);
  }

  #retire(nowMs: number): void {
    if (this.#uses !== this.#usesSeen) {
      this.#usesSeen = this.#uses;
      this.#usedMs = nowMs;
    }
    const { channel, dialledHere, ended } = this.#wire;
    // Those who vote for each other stay connected: an election must not wait for handshakes.
    if (ended || this.#retiring || !dialledHere || channel === "consensus") return;
    if (nowMs - this.#usedMs < this.#host.limits.idleTimeoutMs) return;
    if (!this.#owner.quiet()) return;
    this.#retiring = true;
    this.#owner.send({ kind: "retire" });
  }

  /**
   * The dialler sends nothing more until it is answered, and nothing sent from here is under way either where nothing was sent for long:
   * ended now, the connection loses nothing.
   */
  #onRetire(): void {
    const { clock, limits } = this.#host;
    const { channel, dialledHere } = this.#wire;
    if (dialledHere) throw new ProtocolViolationError("retire from the side that was dialled");
    const idleMs = clock.monotonicMs() - this.#usedMs;
    const unused = this.#uses === this.#usesSeen && idleMs >= limits.idleTimeoutMs / 2;
    if (unused && this.#owner.quiet() && (channel === "join" || this.#owner.canDial())) return this.#wire.end("local");
    this.#owner.send({ kind: "stay" });
  }
}
