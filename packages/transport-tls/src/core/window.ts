import { ProtocolViolationError } from "../errors.ts";

/**
 * The receiving end of a stream's flow control: how much the sender may still send, and when to let it send more.
 *
 * The sender may be ahead of the consumer by `windowBytes`, and by one larger message for which memory was set aside.
 */
export class ReceiveWindow {
  readonly windowBytes: number;
  #granted: number;
  #received = 0;
  #consumed = 0;

  constructor(windowBytes: number) {
    this.windowBytes = windowBytes;
    this.#granted = windowBytes;
  }

  /** Received and not yet consumed. */
  get heldBytes(): number {
    return this.#received - this.#consumed;
  }

  /** Counts what arrived. Throws `TRANSPORT_PROTOCOL_VIOLATION` where the sender had no credit for it. */
  receive(bytes: number): void {
    this.#received += bytes;
    if (this.#received > this.#granted) {
      throw new ProtocolViolationError(`stream bytes beyond the credit: ${this.#received} of ${this.#granted}`);
    }
  }

  /** How much more than is granted the rest of a message, `remainingBytes`, will need. */
  shortfall(remainingBytes: number): number {
    return Math.max(0, this.#received + remainingBytes - this.#granted);
  }

  /** Lets the sender send `bytes` more. */
  grant(bytes: number): void {
    this.#granted += bytes;
  }

  /** Counts what the consumer took; returns the credit to send now, 0 until half a window has gathered. */
  consume(bytes: number): number {
    this.#consumed += bytes;
    return this.#withheld < this.windowBytes / 2 ? 0 : this.refill();
  }

  /** Grants the window up to its full width; returns the credit to send now. */
  refill(): number {
    const credit = Math.max(0, this.#withheld);
    this.#granted += credit;
    return credit;
  }

  get #withheld(): number {
    return this.#consumed + this.windowBytes - this.#granted;
  }
}

/** The sending end: credit that the receiver gave and that is not yet used. */
export class SendWindow {
  #credit: number;

  constructor(initialBytes: number) {
    this.#credit = initialBytes;
  }

  get creditBytes(): number {
    return this.#credit;
  }

  /** Adds credit. Throws `TRANSPORT_PROTOCOL_VIOLATION` where the sum is more than any receiver could mean. */
  add(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit > 0xffff_ffff) throw new ProtocolViolationError(`stream credit of ${this.#credit} bytes`);
  }

  use(bytes: number): void {
    this.#credit -= bytes;
  }
}
