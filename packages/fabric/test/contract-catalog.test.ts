import { catalogContract, type CatalogFixture, virtualTime } from "@revoada/fabric/contract/catalog";
import { virtualClock } from "@revoada/fabric/memory";
import { describe, test } from "vitest";
import { expectFailures } from "./references/defects.ts";
import { type CatalogDefect, MemoryCatalog } from "./references/memory-catalog.ts";

async function fixture(defect?: CatalogDefect, hasLeases = true): Promise<CatalogFixture> {
  const clock = virtualClock();
  return {
    time: virtualTime(clock),
    catalog: new MemoryCatalog(defect, hasLeases ? clock : undefined),
    async [Symbol.asyncDispose]() {},
  };
}

describe("a catalog in memory", () => {
  for (const { name, run } of catalogContract(() => fixture())) test(name, run);
});

describe("a catalog in memory without leases", () => {
  for (const { name, run } of catalogContract(() => fixture(undefined, false))) test(name, run);
});

const defects: Readonly<Record<CatalogDefect, readonly string[]>> = {
  "makes a revision for nothing": ["a transaction that writes nothing makes no revision"],
  "goes on counting versions after a deletion": ["each change raises the version"],
  "lets every comparison hold": ["then runs where every comparison holds", "compare-and-swap races"],
  "takes a missing key for a match": ["a missing key compares as 0"],
  "gives keys as they came": ["a range gives its keys in byte order"],
  "counts what it returns": ["a limit cuts the entries, not the count"],
  "answers the past with the present": ["a range at an older revision", "pages at one revision"],
  "answers what has not been": ["a revision that has not been"],
  "answers below the floor": ["a compacted revision is CATALOG_COMPACTED"],
  "loses keys when it compacts": ["compaction keeps the newest value"],
  "tells events one by one": ["all events of one revision come together"],
  "forgets what was before": ["events carry what was there before"],
  "tells everybody everything": ["a watch sees its range and nothing else"],
  "tells no history": ["a watch from an older revision tells the history"],
  "tells the first event twice": ["watchers that join at any time"],
  "is silent about gaps": ["a watch from a compacted revision"],
  "restores damaged snapshots": ["a snapshot with a wrong byte"],
  "restores into the past": ["a snapshot restored later"],
  "tells nobody of a restore": ["watchers are told of a restore"],
  "snapshots as it goes": ["a snapshot is the picture of one revision"],
  "takes values of any size": ["what is larger than its limit"],
  "takes two writes of a key": ["two writes of one key"],
  "never ends a watch": ["a watch that is aborted ends"],
  "writes through refused transactions": ["two writes of one key"],
  "keeps the keys of ended leases": ["the keys of a revoked lease go"],
  "deletes the keys of a lease one by one": ["the keys of a revoked lease go"],
  "renews nothing": ["a lease that is not renewed expires"],
  "never lets a lease expire": ["a lease that is not renewed expires", "a duty becomes free"],
  "gives one duty to everybody": ["a duty is held by one lease"],
  "grants one token twice": ["a duty is held by one lease", "a write of the holder is taken"],
  "takes writes of former holders": ["a write of the holder is taken", "a fence names its duty"],
  "takes leases that there are none of": ["a lease that there is none of"],
  "forgets who holds what": ["a duty is held by one lease", "those who listen"],
  "tells nobody of duties": ["those who listen"],
  "takes leases of any duration": ["a duration beyond the bounds"],
};

describe("a catalog that is broken on purpose is found out: it", () => {
  for (const [defect, fails] of Object.entries(defects)) {
    test(defect, () =>
      expectFailures(
        catalogContract(() => fixture(defect as CatalogDefect)),
        fails,
      ),
    );
  }
});
