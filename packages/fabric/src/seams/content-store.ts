import type { ContentHash } from "../ids.ts";

/** Blobs by their hash. */
export interface ContentStore extends AsyncDisposable {
  /** Stores a blob and returns its hash once it is durable here. */
  put(chunks: AsyncIterable<Uint8Array>, options: { readonly signal: AbortSignal }): Promise<ContentHash>;
  /** True where the whole blob is held here. */
  has(hash: ContentHash): Promise<boolean>;
  /**
   * Streams the blob named by `hash`, fetching it from peers where it is not held here.
   *
   * Bytes are checked against `hash` before they are yielded, in chunks of at most 1 MiB. Rejects with `CONTENT_NOT_FOUND` when
   * nobody reachable holds it, and with `CONTENT_CORRUPT` only when every holder served wrong bytes.
   */
  read(hash: ContentHash, options: { readonly signal: AbortSignal }): AsyncIterable<Uint8Array>;
  /** Keeps a blob from being collected until the returned function is called. */
  pin(hash: ContentHash): () => void;
  /** Drops blobs that are neither pinned nor in use; returns how many. */
  collect(): Promise<number>;
}
