import type { SignedItem } from "./items.ts";

/** Bytes of a tag: the first bytes of a signature, which name its content. */
export const tagBytes = 8;

/**
 * Puts an item into the fingerprint that begins at `offset`, or takes it out again: the exclusive or of the first 8 bytes of the
 * signatures of a set of signed items.
 *
 * An ed25519 signature begins with a point that is fresh for each content, so no further hash is needed. Whoever grinds their
 * own signatures into a collision hides nothing but their own news, and from the fingerprint only: news travels on its own too.
 */
export function toggleTag(tags: Uint8Array, offset: number, item: SignedItem): void {
  for (let index = 0; index < tagBytes; index++)
    tags[offset + index] = (tags[offset + index] ?? 0) ^ (item.signature[index] ?? 0);
}

/** True where two tags, each at its offset, are the same. */
export function equalTags(left: Uint8Array, right: Uint8Array, offset = 0): boolean {
  for (let index = offset; index < offset + tagBytes; index++) if (left[index] !== right[index]) return false;
  return true;
}
