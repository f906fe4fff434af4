import { commandKinds, type ClusterMachine } from "@revoada/cluster";
import { FabricError, type AppliedEntry, type LogIndex, type Term } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { nodeId } from "./doubles/keys.ts";
import { admit, creation, MachineKit, tokenRecord } from "./doubles/machine-kit.ts";
import { ProcessDied, TestStore } from "./doubles/test-store.ts";

/** A log in which everything happens once: genesis, tokens, refusals, shifts, seals, configurations, catalog commands. */
function wholeLog(): readonly AppliedEntry<Uint8Array>[] {
  const kit = new MachineKit();
  const log: AppliedEntry<Uint8Array>[] = [];
  const apply = kit.machine.apply.bind(kit.machine);
  kit.machine.apply = (entries) => {
    log.push(...entries);
    return apply(entries);
  };
  kit.apply(kit.noop());
  kit.send("genesis", kit.genesis.bytes);
  kit.send("catalog", Uint8Array.of(9));
  kit.formThree();
  kit.seal(["a"]);
  kit.apply(kit.configuration(["a", "b", "c"]));
  kit.send("catalog", Uint8Array.of(200, 100));
  kit.createToken(tokenRecord(1));
  kit.shift([admit("d", { tokenId: tokenRecord(1).tokenId }), { verb: "cordon", node: nodeId("d") }]);
  kit.shift([admit("e", { tokenId: tokenRecord(1).tokenId })]);
  kit.seal(["b", "c"]);
  kit.seal(["c", "a"]);
  kit.shift([{ verb: "remove", node: nodeId("d") }]);
  kit.revokeToken(tokenRecord(1).tokenId);
  kit.send("catalog", Uint8Array.of(1));
  return log;
}

const log = wholeLog();

function replay(batches: readonly number[]): MachineKit {
  const kit = new MachineKit();
  let start = 0;
  for (const size of [...batches, log.length]) {
    const batch = log.slice(start, start + size);
    if (batch.length > 0) kit.machine.apply(batch);
    start += size;
  }
  return kit;
}

async function hashOf(machine: ClusterMachine): Promise<string> {
  return (await machine.stateHash()).hash;
}

describe("apply", () => {
  test("gives one state and one hash for one log, however it is cut into batches", async () => {
    const whole = replay([]);
    const { hash, appliedIndex } = await whole.machine.stateHash();
    expect(appliedIndex).toBe(log.length);
    for (const batches of [log.map(() => 1), [3, 1, 7], [log.length - 1]]) {
      const other = replay(batches);
      expect(other.store.contents()).toEqual(whole.store.contents());
      expect(await hashOf(other.machine)).toBe(hash);
      expect(other.counter.total).toBe(301);
    }
  });

  test("gives another hash for another state, and the same where only the place in the log differs", async () => {
    const kit = replay([]);
    const before = await hashOf(kit.machine);
    kit.apply(kit.noop());
    expect(await hashOf(kit.machine)).toBe(before);
    kit.send("catalog", Uint8Array.of(1));
    expect(await hashOf(kit.machine)).not.toBe(before);
  });

  test("stores where it stands, and the configuration, with the data", () => {
    const kit = replay([]);
    const configurations = log.filter((entry) => entry.kind === "configuration");
    const place = { index: log.length, term: 1, configuration: configurations.at(-1)?.configuration };
    expect(kit.machine.position()).toEqual(place);
    expect(kit.reopened().machine.position()).toEqual(place);
  });

  test("calls its listeners once for a batch, and not after they are gone", () => {
    const kit = new MachineKit();
    let calls = 0;
    const stop = kit.machine.onApplied(() => (calls += 1));
    kit.machine.apply(log.slice(0, 5));
    expect([calls, kit.counter.commits]).toEqual([1, 1]);
    stop();
    kit.machine.apply(log.slice(5, 6));
    expect(calls).toBe(1);
  });

  test("refuses entries that do not follow, changing nothing", () => {
    const kit = replay([]);
    const before = kit.store.contents();
    for (const skip of [0, 2]) {
      const index = (kit.machine.position().index + skip) as LogIndex;
      expect(() => kit.machine.apply([{ kind: "noop", index, term: 1 as Term }])).toThrow(
        expect.objectContaining({ code: "FABRIC_INVARIANT" }),
      );
    }
    expect(kit.store.contents()).toEqual(before);
  });

  test.each([
    ["an unknown kind", [1, 99, 0]],
    ["a newer version", [2, commandKinds.catalog, 0]],
    ["no bytes", []],
  ])("stops at %s, with nothing of the batch applied", (_name, bytes) => {
    const kit = replay([]);
    const before = kit.store.contents();
    const { state } = kit.machine.formation;
    const index = kit.machine.position().index;
    const known = kit.entry("formation", kit.command([{ verb: "evict", node: nodeId("c") }]));
    const strange = {
      kind: "command",
      index: (index + 2) as LogIndex,
      term: 1 as Term,
      command: Uint8Array.from(bytes),
    } as const;
    const batch = [known, strange];
    expect(() => kit.machine.apply(batch)).toThrow(expect.objectContaining({ code: "RAFT_NEWER_COMMAND" }));
    expect(kit.store.contents()).toEqual(before);
    expect(kit.machine.formation.state).toEqual(state);
    expect(kit.machine.position().index).toBe(index);
  });
});

