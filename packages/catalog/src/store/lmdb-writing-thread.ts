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

function change(kind: number, key: Uint8Array, value: Uint8Array): void {
  if (kind === batchKinds.put) database.putSync(key, sealRecord(key, value));
  else if (kind === batchKinds.remove) database.removeSync(key);
  else {
    const doomed = [...database.getKeys({ start: key, end: endOf(key) })];
    for (const one of doomed) database.removeSync(one);
  }
}

parentPort?.on("message", (slabs: readonly Uint8Array[] | "close") => {
  if (slabs === "close") {
    void database.close().finally(() => parentPort?.close());
    return;
  }
  try {
    database.transactionSync(() => {
      for (const slab of slabs) unpackBatch(slab, change);
    });
    parentPort?.postMessage({ done: true }, []);
  } catch (error) {
    parentPort?.postMessage({ done: false, reason: error instanceof Error ? error.message : String(error) }, []);
  }
});
