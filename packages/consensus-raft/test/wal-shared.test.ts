import { describe, expect, test } from "vitest";
import { act, contentsOfModel, nothing, type Action, type Model } from "./wal-model.ts";
import {
  at,
  base,
  batch,
  changing,
  codeOf,
  contentsOfAll,
  entries,
  entry,
  groupId,
  hardState,
  inspectWal,
  memoryDisk,
  openable,
  readAll,
  seededRandom,
  sharedOver,
  type MemoryDisk,
  type WalLogStore,
} from "./wal-support.ts";

async function openedStores(disk: MemoryDisk, names: readonly (string | number)[], options = {}) {
  const wal = sharedOver(disk, options);
  const stores: WalLogStore[] = [];
  for (const name of names) {
    const store = wal.store(groupId(name));
    await store.open();
    stores.push(store);
  }
  return { wal, stores };
}

async function segmentNames(disk: MemoryDisk): Promise<readonly string[]> {
  return (await disk.list("wal")).filter((name) => name.endsWith(".wal"));
}

describe("a log of many groups", () => {
  test("makes what all of them append in one turn durable with one write and one sync", async () => {
    const disk = memoryDisk();
    const names = Array.from({ length: 100 }, (_, n) => n);
    const { wal, stores } = await openedStores(disk, names, { segmentBytes: 1 << 20, allocateBytes: 1 << 20 });
    const before = disk.statistics();
    await Promise.all(stores.map((store, n) => store.append(batch(entries(1, 3, n + 1)))));
    const after = disk.statistics();
    expect(after.datasyncs - before.datasyncs).toBe(1);
    expect(after.writes - before.writes).toBe(1);
    disk.crash();
    await wal.close();
    const found = await contentsOfAll(disk);
    expect(found.size).toBe(100);
    expect(found.get("group 41")?.entries.map((text) => text.split("/", 2).join("/"))).toEqual([
      "1/42",
      "2/42",
      "3/42",
    ]);
  });

  test("has one store id, which a group that is new to it bears too", async () => {
    const disk = memoryDisk();
    const wal = sharedOver(disk);
    const { storeId } = await wal.open();
    expect(await wal.store(groupId("a")).open()).toMatchObject({ storeId, lastIndex: 0, integrity: "ok" });
    await wal.close();
    expect((await sharedOver(disk, { random: seededRandom("other") }).open()).storeId).toBe(storeId);
  });

  test("refuses a second open store of a group, an id of no bytes, more groups than it may hold", async () => {
    const { wal, stores } = await openedStores(memoryDisk(), ["a"], { maxGroups: 2 });
    expect(await codeOf(wal.store(groupId("a")).open())).toBe("LOG_CLOSED");
    await stores[0]?.close();
    expect(await codeOf(wal.store(groupId("a")).open())).toBe("resolved");
    expect(await codeOf(wal.store(groupId("b")).open())).toBe("resolved");
    expect(await codeOf(wal.store(groupId("c")).open())).toBe("LOG_TOO_MANY_GROUPS");
    expect(() => wal.store(new Uint8Array())).toThrow(expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }));
    expect(() => wal.store(new Uint8Array(33))).toThrow(expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }));
    await wal.close();
    expect(await codeOf(wal.open())).toBe("LOG_CLOSED");
  });

  test("is not taken for a log of one group, nor the other way round", async () => {
    const [one, many] = [memoryDisk(), memoryDisk()];
    const single = openable(one);
    await single.open();
    await single.close();
    const shared = sharedOver(many);
    await shared.open();
    await shared.close();
    expect(await codeOf(sharedOver(one).open())).toBe("LOG_OTHER_CLUSTER");
    expect(await codeOf(openable(many).open())).toBe("LOG_OTHER_CLUSTER");
    const bound = sharedOver(many, { clusterId: Buffer.from("one") });
    expect(await codeOf(bound.open())).toBe("resolved");
    await bound.close();
  });

  test("is bound to the cluster that began it", async () => {
    const disk = memoryDisk();
    const first = sharedOver(disk, { clusterId: Buffer.from("one") });
    await first.open();
    await first.close();
    expect(await codeOf(sharedOver(disk, { clusterId: Buffer.from("other") }).open())).toBe("LOG_OTHER_CLUSTER");
  });

  test("recovers 1,000 groups in one scan, each as it was", async () => {
    const disk = memoryDisk();
    const names = Array.from({ length: 1000 }, (_, n) => n);
    const { wal, stores } = await openedStores(disk, names, { segmentBytes: 1 << 19, allocateBytes: 1 << 18 });
    for (let round = 0; round < 4; round++) {
      await Promise.all(
        stores.map((store, n) => {
          const state = hardState(n + 1, round * 2, `voter ${n}`);
          return store.append(batch(entries(round * 2 + 1, round * 2 + 2, n + 1), { hardState: state }));
        }),
      );
    }
    await wal.close();
    expect((await segmentNames(disk)).length).toBeGreaterThan(1);
    let reads = 0;
    const counted = disk.image("unsynced-lost", { onOperation: ({ kind }) => void (kind === "read" && reads++) });
    const again = sharedOver(counted);
    const { groups } = await again.open();
    expect(groups).toHaveLength(1000);
    expect(reads).toBeLessThan(50);
    for (const n of [0, 1, 499, 999]) {
      const store = again.store(groupId(n));
      expect(await store.open()).toMatchObject({ lastIndex: 8, hardState: { term: n + 1, vote: `voter ${n}` } });
      expect(await readAll(store, 1, 8)).toHaveLength(8);
    }
    await again.close();
  });

  test("a full disk refuses the groups that wait, and each goes on from what is durable", async () => {
    const disk = memoryDisk();
    const { wal, stores } = await openedStores(disk, ["a", "b"]);
    const [a, b] = stores as [WalLogStore, WalLogStore];
    await Promise.all([a.append(batch([entry(1, 1)])), b.append(batch([entry(1, 1)]))]);
    disk.setCapacity(0);
    const refused = [a.append(batch([entry(2, 1, "x".repeat(9000))])), b.append(batch([entry(2, 1)]))];
    expect(await Promise.all(refused.map(codeOf))).toEqual(["LOG_FULL", "LOG_FULL"]);
    expect(b.term(at(2))).toBeUndefined();
    await b.append(batch([], { hardState: hardState(7, 1, "still") }));
    disk.setCapacity(1 << 30);
    await Promise.all([a.append(batch([entry(2, 1)])), b.append(batch([entry(2, 7)]))]);
    disk.crash();
    await wal.close();
    const found = await contentsOfAll(disk);
    expect(found.get("group b")).toMatchObject({ hardState: { term: 7, vote: "still" }, entries: { length: 2 } });
  });

  test("a failed sync fails every group, and opening any of them opens the log anew for all", async () => {
    const disk = memoryDisk();
    const { wal, stores } = await openedStores(disk, ["a", "b"]);
    const [a, b] = stores as [WalLogStore, WalLogStore];
    await Promise.all(stores.map((store) => store.append(batch([entry(1, 1)]))));
    disk.failSyncs(1);
    expect(await codeOf(a.append(batch([entry(2, 1)])))).toBe("LOG_FAILED");
    expect(await codeOf(b.append(batch([entry(2, 1)])))).toBe("LOG_FAILED");
    await a.close();
    const again = wal.store(groupId("a"));
    await again.open();
    await again.append(batch([entry(2, 3)], { truncateFrom: 2 }));
    expect(await codeOf(b.append(batch([entry(2, 1)])))).toBe("LOG_CLOSED");
    await b.close();
    const bAgain = wal.store(groupId("b"));
    expect(await bAgain.open()).toMatchObject({ lastIndex: 1, integrity: "ok" });
    await wal.close();
  });

  test("a closed store has written what it was asked to, however busy the others are", async () => {
    const disk = memoryDisk();
    const { wal, stores } = await openedStores(disk, ["a", "b"]);
    const [a, b] = stores as [WalLogStore, WalLogStore];
    let index = 0;
    const others = { goOn: true };
    const busy = (async () => {
      while (others.goOn) await b.append(batch([entry(++index, 1)]));
    })();
    const appended = a.append(batch([entry(1, 1)]));
    await a.close();
    others.goOn = false;
    expect(await codeOf(appended)).toBe("resolved");
    await busy;
    await wal.close();
  });
});

