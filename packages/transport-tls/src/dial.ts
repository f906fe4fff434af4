import type { TLSSocket } from "node:tls";
import type { Address, NodeId, TransportChannel } from "@revoada/fabric";
import { decodeGreeting, encodeHello, encodeInsist, type Verdict } from "./core/greeting.ts";
import type { DialStage } from "./core/settle.ts";
import { DialRace, type DialOptions } from "./dial-race.ts";
import {
  ClosedError,
  NotAdmittedError,
  ProtocolViolationError,
  UnreachableError,
  VersionMismatchError,
} from "./errors.ts";
import { type EndReason, Wire } from "./wire.ts";

/** How a dial ended. */
export type DialOutcome =
  | { readonly kind: "connected"; readonly wire: Wire; readonly session: Uint8Array }
  /** The peer's own dial to this node goes ahead instead. */
  | { readonly kind: "yield" }
  /** The connection that the peer named is in use here too. */
  | { readonly kind: "use-live" }
  | { readonly kind: "failed"; readonly error: Error };

/** What the pool knows and a dial does not. */
export interface DialOwner {
  readonly session: Uint8Array;
  /** Asked once the key is proven, before hello. */
  admits(): boolean;
  /** True where the connection with this binding is in use here. */
  isLive(binding: Uint8Array): boolean;
  /** Called once, unless the dial was given up. */
  done(outcome: DialOutcome): void;
}

/** One attempt to connect to a peer: the race of its addresses, then the greeting. */
export class Dial {
  readonly #peer: NodeId;
  readonly #channel: TransportChannel;
  readonly #options: DialOptions;
  readonly #owner: DialOwner;
  readonly #race: DialRace;
  #stage: DialStage = "connecting";
  #wire: Wire | undefined;
  #cancelDeadline: () => void = () => {};

  constructor(
    target: { readonly peer: NodeId; readonly channel: TransportChannel; readonly addresses: readonly Address[] },
    options: DialOptions,
    owner: DialOwner,
  ) {
    this.#peer = target.peer;
    this.#channel = target.channel;
    this.#options = options;
    this.#owner = owner;
    this.#race = new DialRace(target.peer, target.channel, target.addresses, options, (outcome) => {
      if (outcome instanceof Error) this.#finish({ kind: "failed", error: outcome });
      else this.#greet(outcome);
    });
    this.#race.start();
  }

  get stage(): DialStage {
    return this.#stage;
  }

  /** Ends the attempt without calling back. */
  cancel(): void {
    if (this.#stage === "none") return;
    this.#stage = "none";
    this.#race.cancel();
    this.#release()?.end("local");
  }

  #greet(socket: TLSSocket): void {
    if (!this.#owner.admits()) {
      socket.destroy();
      return this.#finish({ kind: "failed", error: new NotAdmittedError(this.#peer, this.#channel, "local") });
    }
    const { clock, limits } = this.#options;
    const facts = { peer: this.#peer, channel: this.#channel, dialledHere: true };
    const wire = new Wire(socket, facts, { clock, lingerMs: limits.lingerMs });
    this.#wire = wire;
    this.#stage = "greeting";
    wire.onEnd = (reason, cause) => this.#onEnd(reason, cause);
    this.#cancelDeadline = clock.schedule(limits.handshakeTimeoutMs, () => wire.end("timeout"));
    wire.read((body) => {
      this.#onFrame(wire, body);
      return "done";
    });
    wire.outbox.append(encodeHello(this.#owner.session));
  }

  #onFrame(wire: Wire, body: Uint8Array): void {
    const greeting = decodeGreeting(body);
    if (greeting.kind !== "answer") throw new ProtocolViolationError(`${greeting.kind} from an acceptor`);
    this.#onVerdict(wire, greeting.verdict, greeting.session);
  }

  #onVerdict(wire: Wire, verdict: Verdict, session: Uint8Array): void {
    switch (verdict.kind) {
      case "welcome":
        this.#release();
        return this.#finish({ kind: "connected", wire, session });
      case "not-admitted":
        return this.#endWith({ kind: "failed", error: new NotAdmittedError(this.#peer, this.#channel, "remote") });
      case "version-mismatch":
        return this.#endWith({ kind: "failed", error: new VersionMismatchError(this.#peer) });
      case "duplicate-pending":
        return this.#endWith({ kind: "yield" });
      case "duplicate-live":
        if (this.#owner.isLive(verdict.binding)) return this.#endWith({ kind: "use-live" });
        if (this.#stage === "insisting") throw new ProtocolViolationError("named a duplicate twice");
        this.#stage = "insisting";
        wire.outbox.append(encodeInsist());
    }
  }

  #endWith(outcome: DialOutcome): void {
    this.#release()?.end("local");
    this.#finish(outcome);
  }

  #onEnd(reason: EndReason, cause: Error | undefined): void {
    this.#release();
    const why = cause?.message ?? (reason === "timeout" ? "no answer to hello" : "closed before the answer to hello");
    const error = new UnreachableError(this.#peer, [why], cause ?? new ClosedError(why));
    this.#finish({ kind: "failed", error });
  }

  /** Lets go of the connection: whatever becomes of it is no longer this dial's business. */
  #release(): Wire | undefined {
    this.#cancelDeadline();
    const wire = this.#wire;
    this.#wire = undefined;
    if (wire !== undefined) wire.onEnd = () => {};
    return wire;
  }

  #finish(outcome: DialOutcome): void {
    if (this.#stage === "none") return;
    this.#stage = "none";
    this.#owner.done(outcome);
  }
}
