import { createHash, type Hash } from "node:crypto";
import type { CatalogEntry, ClusterId, StoreReader } from "@revoada/fabric";
import { compareBytes, concatBytes, copyBytes, equalBytes, readUint32, writeUint32 } from "./core/bytes.ts";
import { decodeCanonical, encodeCanonical, isBytes, isCounter } from "./core/cbor.ts";
import type { StagedEntry } from "./core/command.ts";
import { catalogLimits, keyFault } from "./core/limits.ts";
import { readEntries, readState } from "./core/read.ts";
import { CatalogNewerFormatError, CatalogSnapshotInvalidError, CatalogTooLargeError } from "./errors.ts";

/*
 * The stream: magic (8 bytes), format (2 bytes), then frames of kind (1 byte), length (4 bytes) and canonical CBOR.
 *
 *   header   {revision, clusterId?}
 *   entries  [[key, value, createRevision, modRevision, version], …], keys rising within and across frames
 *   end      [number of entries, SHA-256 of everything before this frame]
 */
const magic = new TextEncoder().encode("RVDCATLG");
const formatVersion = 1;
const preambleBytes = magic.length + 2;
const frameHeadBytes = 5;
const kinds = { header: 1, entries: 2, end: 3 } as const;
/** A frame closes once it holds this much; one entry may go beyond it. */
const frameTargetBytes = 262_144;
const maxFrameBytes = frameTargetBytes + catalogLimits.valueBytes + 4_096;

export interface SnapshotHeader {
  readonly revision: number;
  readonly clusterId?: ClusterId | undefined;
}

export interface LoadedSnapshot {
  readonly header: SnapshotHeader;
  readonly entries: readonly StagedEntry[];
}

function frame(kind: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(frameHeadBytes + payload.length);
  bytes[0] = kind;
  writeUint32(bytes, 1, payload.length);
  bytes.set(payload, frameHeadBytes);
  return bytes;
}

function preamble(): Uint8Array {
  const bytes = new Uint8Array(preambleBytes);
  bytes.set(magic);
  bytes[magic.length + 1] = formatVersion;
  return bytes;
}

function entrySize(entry: CatalogEntry): number {
  return entry.key.length + entry.value.length + 32;
}

/** All live entries of a view that does not change, as a checked stream. */
export function* writeSnapshot(
  view: StoreReader,
  clusterId: ClusterId | undefined,
): Generator<Uint8Array, void, undefined> {
  const state = readState(view);
  const hash = createHash("sha256");
  const hashed = (bytes: Uint8Array): Uint8Array => {
    hash.update(bytes);
    return bytes;
  };
  const header = { revision: state.revision, ...(clusterId === undefined ? {} : { clusterId }) };
  yield hashed(concatBytes(preamble(), frame(kinds.header, encodeCanonical(header))));
  let pending: CatalogEntry[] = [];
  let size = 0;
  let count = 0;
  const flush = (): Uint8Array => {
    const rows = pending.map(({ key, value, createRevision, modRevision, version }) => [
      key,
      value,
      createRevision,
      modRevision,
      version,
    ]);
    pending = [];
    size = 0;
    return hashed(frame(kinds.entries, encodeCanonical(rows)));
  };
  for (const entry of readEntries(view, state)) {
    if (pending.length > 0 && size + entrySize(entry) > frameTargetBytes) yield flush();
    pending.push(entry);
    size += entrySize(entry);
    count++;
  }
  if (pending.length > 0) yield flush();
  yield frame(kinds.end, encodeCanonical([count, new Uint8Array(hash.digest())]));
}

/** Takes a stream apart, frame by frame, within bounds. */
class FrameParser {
  readonly #hash: Hash = createHash("sha256");
  readonly #entries: StagedEntry[] = [];
  #buffer: Uint8Array = new Uint8Array(0);
  #begun = false;
  #header: SnapshotHeader | undefined;
  #lastKey: Uint8Array = new Uint8Array(0);
  #ended = false;