describe("a dropped group", () => {
  test("is gone for good: its id is refused, across restarts and segments, and its room is freed", async () => {
    const disk = memoryDisk();
    const { wal, stores } = await openedStores(disk, ["gone", "stays"]);
    const [gone, stays] = stores as [WalLogStore, WalLogStore];
    for (let index = 1; index <= 40; index++) await gone.append(batch([entry(index, 1, "x".repeat(400))]));
    expect(await codeOf(wal.forget(groupId("gone")))).toBe("LOG_CLOSED");
    await gone.close();
    const before = (await segmentNames(disk)).length;
    await wal.forget(groupId("gone"));
    expect((await segmentNames(disk)).length).toBeLessThan(before);
    for (let index = 1; index <= 40; index++) {
      await stays.append(batch([entry(index, 1, "x".repeat(400))]));
      if (index % 5 === 0) await stays.compact(base(index, 1));
    }
    expect(await codeOf(wal.store(groupId("gone")).open())).toBe("LOG_FORGOTTEN");
    await wal.close();
    disk.crash();
    const again = sharedOver(disk);
    expect((await again.open()).groups.map((group) => Buffer.from(group.groupId).toString())).toEqual(["group stays"]);
    expect(await codeOf(again.store(groupId("gone")).open())).toBe("LOG_FORGOTTEN");
    await again.close();
    expect((await inspectWal(disk)).groups.map((group) => group.state)).toEqual(["forgotten", "ok"]);
  });
});

