import type { ContentHash } from "../../ids.ts";
import type { ContentStore } from "../../seams/content-store.ts";
import { collect, concatenated, streamOf } from "../case.ts";
import type { ContentStoreFixture } from "../content-store.ts";

/** A test body over a fixture. */
export type Body = (fixture: ContentStoreFixture) => Promise<void>;

const { signal } = new AbortController();

/** A signal that never aborts. */
export const never: AbortSignal = signal;

/** The bytes that BLAKE3's own test vectors are made of: 0, 1, … 250, 0, 1, … */
export function pattern(length: number, shift = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index += 1) bytes[index] = (index + shift) % 251;
  return bytes;
}

/** The same bytes in pieces. */
function pieces(bytes: Uint8Array, size: number): readonly Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );
}

/** Stores bytes that come in pieces. */
export function store(
  { time }: ContentStoreFixture,
  at: ContentStore,
  bytes: Uint8Array,
  size = 65_536,
): Promise<ContentHash> {
  return time.run(at.put(streamOf(pieces(bytes, size)), { signal: never }));
}

/** Reads a whole blob. */
export async function load({ time }: ContentStoreFixture, at: ContentStore, hash: ContentHash): Promise<Uint8Array> {
  return concatenated(await time.run(collect(at.read(hash, { signal: never }))));
}

/** A hash that no blob of the kit has. */
export const unknownHash: ContentHash = "0".repeat(64) as ContentHash;
