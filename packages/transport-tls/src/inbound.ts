import type { Clock } from "@revoada/fabric";
import { decodeGreeting, encodeAnswer, frameVersion, type Verdict } from "./core/greeting.ts";
import { ProtocolViolationError } from "./errors.ts";
import type { EndReason, Wire } from "./wire.ts";

/** What becomes of an inbound connection, decided by the pool. */
export interface InboundOwner {
  readonly session: Uint8Array;
  /** The dialler, whose key is proven, has said hello. */
  onHello(inbound: Inbound): void;
  /** The dialler says that the connection which a duplicate-live answer named is gone. */
  onInsist(inbound: Inbound): void;
  /** It was welcomed, or it ended before that. */
  onSettled(inbound: Inbound): void;
  /** It ended before it was welcomed or refused; called before {@link onSettled}. */
  onFailed(reason: EndReason, cause: Error | undefined): void;
}

/** An inbound connection until it is welcomed: hello, answer, perhaps insist. */
export class Inbound {
  readonly wire: Wire;
  readonly #owner: InboundOwner;
  readonly #cancelDeadline: () => void;
  #session: Uint8Array | undefined;
  #answered: Verdict["kind"] | undefined;

  /** `remainingMs` is what is left of the handshake's time. */
  constructor(wire: Wire, remainingMs: number, clock: Clock, owner: InboundOwner) {
    this.wire = wire;
    this.#owner = owner;
    this.#cancelDeadline = clock.schedule(Math.max(0, remainingMs), () => wire.end("timeout"));
    wire.onEnd = (reason, cause) => {
      this.#cancelDeadline();
      if (reason !== "local") owner.onFailed(reason, cause);
      owner.onSettled(this);
    };
  }

  /** Starts to read. */
  start(): void {
    this.wire.read((body) => {
      this.#onFrame(body);
      return "done";
    });
  }

  /** The dialler's session. Empty before its hello. */
  get session(): Uint8Array {
    return this.#session ?? new Uint8Array();
  }

  /** Welcomes the dialler; the connection is from now on the caller's. */
  welcome(): Wire {
    this.#answer({ kind: "welcome" });
    this.#cancelDeadline();
    this.wire.onEnd = () => {};
    this.#owner.onSettled(this);
    return this.wire;
  }

  /** Tells the dialler why not, and ends the connection. */
  refuse(kind: "not-admitted" | "version-mismatch" | "duplicate-pending"): void {
    this.#answer({ kind });
    this.wire.end("local");
  }

  /** Names the connection in use; the dialler ends this one or insists. */
  nameDuplicate(binding: Uint8Array): void {
    this.#answer({ kind: "duplicate-live", binding });
  }

  #answer(verdict: Verdict): void {
    this.#answered = verdict.kind;
    this.wire.outbox.append(encodeAnswer(verdict, this.#owner.session));
  }

  #onFrame(body: Uint8Array): void {
    const greeting = decodeGreeting(body);
    if (greeting.kind === "hello" && this.#session === undefined) {
      this.#session = greeting.session;
      if (greeting.lowest > frameVersion || greeting.highest < frameVersion) return this.refuse("version-mismatch");
      return this.#owner.onHello(this);
    }
    if (greeting.kind === "insist" && this.#answered === "duplicate-live") return this.#owner.onInsist(this);
    throw new ProtocolViolationError(`unexpected ${greeting.kind} from a dialler`);
  }
}