describe("room", () => {
  test("is bounded by what is live: entries of idle groups are moved on, and stay what they were", async () => {
    const disk = memoryDisk();
    const idle = Array.from({ length: 6 }, (_, n) => `idle ${n}`);
    const { wal, stores } = await openedStores(disk, [...idle, "busy"], { cacheBytes: 0 });
    const busy = stores.pop() as WalLogStore;
    for (const [n, store] of stores.entries()) {
      await store.append(batch(entries(1, 4, 1, `of ${n} `.repeat(20)), { hardState: hardState(n + 1, 2, `v ${n}`) }));
      await store.compact(base(1, 1));
    }
    // One of them has no store any more: its entries are moved all the same.
    await stores[5]?.close();
    let most = 0;
    for (let index = 1; index <= 600; index++) {
      await busy.append(batch([entry(index, 1, "b".repeat(300))]));
      if (index % 10 === 0) await busy.compact(base(index - 2, 1));
      most = Math.max(most, (await segmentNames(disk)).length);
    }
    expect(most).toBeLessThan(10);
    for (const [n, store] of stores.slice(0, 5).entries()) {
      const found = await readAll(store, 2, 4);
      expect(found.map((one) => Buffer.from(one.payload).toString())).toEqual(Array(3).fill(`of ${n} `.repeat(20)));
    }
    // Life goes on where entries were moved: they are cut, replaced and compacted as ever.
    await stores[0]?.append(batch([entry(3, 9, "anew")], { truncateFrom: 3 }));
    await stores[1]?.compact(base(3, 1));
    await wal.close();
    disk.crash();
    const found = await contentsOfAll(disk);
    expect(found.get("group idle 0")?.entries.map((text) => text.slice(0, 4))).toEqual(["2/1/", "3/9/"]);
    expect(found.get("group idle 1")).toMatchObject({ base: { index: 3 }, entries: { length: 1 } });
    expect(found.get("group idle 5")).toMatchObject({
      base: { index: 1 },
      entries: { length: 3 },
      hardState: { term: 6, vote: "v 5", commitIndex: 2 },
    });
    expect((await inspectWal(disk)).verdict).toBe("ok");
  });

  test("is not freed by moving what is live anyway", async () => {
    const disk = memoryDisk();
    const { wal, stores } = await openedStores(disk, ["a", "b"]);
    for (let index = 1; index <= 100; index++) {
      await Promise.all(stores.map((store) => store.append(batch([entry(index, 1, "x".repeat(300))]))));
    }
    const before = disk.statistics().writtenBytes;
    await wal.close();
    expect(before).toBeLessThan(3 * 200 * 332);
    expect((await contentsOfAll(disk)).get("group a")?.entries).toHaveLength(100);
  });
});

