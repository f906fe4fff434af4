import type { ClusterId } from "@revoada/fabric";
import { decodeFrame, type Frame } from "./frames.ts";
import { ItemMemory, KnownItem } from "./item-memory.ts";
import { decodeItem, type Item, type SignedItem } from "./items.ts";
import { limits } from "./limits.ts";

/** What a signed item says, and the item as it is kept from then on. */
export interface ReadItem {
  readonly signed: SignedItem;
  readonly item: Item;
}

/**
 * Turns hostile bytes into frames and items; throws a `Refusal` for what it cannot read.
 *
 * A seam, so that the thousands of cores of a simulation can share what one of them has read.
 */
export interface Reader {
  frame(bytes: Uint8Array, clusterId: ClusterId): Frame;
  item(signed: SignedItem, clusterId: ClusterId): ReadItem;
  /** Told of each frame that was written, where it wants to know; it may keep `frame`, which nobody alters. */
  wrote?(bytes: Uint8Array, frame: Frame): void;
}

/** Reads what it has not read lately. Of one cluster: what it remembers was checked to belong to it. */
export class RememberingReader implements Reader {
  readonly #memory: ItemMemory;

  constructor(rememberedMax: number = limits.rememberedItemsMax) {
    this.#memory = new ItemMemory(rememberedMax);
  }

  frame(bytes: Uint8Array, clusterId: ClusterId): Frame {
    return decodeFrame(bytes, clusterId, this.#memory);
  }

  item(signed: SignedItem, clusterId: ClusterId): ReadItem {
    const known = signed instanceof KnownItem ? signed : this.#memory.recall(signed);
    return known ?? this.#memory.remember(signed, decodeItem(signed.payload, clusterId));
  }
}
