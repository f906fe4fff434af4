import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { localCatalog, memoryStore } from "@revoada/catalog";
import { lmdbStore } from "@revoada/catalog/lmdb";
import { catalogContract, virtualTime, type CatalogFixture } from "@revoada/fabric/contract/catalog";
import { virtualClock, type VirtualClock } from "@revoada/fabric/memory";
import type { MachineStore } from "@revoada/fabric";
import { afterAll, describe, test } from "vitest";

const root = mkdtempSync(join(tmpdir(), "revoada-contract-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let directories = 0;

const stores: readonly { readonly name: string; open(): Promise<MachineStore> }[] = [
  { name: "memory", open: async () => memoryStore() },
  { name: "LMDB", open: () => lmdbStore({ directory: join(root, String(directories++)) }) },
];

/** Real files take real time: what waits is looked at again after each turn, without sleeping. The clock is virtual all the same. */
async function turns<T>(promise: Promise<T>): Promise<T> {
  return promise;
}

async function untilTurn(clock: VirtualClock, condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    if (turn > 100_000) throw new Error("the condition did not come true");
    await clock.advanceAsync(25);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe.each(stores)("the contract of a catalog, over $name", ({ name, open }) => {
  const create = async (): Promise<CatalogFixture> => {
    const clock = virtualClock();
    const store = await open();
    const catalog = localCatalog({ store, clock });
    return {
      time: name === "memory" ? virtualTime(clock) : { run: turns, until: (condition) => untilTurn(clock, condition) },
      catalog,
      async [Symbol.asyncDispose]() {
        catalog.close();
        await store.close();
      },
    };
  };
  for (const { name: sentence, run } of catalogContract(create)) test(sentence, run);
});