const kinds = ["append", "append", "append", "cut", "vote", "compact", "reset"] as const;

function someAction(random: ReturnType<typeof seededRandom>): Exclude<Action, { kind: "reopen" }> {
  const kind = random.pick(kinds);
  const bytes = random.below(8) === 0 ? 2500 : random.below(300);
  if (kind === "append") return { kind, count: 1 + random.below(5), bytes, vote: random.chance(0.3), wait: false };
  if (kind === "cut") return { kind, back: 1 + random.below(12), count: random.below(4), bytes, wait: false };
  if (kind === "vote") return { kind, wait: false };
  if (kind === "compact") return { kind, keep: random.below(10) };
  return { kind, ahead: random.below(20) };
}

interface Group {
  readonly store: WalLogStore;
  readonly history: Model[];
  acknowledged: number;
}

/** Groups act at random and together; what a crash would leave is taken down before each change of the disk. */
async function crashesOf(seed: number, onCrash: (image: MemoryDisk, groups: readonly Group[]) => void): Promise<void> {
  const random = seededRandom(seed);
  const groups: Group[] = [];
  const disk: MemoryDisk = memoryDisk({
    random,
    onOperation({ kind }) {
      if (!changing.has(kind)) return;
      const outcome = random.chance(0.7) ? "random" : "unsynced-lost";
      const image = disk.image(outcome, { random: random.fork("crash") });
      onCrash(
        image,
        groups.map((group) => ({ ...group, history: [...group.history] })),
      );
    },
  });
  const { wal, stores } = await openedStores(disk, [0, 1, 2, 3, 4]);
  for (const store of stores) groups.push({ store, history: [nothing], acknowledged: 0 });
  for (let round = 0; round < 12; round++) {
    const pending: Promise<void>[] = [];
    // The fifth writes once only: what it holds has to be moved.
    for (const group of round === 0 ? groups : groups.slice(0, 4)) {
      for (let step = random.below(3); step >= 0; step--) {
        const [next, promise] = act(group.store, group.history.at(-1) as Model, someAction(random), round);
        const number = group.history.push(next) - 1;
        pending.push(promise.then(() => void (group.acknowledged = Math.max(group.acknowledged, number))));
      }
    }
    await Promise.all(pending);
  }
  await wal.close();
}

describe("a crash of a log of many groups", () => {
  test("at any change of the disk leaves each group between what was acknowledged and what was asked for", async () => {
    let checked = 0;
    for (const seed of [1, 2]) {
      const crashes: { image: MemoryDisk; groups: readonly Group[] }[] = [];
      await crashesOf(seed, (image, groups) => crashes.push({ image, groups }));
      for (const { image, groups } of crashes) {
        const found = await contentsOfAll(image);
        for (const [n, { history, acknowledged }] of groups.entries()) {
          const { integrity, ...contents } = found.get(`group ${n}`) ?? {
            ...contentsOfModel(nothing),
            integrity: "ok",
          };
          expect(integrity).toBe("ok");
          const allowed = history.slice(acknowledged).map((model) => JSON.stringify(contentsOfModel(model)));
          expect(allowed).toContain(JSON.stringify(contents));
        }
        checked++;
        // Opening repaired it: the same comes back after a second crash.
        image.crash();
        expect(await contentsOfAll(image)).toEqual(found);
      }
    }
    expect(checked).toBeGreaterThan(100);
  });
});

