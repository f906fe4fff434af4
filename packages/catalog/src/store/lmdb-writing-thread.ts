/*
 * The thread that writes: what it is sent at once is one transaction, which is on the disk before it answers.
 */
import { parentPort, workerData } from "node:worker_threads";
import { batchKinds, unpackBatch } from "./lmdb-batch.ts";
import { openLmdb, sealRecord } from "./lmdb-open.ts";

const { path, mapSizeBytes } = workerData as { readonly path: string; readonly mapSizeBytes: number };
const database = openLmdb(path, mapSizeBytes);

/** Above every key that begins with this prefix; the last byte of a prefix is ASCII. */
function endOf(prefix: Uint8Array): Uint8Array {
  const end = new Uint8Array(prefix);
  end[end.length - 1] = (end[end.length - 1] as number) + 1;
  return end;
}

/** Keys are looked up in portions: a list of all keys of a large tree would be large itself. */
const keysAtOnce = 4096;

/** Removes keys from `start` up to `end`, `limit` of them at most. Returns how many. */
function removeRange(start: Uint8Array, end: Uint8Array, limit: number): number {
  let removed = 0;
  while (removed < limit) {
    const doomed = [...database.getKeys({ start, end, limit: Math.min(keysAtOnce, limit - removed) })];
    for (const key of doomed) database.removeSync(key);
    removed += doomed.length;
    if (doomed.length === 0) break;
  }
  return removed;
}

function change(kind: number, key: Uint8Array, value: Uint8Array): void {
  if (kind === batchKinds.put) database.putSync(key, sealRecord(key, value));
  else if (kind === batchKinds.remove) database.removeSync(key);
  else removeRange(key, endOf(key), Infinity);
}

type Order =
  | { readonly type: "write"; readonly slabs: readonly Uint8Array[] }
  | { readonly type: "trim"; readonly start: Uint8Array; readonly end: Uint8Array; readonly limit: number };

function carryOut(order: Order): number {
  if (order.type === "trim") {
    let removed = 0;
    database.transactionSync(() => {
      removed = removeRange(order.start, order.end, order.limit);
    });
    return removed;
  }
  database.transactionSync(() => {
    for (const slab of order.slabs) unpackBatch(slab, change);
  });
  return 0;
}

parentPort?.on("message", (order: Order | "close") => {
  if (order === "close") {
    void database.close().finally(() => parentPort?.close());
    return;
  }
  try {
    parentPort?.postMessage({ done: true, removed: carryOut(order) }, []);
  } catch (error) {
    parentPort?.postMessage({ done: false, reason: error instanceof Error ? error.message : String(error) }, []);
  }
});
