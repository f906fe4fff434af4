import type { NodeId, PeerContext, Protocol, ProtocolHandler, TransportChannel } from "@revoada/fabric";
import { InvalidValueError } from "@revoada/fabric";
import { isProtocolName } from "./core/frame.ts";
import { ProtocolViolationError } from "./errors.ts";

/** A protocol that this node offers. */
export interface Offer {
  readonly protocol: Protocol;
  readonly handler: ProtocolHandler;
}

/** Protocol names that one side may introduce on one connection. */
export const maxProtocols = 256;

/** Checks a protocol that a caller names. Throws `FABRIC_INVALID_VALUE`. */
export function checkProtocol(protocol: Protocol, channels: Readonly<Record<TransportChannel, string>>): void {
  if (!isProtocolName(protocol.name)) {
    throw new InvalidValueError("protocol.name", protocol.name, "1 to 128 printable ASCII characters");
  }
  if (!Object.hasOwn(channels, protocol.channel)) {
    throw new InvalidValueError("protocol.channel", protocol.channel, Object.keys(channels).join(", "));
  }
}

interface Introduced {
  readonly name: string;
  offer: Offer | undefined;
  context: PeerContext | undefined;
}

/** What the other side of one connection calls by number, and what is offered under those names here. */
export class RemoteProtocols {
  readonly #offers: ReadonlyMap<string, Offer>;
  readonly #peer: NodeId;
  readonly #channel: TransportChannel;
  readonly #signal: AbortSignal;
  readonly #introduced: Introduced[] = [];

  constructor(
    offers: ReadonlyMap<string, Offer>,
    facts: { readonly peer: NodeId; readonly channel: TransportChannel; readonly signal: AbortSignal },
  ) {
    this.#offers = offers;
    this.#peer = facts.peer;
    this.#channel = facts.channel;
    this.#signal = facts.signal;
  }

  /** Takes a name. Numbers come in order. Throws `TRANSPORT_PROTOCOL_VIOLATION`. */
  introduce(index: number, name: string): void {
    if (index !== this.#introduced.length || index >= maxProtocols) {
      throw new ProtocolViolationError(
        `protocol number ${index}, expected ${this.#introduced.length} below ${maxProtocols}`,
      );
    }
    this.#introduced.push({ name, offer: undefined, context: undefined });
  }

  nameOf(index: number): string {
    return this.#at(index).name;
  }

  /** What is offered now under a number, with the context for its handler. Throws `TRANSPORT_PROTOCOL_VIOLATION`. */
  find(index: number): { readonly handler: ProtocolHandler; readonly context: PeerContext } | undefined {
    const introduced = this.#at(index);
    const offer = this.#offers.get(introduced.name);
    // A name is offered on one channel: what comes on another must not borrow that channel's admission.
    if (offer === undefined || offer.protocol.channel !== this.#channel) return undefined;
    if (introduced.offer !== offer || introduced.context === undefined) {
      introduced.offer = offer;
      introduced.context = { peer: this.#peer, protocol: offer.protocol, signal: this.#signal };
    }
    return { handler: offer.handler, context: introduced.context };
  }

  #at(index: number): Introduced {
    const introduced = this.#introduced[index];
    if (introduced === undefined) throw new ProtocolViolationError(`protocol number ${index} was never introduced`);
    return introduced;
  }
}
