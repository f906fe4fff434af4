import type { SignedItem } from "./items.ts";

/** Bytes of a tag: the first bytes of a signature, which name its content. */
export const tagBytes = 8;

// The tag of a set of signed items is the exclusive or of the first 8 bytes of their signatures. An ed25519 signature begins with a
// point that is fresh for each content, so no further hash is needed. Whoever grinds their own signatures into a collision hides nothing
// but their own news, and from the fingerprint only: news travels on its own too.

/** Four bytes as a signed integer of 32 bits. */
export function wordAt(bytes: Uint8Array, at: number): number {
  const byte = (index: number): number => bytes[at + index] ?? 0;
  return (byte(0) << 24) | (byte(1) << 16) | (byte(2) << 8) | byte(3);
}

/** The first half of an item's tag, as a signed integer of 32 bits. */
export function tagHighOf({ signature }: SignedItem): number {
  return wordAt(signature, 0);
}

/** The second half of an item's tag. */
export function tagLowOf({ signature }: SignedItem): number {
  return wordAt(signature, 4);
}

/** Puts a tag into the fingerprint that begins at `offset`, or takes it out again. */
export function toggleTag(tags: Uint8Array, offset: number, high: number, low: number): void {
  for (let index = 0; index < 4; index++) {
    const shift = 24 - 8 * index;
    tags[offset + index] = (tags[offset + index] ?? 0) ^ ((high >>> shift) & 255);
    tags[offset + 4 + index] = (tags[offset + 4 + index] ?? 0) ^ ((low >>> shift) & 255);
  }
}

/** True where two tags, each at its offset, are the same. */
export function equalTags(left: Uint8Array, right: Uint8Array, offset: number): boolean {
  for (let index = offset; index < offset + tagBytes; index++) if (left[index] !== right[index]) return false;
  return true;
}
