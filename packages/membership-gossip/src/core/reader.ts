import type { ClusterId } from "@revoada/fabric";
import { decodeFrame, type Frame } from "./frames.ts";
import { decodeItem, type Item, type SignedItem } from "./items.ts";

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
}

/** Reads everything anew. */
export const plainReader: Reader = Object.freeze({
  frame: decodeFrame,
  item: (signed: SignedItem, clusterId: ClusterId): ReadItem => ({
    signed,
    item: decodeItem(signed.payload, clusterId),
  }),
});