  push(chunk: Uint8Array): void {
    this.#buffer = this.#buffer.length === 0 ? copyBytes(chunk) : concatBytes(this.#buffer, chunk);
    if (!this.#begun && !this.#begin()) return;
    while (this.#next());
  }

  finish(): LoadedSnapshot {
    if (!this.#ended || this.#header === undefined) throw new CatalogSnapshotInvalidError("it is cut off");
    return { header: this.#header, entries: this.#entries };
  }

  #begin(): boolean {
    const seen = this.#buffer.subarray(0, magic.length);
    if (!equalBytes(seen, magic.subarray(0, seen.length)))
      throw new CatalogSnapshotInvalidError("it does not begin as one");
    if (this.#buffer.length < preambleBytes) return false;
    const version = (this.#buffer[magic.length] as number) * 256 + (this.#buffer[magic.length + 1] as number);
    if (version > formatVersion) throw new CatalogNewerFormatError("the snapshot", version, formatVersion);
    if (version !== formatVersion) throw new CatalogSnapshotInvalidError(`format ${version} does not exist`);
    this.#take(preambleBytes);
    this.#begun = true;
    return true;
  }

  #next(): boolean {
    if (this.#buffer.length === 0) return false;
    if (this.#ended) throw new CatalogSnapshotInvalidError("something follows its end");
    if (this.#buffer.length < frameHeadBytes) return false;
    const length = readUint32(this.#buffer, 1);
    if (length > maxFrameBytes) throw new CatalogSnapshotInvalidError(`a frame of ${length} bytes is too large`);
    if (this.#buffer.length < frameHeadBytes + length) return false;
    const kind = this.#buffer[0];
    const payload = this.#buffer.subarray(frameHeadBytes, frameHeadBytes + length);
    if (kind === kinds.header && this.#header === undefined) this.#header = readHeader(payload);
    else if (kind === kinds.entries && this.#header !== undefined) this.#readEntries(payload);
    else if (kind === kinds.end && this.#header !== undefined) this.#readEnd(payload);
    else throw new CatalogSnapshotInvalidError(`a frame of kind ${kind} is out of place`);
    this.#take(frameHeadBytes + length);
    return true;
  }

  #take(length: number): void {
    if (!this.#ended) this.#hash.update(this.#buffer.subarray(0, length));
    this.#buffer = this.#buffer.subarray(length);
  }

  #readEntries(payload: Uint8Array): void {
    const rows = decodeCanonical(payload);
    if (!Array.isArray(rows)) throw new CatalogSnapshotInvalidError("entries cannot be read");
    for (const row of rows as unknown[]) {
      const entry = readEntryRow(row);
      if (entry === undefined) throw new CatalogSnapshotInvalidError("an entry cannot be read");
      if (compareBytes(this.#lastKey, entry.key) >= 0) throw new CatalogSnapshotInvalidError("keys are out of order");
      this.#lastKey = entry.key;
      this.#entries.push(entry);
    }
  }

  #readEnd(payload: Uint8Array): void {
    const fields = decodeCanonical(payload);
    const [count, digest] = Array.isArray(fields) ? (fields as unknown[]) : [];
    if (!isCounter(count) || !isBytes(digest)) throw new CatalogSnapshotInvalidError("its end cannot be read");
    if (count !== this.#entries.length)
      throw new CatalogSnapshotInvalidError(`${count} entries were announced, ${this.#entries.length} came`);
    if (!equalBytes(digest, this.#hash.digest())) throw new CatalogSnapshotInvalidError("its hash differs");
    this.#ended = true;
  }
}

function readHeader(payload: Uint8Array): SnapshotHeader {
  const header = decodeCanonical(payload) as Partial<Record<keyof SnapshotHeader, unknown>> | null | undefined;
  if (typeof header !== "object" || header === null || !isCounter(header.revision)) {
    throw new CatalogSnapshotInvalidError("its header cannot be read");
  }
  const { revision, clusterId } = header;
  if (clusterId !== undefined && typeof clusterId !== "string")
    throw new CatalogSnapshotInvalidError("its header cannot be read");
  return { revision, ...(clusterId === undefined ? {} : { clusterId: clusterId as ClusterId }) };
}

function readEntryRow(row: unknown): StagedEntry | undefined {
  if (!Array.isArray(row) || row.length !== 5) return undefined;
  const [key, value, ...numbers] = row as unknown[];
  if (!isBytes(key) || !isBytes(value) || !numbers.every(isCounter)) return undefined;
  if (keyFault(key) !== undefined || value.length > catalogLimits.valueBytes) return undefined;
  return { key: copyBytes(key), value: copyBytes(value) };
}

/**
 * Reads a whole snapshot and checks every byte of it before anything is given back.
 *
 * Throws `CATALOG_SNAPSHOT_INVALID`, `CATALOG_NEWER_FORMAT`, and `CATALOG_TOO_LARGE` beyond `maxBytes`.
 */
export async function loadSnapshot(
  chunks: AsyncIterable<Uint8Array>,
  options: { readonly maxBytes: number; readonly signal?: AbortSignal | undefined },
): Promise<LoadedSnapshot> {
  const parser = new FrameParser();
  let bytes = 0;
  for await (const chunk of chunks) {
    options.signal?.throwIfAborted();
    if (!(chunk instanceof Uint8Array)) throw new CatalogSnapshotInvalidError("it does not consist of bytes");
    bytes += chunk.length;
    if (bytes > options.maxBytes)
      throw new CatalogTooLargeError(`the snapshot is larger than ${options.maxBytes} bytes`);
    // Slices, so that one huge chunk costs no second copy of itself per frame.
    for (let at = 0; at < chunk.length; at += frameTargetBytes) parser.push(chunk.subarray(at, at + frameTargetBytes));
  }
  return parser.finish();
}
