import { createHash } from "node:crypto";
import type { ClusterId, StoreReader, StoreTransaction } from "@revoada/fabric";
import { SnapshotInvalidError } from "../errors.ts";

const magic = new TextEncoder().encode("RVDSNAP1");
const chunkBytes = 256 * 1024;
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
  let parts: Uint8Array[] = [];
  let size = 0;
  let records = 0;
  const take = (): Uint8Array => {
    const chunk = Buffer.concat(parts);
    hash.update(chunk);
    parts = [];
    size = 0;
    return chunk;
  };
  parts.push(header(clusterId, trees));
  for (const [tree, name] of trees.entries()) {
    for (const { key, value } of store.range(name)) {
      parts.push(recordHead(tree, key, value), key, value);
      size += recordHeader + key.length + value.length;
      records += 1;
      if (size >= chunkBytes) yield take();
    }
  }
  const end = Buffer.alloc(9);
  end[0] = 0xff;
  end.writeBigUInt64BE(BigInt(records), 1);
  parts.push(end);
  yield take();
  yield new Uint8Array(hash.digest());
}

function header(clusterId: ClusterId, trees: readonly string[]): Uint8Array {
  const names = Buffer.from(JSON.stringify(trees));
  const length = Buffer.alloc(2);
  length.writeUInt16BE(names.length);
  return Buffer.concat([magic, Buffer.from(clusterId, "hex"), length, names]);
}

function recordHead(tree: number, key: Uint8Array, value: Uint8Array): Uint8Array {
  const head = Buffer.alloc(recordHeader);
  head[0] = tree;
  head.writeUInt16BE(key.length, 1);
  head.writeUInt32BE(value.length, 3);
  return head;
}

/** A whole snapshot, checked and ready to be written. */
export interface LoadedSnapshot {
  /** Replaces the named trees of the store with the snapshot's. */
  install(transaction: StoreTransaction): void;
}

/**
 * Reads and checks a snapshot to its last byte before any of it is used. Throws `CLUSTER_SNAPSHOT_INVALID` for a wrong hash,
 * magic, version, cluster, tree or length.
 */
export async function readSnapshot(
  chunks: AsyncIterable<Uint8Array>,
  clusterId: ClusterId,
  trees: readonly string[],
): Promise<LoadedSnapshot> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  const bytes = Buffer.concat(parts);
  const body = bytes.subarray(0, Math.max(bytes.length - 32, 0));
  if (bytes.length < 32 || !createHash("sha256").update(body).digest().equals(bytes.subarray(-32))) {
    throw new SnapshotInvalidError("the snapshot is damaged: its hash does not match its bytes");
  }
  const offset = checkHeader(body, clusterId, trees);
  const records = [...readRecords(body, offset, trees.length)];
  return {
    install(transaction) {
      for (const name of trees) transaction.clear(name);
      for (const { tree, key, value } of records) transaction.put(trees[tree] as string, key, value);
    },
  };
}

function checkHeader(body: Buffer, clusterId: ClusterId, trees: readonly string[]): number {
  if (body.length < 42 || !body.subarray(0, 8).equals(magic))
    throw new SnapshotInvalidError("this is no snapshot of a version known here");
  const id = body.subarray(8, 40).toString("hex");
  if (id !== clusterId) throw new SnapshotInvalidError(`the snapshot is of cluster ${id}`);
  const end = 42 + body.readUInt16BE(40);
  if (end > body.length) throw new SnapshotInvalidError("the snapshot ends in its header");
  if (body.subarray(42, end).toString() !== JSON.stringify(trees))
    throw new SnapshotInvalidError("the snapshot has other trees than this version");
  return end;
}

function* readRecords(
  body: Buffer,
  start: number,
  trees: number,
): Generator<{ tree: number; key: Uint8Array; value: Uint8Array }> {
  let offset = start;
  let count = 0;
  while (offset < body.length) {
    const tree = body[offset] as number;
    if (tree === 0xff) {
      if (offset + 9 !== body.length || Number(body.readBigUInt64BE(offset + 1)) !== count) break;
      return;
    }
    if (tree >= trees || offset + recordHeader > body.length) break;
    const keyLength = body.readUInt16BE(offset + 1);
    const keyEnd = offset + recordHeader + keyLength;
    const valueLength = body.readUInt32BE(offset + 3);
    const end = keyEnd + valueLength;
    if (end > body.length || keyLength < 1 || keyLength > maxKeyBytes || valueLength > maxValueBytes) break;
    yield { tree, key: body.subarray(offset + recordHeader, keyEnd), value: body.subarray(keyEnd, end) };
    offset = end;
    count += 1;
  }
  throw new SnapshotInvalidError(`the snapshot's record ${count} is malformed`);
}

/** How many records are hashed before other work gets a turn. */
const recordsPerTurn = 2000;

/** SHA-256 over the named trees: (tree, key, value), length-prefixed, in order. Equal states have equal hashes. */
export async function hashTrees(store: StoreReader, trees: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  let records = 0;
  for (const [tree, name] of trees.entries()) {
    for (const { key, value } of store.range(name)) {
      hash
        .update(recordHead(tree, key, value))
        .update(key)
        .update(value);
      records += 1;
      if (records % recordsPerTurn === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }
  return hash.digest("hex");
}
