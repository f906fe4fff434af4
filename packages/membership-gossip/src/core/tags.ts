import type { SignedItem } from "./items.ts";

/** Bytes of a tag: the first bytes of a signature, which name its content. */
export const tagBytes = 8;

/**
 * A fingerprint of a set of signed items: the exclusive or of the first 8 bytes of their signatures.
 *
 * An ed25519 signature begins with a point that is fresh for each content, so no further hash is needed. Whoever grinds their
 * own signatures into a collision hides nothing but their own news, and from the fingerprint only: news travels on its own too.
 */
export class SetTag {
  readonly bytes: Uint8Array = new Uint8Array(tagBytes);

  /** Puts an item in, or takes it out again. */
  toggle(item: SignedItem): void {
    for (let index = 0; index < tagBytes; index++)
      this.bytes[index] = (this.bytes[index] ?? 0) ^ (item.signature[index] ?? 0);
  }
}

/** True where two tags are the same. */
export function equalTags(left: Uint8Array, right: Uint8Array): boolean {
  for (let index = 0; index < tagBytes; index++) if (left[index] !== right[index]) return false;
  return true;
}
