import { resourceKey } from "@revoada/fabric";
import { expect, test } from "vitest";
import { bytesOf } from "./support/fixtures.ts";
import { MemoryCatalog } from "./support/memory-catalog.ts";

test("the catalog of these tests keeps every revision and starts versions anew after a deletion", async () => {
  const catalog = new MemoryCatalog();
  const key = resourceKey({ kind: "Machine", name: "a" });
  catalog.put(key, bytesOf("1"));
  catalog.put(key, bytesOf("2"));
  // oxlint-disable-next-line unicorn/no-thenable -- the seam's word, as etcd's
  await catalog.txn({ compare: [], then: [{ type: "delete", key }], else: [] });
  catalog.put(key, bytesOf("3"));
  const versions = [];
  for (const revision of [1, 2, 3, 4] as never[])
    versions.push((await catalog.range({ start: key, revision })).entries[0]?.version);
  expect(versions).toEqual([1, 2, undefined, 1]);
});
