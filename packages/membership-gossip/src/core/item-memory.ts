import type { Item, SignedItem } from "./items.ts";
import type { Subject } from "./subject.ts";
import { tagHighOf, wordAt } from "./tags.ts";

/** A signed item together with what it says, so that whoever meets it again need not look for that. */
export class KnownItem implements SignedItem {
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
  readonly item: Item;
  /** Of a head: who it speaks of, where that is all there is to know. */
  calm: Subject | undefined = undefined;

  constructor({ payload, signature }: SignedItem, item: Item) {
    this.payload = payload;
    this.signature = signature;
    this.item = item;
  }

  get signed(): SignedItem {
    return this;
  }
}

/** Where an item lies in a frame: its payload up to `payloadEnd`, and 64 bytes of signature. */
export interface ItemSpan {
  readonly payloadAt: number;
  readonly payloadEnd: number;
  readonly signatureAt: number;
}

function lieAt(expected: Uint8Array, bytes: Uint8Array, at: number): boolean {
  for (let index = 0; index < expected.length; index++) if (expected[index] !== bytes[at + index]) return false;
  return true;
}

/**
 * What was read lately. While something is news everybody tells it to everybody, so most items come in several times; those that are
 * known to the last bit, signature and all, are neither copied out of their frame nor decoded again.
 *
 * Bounded; the oldest goes first. Two items whose signatures begin with the same 32 bits displace each other, which costs a decoding.
 */
export class ItemMemory {
  readonly #max: number;
  readonly #items = new Map<number, KnownItem>();

  constructor(max: number) {
    this.#max = max;
  }

  /** The item that lies at that place of a frame, where it is known. */
  find(frame: Uint8Array, { payloadAt, payloadEnd, signatureAt }: ItemSpan): KnownItem | undefined {
    const known = this.#items.get(wordAt(frame, signatureAt));
    if (known === undefined || known.payload.length !== payloadEnd - payloadAt) return undefined;
    return lieAt(known.signature, frame, signatureAt) && lieAt(known.payload, frame, payloadAt) ? known : undefined;
  }

  /** What is known of the same item. */
  recall({ payload, signature }: SignedItem): KnownItem | undefined {
    const known = this.#items.get(wordAt(signature, 0));
    if (known === undefined || known.payload.length !== payload.length) return undefined;
    return lieAt(known.signature, signature, 0) && lieAt(known.payload, payload, 0) ? known : undefined;
  }

  /** Remembers what an item says. */
  remember(signed: SignedItem, item: Item): KnownItem {
    const known = new KnownItem(signed, item);
    const name = tagHighOf(signed);
    this.#items.delete(name);
    this.#items.set(name, known);
    const oldest = this.#items.keys().next();
    if (this.#items.size > this.#max && oldest.done !== true) this.#items.delete(oldest.value);
    return known;
  }
}
