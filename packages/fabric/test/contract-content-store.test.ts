import { contentStoreContract, type ContentStoreFixture, virtualTime } from "@revoada/fabric/contract/content-store";
import { virtualClock } from "@revoada/fabric/memory";
import { describe, test } from "vitest";
import { expectFailures } from "./references/defects.ts";
import { type ContentDefect, MemoryContentStore, type Swarm } from "./references/memory-content-store.ts";

async function fixture(defect?: ContentDefect): Promise<ContentStoreFixture> {
  const swarm: Swarm = new Set();
  const [left, right, third] = [1, 2, 3].map(() => new MemoryContentStore(swarm, defect));
  return {
    time: virtualTime(virtualClock()),
    left: left!,
    right: right!,
    third: third!,
    async corruptRight() {
      right!.corrupt();
    },
    async [Symbol.asyncDispose]() {
      for (const store of swarm) await store[Symbol.asyncDispose]();
    },
  };
}

describe("a content store in memory", () => {
  for (const { name, run } of contentStoreContract(() => fixture())) test(name, run);
});

const defects: Readonly<Record<ContentDefect, readonly string[]>> = {
  "names blobs by their length": ["a blob's hash is BLAKE3"],
  "yields whole blobs": ["a read yields chunks of at most 1 MiB"],
  "trusts its peers": ["bytes that are not the blob's are never yielded", "one honest holder is enough"],
  "asks the first holder only": ["one honest holder is enough"],
  "collects what is pinned": ["collecting drops what is not pinned", "each pin counts by itself"],
  "counts a pin twice taken away": ["each pin counts by itself"],
  "collects what is being read": ["a blob that is being read is in use"],
  "keeps what was aborted": ["a blob whose source fails"],
  "ends an aborted read in order": ["a read whose signal aborts"],
  "calls a missing blob corrupt": ["a blob that nobody holds", "a blob that its only holder has dropped"],
  "serves after its end": ["a holder that has gone is no holder"],
  "says that it has everything": ["a blob that nobody holds", "a blob that another store holds"],
};

describe("a content store that is broken on purpose is found out: it", () => {
  for (const [defect, fails] of Object.entries(defects)) {
    test(defect, () =>
      expectFailures(
        contentStoreContract(() => fixture(defect as ContentDefect)),
        fails,
      ),
    );
  }
});