describe("damage in a log of many groups", () => {
  interface Placed {
    readonly path: string;
    readonly offset: number;
  }

  /** Where batches of the last segment begin. */
  async function placesOf(disk: MemoryDisk): Promise<Placed[]> {
    const places: Placed[] = [];
    for (const name of await segmentNames(disk)) {
      const file = await disk.open(`wal/${name}`);
      const bytes = Buffer.from(await file.read(0, await file.size()));
      for (let offset = 512; bytes.readUInt32LE(offset) === 0x42564f52; offset += bytes.readUInt32LE(offset + 8))
        places.push({ path: `wal/${name}`, offset });
    }
    return places;
  }

  async function threeGroups(options = {}): Promise<{ disk: MemoryDisk; places: Placed[] }> {
    const disk = memoryDisk();
    const { wal, stores } = await openedStores(disk, ["a", "b", "c"], { segmentBytes: 1 << 16, ...options });
    const [a, b, c] = stores as [WalLogStore, WalLogStore, WalLogStore];
    for (const store of stores) await store.append(batch(entries(1, 2, 1), { hardState: hardState(1, 0, "first") }));
    await a.append(batch([entry(3, 1)], { hardState: hardState(2, 1, "second") }));
    await b.append(batch([entry(3, 1)]));
    await c.append(batch([entry(3, 1)]));
    await a.append(batch([entry(4, 2)]));
    await b.append(batch([entry(4, 2)], { hardState: hardState(4, 3, "later") }));
    await wal.close();
    return { disk, places: await placesOf(disk) };
  }

  const integrities = async (disk: MemoryDisk): Promise<Record<string, string>> =>
    Object.fromEntries([...(await contentsOfAll(disk))].map(([name, { integrity }]) => [name.slice(6), integrity]));

  test("concerns the group whose records are gone; those that go on without a gap are read past it", async () => {
    const { disk, places } = await threeGroups();
    // The state, three first sections, then the third entries of a, b and c.
    const third = places[4] as Placed;
    disk.corrupt(third.path, third.offset + 70);
    const found = await contentsOfAll(disk);
    expect(found.get("group a")).toMatchObject({
      integrity: "corrupt",
      entries: { length: 2 },
      hardState: { term: 1 },
    });
    expect(found.get("group b")).toMatchObject({ integrity: "ok", entries: { length: 4 } });
    expect(found.get("group c")).toMatchObject({ integrity: "ok", entries: { length: 3 } });
  });

  test("in the last sections of groups makes those corrupt of which nothing follows", async () => {
    const { disk, places } = await threeGroups();
    const [, , , , , , ofC, ofA] = places as [Placed, Placed, Placed, Placed, Placed, Placed, Placed, Placed];
    disk.corrupt(ofA.path, ofA.offset + 3);
    // b goes on behind it; a and c might have been in it.
    expect(await integrities(disk)).toEqual({ a: "corrupt", b: "ok", c: "corrupt" });
    disk.corrupt(ofC.path, ofC.offset + 3);
    expect(await integrities(disk)).toEqual({ a: "corrupt", b: "ok", c: "corrupt" });
  });

  test("keeps the latest vote that passes, though the entries end before it", async () => {
    const { disk, places } = await threeGroups();
    const ofB = places[5] as Placed;
    disk.corrupt(ofB.path, ofB.offset + 70);
    expect((await contentsOfAll(disk)).get("group b")).toMatchObject({
      integrity: "corrupt",
      entries: { length: 2 },
      // Of what is left, as much had committed as was known before the damage: what took the place of the rest is gone.
      hardState: { term: 4, vote: "later", commitIndex: 0 },
    });
  });

  test("makes an unknown group corrupt where a lost batch may have been all of it", async () => {
    const { disk, places } = await threeGroups();
    disk.corrupt((places[3] as Placed).path, (places[3] as Placed).offset + 70);
    const wal = sharedOver(disk);
    await wal.open();
    const c = wal.store(groupId("c"));
    expect(await c.open()).toMatchObject({ integrity: "corrupt", lastIndex: 0 });
    const a = wal.store(groupId("a"));
    expect(await a.open()).toMatchObject({ integrity: "ok", lastIndex: 4 });
    await c.append(batch(entries(1, 3, 5)));
    await wal.close();
    disk.crash();
    expect(await integrities(disk)).toEqual({ a: "ok", b: "ok", c: "corrupt" });
    const again = sharedOver(disk);
    const refilled = again.store(groupId("c"));
    await refilled.open();
    await refilled.markRefilled();
    expect(await again.store(groupId("new")).open()).toMatchObject({ integrity: "ok" });
    await again.close();
    expect(await integrities(disk)).toEqual({ a: "ok", b: "ok", c: "ok" });
  });

  test("is remembered, and refilled groups are whole again, across restarts and segments", async () => {
    const { disk, places } = await threeGroups();
    disk.corrupt((places[4] as Placed).path, (places[4] as Placed).offset + 70);
    const { wal, stores } = await openedStores(disk, ["a", "b", "c"]);
    const [a, b] = stores as [WalLogStore, WalLogStore];
    await b.append(batch([entry(5, 4)]));
    await wal.close();
    disk.crash();
    expect(await integrities(disk)).toEqual({ a: "corrupt", b: "ok", c: "ok" });
    const second = await openedStores(disk, ["a", "b", "c"]);
    await second.stores[0]?.append(batch(entries(3, 6, 9), { hardState: hardState(9, 2) }));
    await second.stores[0]?.markRefilled();
    for (let index = 6; index <= 60; index++) await second.stores[1]?.append(batch([entry(index, 9, "x".repeat(400))]));
    await second.wal.close();
    disk.crash();
    const found = await contentsOfAll(disk);
    expect([...found.values()].map(({ integrity }) => integrity)).toEqual(["ok", "ok", "ok"]);
    expect(found.get("group a")).toMatchObject({ entries: { length: 6 }, hardState: { term: 9 } });
    expect(found.get("group b")?.entries).toHaveLength(60);
    expect(await codeOf(a.append(batch([entry(7, 9)])))).toBe("LOG_CLOSED");
  });

  test("in an old segment concerns the groups that had live entries there", async () => {
    const disk = memoryDisk();
    const { wal, stores } = await openedStores(disk, ["old", "new"]);
    const [old, fresh] = stores as [WalLogStore, WalLogStore];
    await old.append(batch(entries(1, 2, 1)));
    for (let index = 1; index <= 60; index++) await fresh.append(batch([entry(index, 1, "x".repeat(400))]));
    await fresh.compact(base(55, 1));
    await wal.close();
    const [first, second] = await segmentNames(disk);
    // Unreadable header; then a segment in the middle that is gone.
    const image = disk.image("nothing-lost");
    image.corrupt(`wal/${first}`, 100);
    expect(await integrities(image)).toEqual({ old: "corrupt", new: "ok" });
    const other = disk.image("nothing-lost");
    await other.remove(`wal/${second}`);
    expect(await integrities(other)).toEqual({ old: "corrupt", new: "ok" });
  });

  test("that takes the newest segment away concerns all: the one before it says that it went on", async () => {
    const disk = memoryDisk();
    const { wal, stores } = await openedStores(disk, ["a", "b"]);
    for (let index = 1; index <= 30; index++) await stores[0]?.append(batch([entry(index, 1, "x".repeat(400))]));
    await stores[1]?.append(batch([entry(1, 1)]));
    await wal.close();
    const newest = (await segmentNames(disk)).at(-1);
    await disk.remove(`wal/${newest}`);
    const report = await inspectWal(disk);
    expect(report.verdict).toBe("corrupt");
    expect(report.faults[0]?.reason).toContain("which is missing");
    const again = sharedOver(disk);
    expect(await again.store(groupId("a")).open()).toMatchObject({ integrity: "corrupt" });
    expect(await again.store(groupId("b")).open()).toMatchObject({ integrity: "corrupt" });
    await again.close();
  });
});
