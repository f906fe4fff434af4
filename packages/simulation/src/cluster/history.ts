import type { WatchBatch } from "@revoada/fabric";
import { require } from "../violation.ts";

/** One write that a client tried: every value is written by one operation only, so that it can be told apart for ever. */
export interface WriteRecord {
  readonly key: string;
  readonly value: string;
  outcome: "pending" | "acknowledged" | "refused" | "unknown";
  /** The revision that was told, for acknowledged ones. */
  revision?: number;
}

const decoder = new TextDecoder();

/** All that a catalog's history says was written: value → revision. */
export interface WrittenHistory {
  readonly revisionOf: ReadonlyMap<string, number>;
  readonly last: number;
}

/** Reads a replica's whole history from a watch and checks its order. */
export function readHistory(node: string, batches: readonly WatchBatch[]): WrittenHistory {
  const revisionOf = new Map<string, number>();
  let last = 0;
  for (const batch of batches) {
    if (batch.type === "progress") continue;
    require(batch.type === "events", "watch-complete", () => `${node} lost its history: ${batch.type}`);
    if (batch.type !== "events") continue;
    require(batch.revision > last, "watch-order", () => `${node} tells revision ${batch.revision} after ${last}`);
    last = batch.revision;
    for (const event of batch.events) {
      if (event.type !== "put") continue;
      const value = decoder.decode(event.entry.value);
      require(!revisionOf.has(value), "exactly-once", () =>
        `${node} holds ${value} at ${revisionOf.get(value)} and ${batch.revision}`);
      revisionOf.set(value, batch.revision);
    }
  }
  return { revisionOf, last };
}

/** Acknowledged writes exactly once at the revision that was told, refused ones never, unknown ones at most once. */
export function checkWrites(node: string, writes: readonly WriteRecord[], history: WrittenHistory): void {
  for (const write of writes) {
    const revision = history.revisionOf.get(write.value);
    if (write.outcome === "acknowledged") {
      require(revision === write.revision, "nothing-lost", () =>
        `${node} has ${write.value} at ${revision}, told was ${write.revision}`);
    }
    if (write.outcome === "refused") {
      require(revision === undefined, "refused-is-absent", () =>
        `${node} has the refused ${write.value} at ${revision}`);
    }
    require(write.outcome !== "pending", "never-stuck", () => `the write of ${write.value} never ended`);
  }
}
