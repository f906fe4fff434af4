import type { LogEntry } from "@revoada/fabric";
import { asIndex, asTerm } from "../core/types.ts";
import { RaftBadFrameError } from "../errors.ts";

/*
 * Entries on the wire, big-endian: count u32, then for each: kind u8 · term u64 · length u32 · payload. Indices follow from the
 * message's own previous index.
 */
const countBytes = 4;
const headerBytes = 1 + 8 + 4;
const kinds = ["command", "noop", "configuration"] as const;
const two32 = 2 ** 32;

/** Encodes entries as one block. */
export function encodeEntries(entries: readonly LogEntry[]): Buffer {
  let total = countBytes;
  for (const entry of entries) total += headerBytes + entry.payload.length;
  const block = Buffer.allocUnsafe(total);
  block.writeUInt32BE(entries.length, 0);
  let offset = countBytes;
  for (const { kind, term, payload } of entries) {
    block[offset] = kinds.indexOf(kind);
    block.writeUInt32BE(Math.floor(term / two32), offset + 1);
    block.writeUInt32BE(term % two32, offset + 5);
    block.writeUInt32BE(payload.length, offset + 9);
    block.set(payload, offset + headerBytes);
    offset += headerBytes + payload.length;
  }
  return block;
}

/** Decodes a block that follows `prevIndex`. Payloads are views of `bytes`. Throws `RAFT_BAD_FRAME`. */
export function decodeEntries(bytes: Uint8Array, prevIndex: number): LogEntry[] {
  const { length } = bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  if (length < countBytes) throw new RaftBadFrameError("a block of entries without a count");
  const count = view.getUint32(0);
  if (count > (length - countBytes) / headerBytes) throw new RaftBadFrameError(`${count} entries in ${length} bytes`);
  const entries: LogEntry[] = [];
  let offset = countBytes;
  for (let at = 0; at < count; at += 1) {
    if (offset + headerBytes > length) throw new RaftBadFrameError("a block of entries is cut short");
    const kind = kinds[bytes[offset] as number];
    const term = view.getUint32(offset + 1) * two32 + view.getUint32(offset + 5);
    const start = offset + headerBytes;
    const payloadBytes = view.getUint32(offset + 9);
    if (kind === undefined || !Number.isSafeInteger(term) || start + payloadBytes > length) {
      throw new RaftBadFrameError(`entry ${at} of a block is malformed`);
    }
    // Made directly: a view by way of `subarray` costs twice as much, and there is one for each entry.
    const payload = new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset + start, payloadBytes);
    entries.push({ index: asIndex(prevIndex + 1 + at), term: asTerm(term), kind, payload });
    offset = start + payloadBytes;
  }
  if (offset !== length) throw new RaftBadFrameError(`${length - offset} bytes behind the last entry`);
  return entries;
}

/** Remembers the last block: the same entries go to every follower, and are encoded once. */
export class EntriesEncoder {
  #first: LogEntry | undefined;
  #last: LogEntry | undefined;
  #count = 0;
  #block: Buffer = encodeEntries([]);

  encode(entries: readonly LogEntry[]): Buffer {
    const first = entries[0];
    const last = entries.at(-1);
    // Entries are never changed once made, so the same objects at both ends are the same run.
    if (first === this.#first && last === this.#last && entries.length === this.#count) return this.#block;
    this.#first = first;
    this.#last = last;
    this.#count = entries.length;
    this.#block = encodeEntries(entries);
    return this.#block;
  }
}