describe("a process that dies in the middle of a transaction", () => {
  const cuts = [3, 1, 4, 1, 5, 9, 2, 6];

  test("finds the state before it or after it, at every single write", () => {
    const reference = replay(cuts);
    const total = reference.store.writes;
    expect(total).toBeGreaterThan(50);
    for (let deadly = 1; deadly <= total; deadly += 1) {
      const store = new TestStore();
      store.beforeWrite = (write) => {
        if (write === deadly) throw new ProcessDied(`at write ${write}`);
      };
      const kit = new MachineKit(store);
      let start = 0;
      let died = false;
      for (const size of [...cuts, log.length]) {
        const batch = log.slice(start, start + size);
        if (batch.length === 0) break;
        const before = store.contents();
        try {
          kit.machine.apply(batch);
        } catch (error) {
          expect(error).toBeInstanceOf(ProcessDied);
          expect(store.contents()).toEqual(before);
          died = true;
          break;
        }
        start += size;
      }
      expect(died).toBe(true);
      // What was cached of the lost transaction is gone with it.
      const reopened = kit.reopened();
      expect(kit.machine.formation.state).toEqual(reopened.machine.formation.state);
      expect(kit.counter.total).toBe(reopened.counter.total);
      expect(kit.machine.position()).toEqual(reopened.machine.position());
      expect(kit.machine.position().index).toBe(start);
      // And the rest of the log leads where it leads without a crash.
      reopened.machine.apply(log.slice(start));
      expect(reopened.store.contents()).toEqual(reference.store.contents());
    }
  });

  test("applies again what the store had not flushed", async () => {
    const kit = new MachineKit();
    kit.machine.apply(log.slice(0, 6));
    expect(kit.machine.flushedIndex()).toBe(0);
    await kit.machine.flush();
    expect(kit.machine.flushedIndex()).toBe(6);
    kit.machine.apply(log.slice(6, 10));
    expect(kit.machine.flushedIndex()).toBe(6);
    const again = new MachineKit(kit.store.afterCrash(), kit.genesis);
    expect([again.machine.position().index, again.machine.flushedIndex()]).toEqual([6, 6]);
    again.machine.apply(log.slice(6));
    expect(again.store.contents()).toEqual(replay([]).store.contents());
  });
});

describe("a store that fails", () => {
  class StoreFull extends FabricError {}

  test("stops the replica and is no refusal: the others took the command", () => {
    const kit = replay([]);
    const before = kit.store.contents();
    kit.store.beforeWrite = () => {
      throw new StoreFull("CATALOG_STORE_FAILED", "the disk is full");
    };
    for (const entry of [
      kit.entry("formation", kit.command([{ verb: "evict", node: nodeId("c") }])),
      kit.entry("token", creation(tokenRecord(77))),
      kit.entry("seal", kit.sealBytes(["a", "b"])),
    ]) {
      expect(() => kit.apply(entry)).toThrow(expect.objectContaining({ code: "CATALOG_STORE_FAILED" }));
      expect(kit.store.contents()).toEqual(before);
    }
  });

  test("by what it holds stops the replica too", () => {
    const kit = MachineKit.founded();
    const { tokenId } = tokenRecord(1);
    kit.createToken(tokenRecord(1));
    kit.store.transact((transaction) =>
      transaction.put("tokens", new TextEncoder().encode(tokenId), Uint8Array.of(0xff)),
    );
    expect(() => kit.shift([admit("b", { tokenId })])).toThrow(expect.objectContaining({ code: "FABRIC_INVARIANT" }));
  });
});
