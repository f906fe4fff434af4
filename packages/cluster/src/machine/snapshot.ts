import { createHash, type Hash } from "node:crypto";
import type { ClusterId, StoreReader, StoreReplacement } from "@revoada/fabric";
import { SnapshotInvalidError } from "../errors.ts";

const magic = new TextEncoder().encode("RVDSNAP1");
/** What is read of the store at a stretch: whoever takes the chunks gives others a turn in between. */
const chunkBytes = 16 * 1024;
const recordHeader = 7;
const maxKeyBytes = 1024;
const maxValueBytes = 16 * 1024 * 1024;

/**
 * The machine's state as a stream: magic and version, cluster id, tree names, then records (tree, key, value) in order, an end
 * marker, the number of records and a SHA-256 over everything before it.
 */
export async function* writeSnapshot(
  store: StoreReader,
  clusterId: ClusterId,
  trees: readonly string[],
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  const chunk = new ChunkWriter(hash);
  let records = 0;
  chunk.bytes(header(clusterId, trees));
  for (const [tree, name] of trees.entries()) {
    for (const { key, value } of store.range(name)) {
      const length = recordHeader + key.length + value.length;
      if (!chunk.hasRoom(length)) yield chunk.take();
      chunk.record(tree, key, value);
      records += 1;
    }
  }
  const end = Buffer.alloc(9);
  end[0] = 0xff;
  end.writeBigUInt64BE(BigInt(records), 1);
  if (!chunk.hasRoom(end.length)) yield chunk.take();
  chunk.bytes(end);
  yield chunk.take();
  yield new Uint8Array(hash.digest());
}

/** Copies records into one piece of memory each: a list of their parts would be alive for as long as the chunk grows. */
class ChunkWriter {
  readonly #hash: Hash;
  #buffer = Buffer.allocUnsafe(chunkBytes);
  #at = 0;

  constructor(hash: Hash) {
    this.#hash = hash;
  }

  /** True where so much more belongs to this chunk. What is larger than a chunk gets one of its own. */
  hasRoom(length: number): boolean {
    return this.#at === 0 || this.#at + length <= this.#buffer.length;
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  record(tree: number, key: Uint8Array, value: Uint8Array): void {
    this.#reserve(recordHeader + key.length + value.length);
    this.#at = writeRecordHead(this.#buffer, this.#at, tree, key, value);
    this.#buffer.set(key, this.#at);
    this.#buffer.set(value, this.#at + key.length);
    this.#at += key.length + value.length;
  }

  take(): Uint8Array {
    const chunk = this.#buffer.subarray(0, this.#at);
    this.#hash.update(chunk);
    this.#buffer = Buffer.allocUnsafe(chunkBytes);
    this.#at = 0;
    return chunk;
  }

  #reserve(length: number): void {
    if (this.#at + length <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(this.#at + length);
    larger.set(this.#buffer.subarray(0, this.#at));
    this.#buffer = larger;
  }
}

function header(clusterId: ClusterId, trees: readonly string[]): Uint8Array {
  const names = Buffer.from(JSON.stringify(trees));
  const length = Buffer.alloc(2);
  length.writeUInt16BE(names.length);
  return Buffer.concat([magic, Buffer.from(clusterId, "hex"), length, names]);
}

/** Writes what stands before a record's key and value; returns where the key goes. */
function writeRecordHead(into: Buffer, at: number, tree: number, key: Uint8Array, value: Uint8Array): number {
  into[at] = tree;
  into.writeUInt16BE(key.length, at + 1);
  return into.writeUInt32BE(value.length, at + 3);
}

const endBytes = 9;
const hashBytes = 32;
const fixedHeaderBytes = 42;

/**
 * Takes a stream apart as it comes and puts its records where nobody sees them yet. `finish` says whether it was all and right: only
 * then may they be put in force. Throws `CLUSTER_SNAPSHOT_INVALID` for a wrong hash, magic, version, cluster, tree, order or length.
 */
export class SnapshotReader {
  readonly #into: Pick<StoreReplacement, "put">;
  readonly #clusterId: ClusterId;
  readonly #trees: readonly string[];
  readonly #hash = createHash("sha256");
  #next: "header" | "records" | "hash" | "nothing" = "header";
  /** What came and was not enough to go on with; `#needed` bytes will be. */
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #needed = 1;
  #records = 0;
  #lastTree = 0;
  #lastKey: Uint8Array = new Uint8Array(0);

  constructor(into: Pick<StoreReplacement, "put">, clusterId: ClusterId, trees: readonly string[]) {
    this.#into = into;
    this.#clusterId = clusterId;
    this.#trees = trees;
  }

  push(chunk: Uint8Array): void {
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes < this.#needed) return;
    const bytes =
      this.#held.length === 1 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length) : Buffer.concat(this.#held);
    const used = this.#take(bytes);
    this.#held = used === bytes.length ? [] : [bytes.subarray(used)];
    this.#heldBytes = bytes.length - used;
  }

  finish(): void {
    if (this.#next !== "nothing" || this.#heldBytes > 0) throw new SnapshotInvalidError("the snapshot is cut off");
  }

  /** Takes what is whole and returns how much that was. */
  #take(bytes: Buffer): number {
    let at = 0;
    for (;;) {
      const rest = bytes.subarray(at);
      const length = this.#step(rest);
      if (length === 0) break;
      at += length;
    }
    return at;
  }

  /** The length of the next part, which has been dealt with; 0 where more is needed. */
  #step(bytes: Buffer): number {
    switch (this.#next) {
      case "header":
        return this.#takeHeader(bytes);
      case "records":
        return this.#takeRecords(bytes);
      case "hash":
        return this.#takeHash(bytes);
      case "nothing":
        if (bytes.length > 0) throw new SnapshotInvalidError("something follows the snapshot's end");
        return 0;
    }
  }

  #lacks(bytes: Buffer, needed: number): boolean {
    this.#needed = needed;
    return bytes.length < needed;
  }

  #takeHeader(bytes: Buffer): number {
    if (this.#lacks(bytes, fixedHeaderBytes)) return 0;
    if (!bytes.subarray(0, 8).equals(magic))
      throw new SnapshotInvalidError("this is no snapshot of a version known here");
    const id = bytes.subarray(8, 40).toString("hex");
    if (id !== this.#clusterId) throw new SnapshotInvalidError(`the snapshot is of cluster ${id}`);
    const expected = header(this.#clusterId, this.#trees);
    // Told before it is waited for: a length that is wrong must not be.
    if (fixedHeaderBytes + bytes.readUInt16BE(40) !== expected.length)
      throw new SnapshotInvalidError("the snapshot has other trees than this version");
    if (this.#lacks(bytes, expected.length)) return 0;
    if (!bytes.subarray(0, expected.length).equals(expected))
      throw new SnapshotInvalidError("the snapshot has other trees than this version");
    this.#hash.update(expected);
    this.#next = "records";
    return expected.length;
  }

  /** Takes all the records that are whole: they are hashed at one go. */
  #takeRecords(bytes: Buffer): number {
    let at = 0;
    while (bytes.length - at >= recordHeader && bytes[at] !== 0xff) {
      const length = this.#recordLength(bytes, at);
      if (bytes.length - at < length) break;
      this.#put(bytes, at, length);
      at += length;
    }
    this.#hash.update(bytes.subarray(0, at));
    this.#needed = this.#neededAt(bytes, at);
    if (bytes[at] !== 0xff || bytes.length - at < endBytes) return at;
    this.#hash.update(bytes.subarray(at, at + endBytes));
    if (bytes.readBigUInt64BE(at + 1) !== BigInt(this.#records))
      throw new SnapshotInvalidError(`the snapshot has ${this.#records} records and says otherwise`);
    this.#next = "hash";
    return at + endBytes;
  }

  #neededAt(bytes: Buffer, at: number): number {
    if (bytes[at] === 0xff) return endBytes;
    return bytes.length - at < recordHeader ? recordHeader : this.#recordLength(bytes, at);
  }

  /** Checked before the rest of the record is waited for. */
  #recordLength(bytes: Buffer, at: number): number {
    const tree = bytes[at] as number;
    const keyLength = bytes.readUInt16BE(at + 1);
    const valueLength = bytes.readUInt32BE(at + 3);
    if (tree >= this.#trees.length || keyLength < 1 || keyLength > maxKeyBytes || valueLength > maxValueBytes)
      throw new SnapshotInvalidError(`the snapshot's record ${this.#records} is malformed`);
    return recordHeader + keyLength + valueLength;
  }

  #put(bytes: Buffer, at: number, length: number): void {
    const tree = bytes[at] as number;
    const keyEnd = at + recordHeader + bytes.readUInt16BE(at + 1);
    const key = bytes.subarray(at + recordHeader, keyEnd);
    const behind = tree > this.#lastTree || (tree === this.#lastTree && Buffer.compare(this.#lastKey, key) < 0);
    if (!behind) throw new SnapshotInvalidError(`the snapshot's record ${this.#records} is out of order`);
    this.#into.put(this.#trees[tree] as string, key, bytes.subarray(keyEnd, at + length));
    this.#lastTree = tree;
    this.#lastKey = key;
    this.#records += 1;
  }

  #takeHash(bytes: Buffer): number {
    if (this.#lacks(bytes, hashBytes)) return 0;
    if (!this.#hash.digest().equals(bytes.subarray(0, hashBytes)))
      throw new SnapshotInvalidError("the snapshot is damaged: its hash does not match its bytes");
    this.#next = "nothing";
    this.#needed = 1;
    return hashBytes;
  }
}

/** How many records are hashed before other work gets a turn. */
const recordsPerTurn = 500;

/** SHA-256 over the named trees: (tree, key, value), length-prefixed, in order. Equal states have equal hashes. */
export async function hashTrees(store: StoreReader, trees: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  const head = Buffer.alloc(recordHeader);
  let records = 0;
  for (const [tree, name] of trees.entries()) {
    for (const { key, value } of store.range(name)) {
      writeRecordHead(head, 0, tree, key, value);
      hash.update(head).update(key).update(value);
      records += 1;
      if (records % recordsPerTurn === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }
  return hash.digest("hex");
}
