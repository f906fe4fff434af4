import * as fc from "fast-check";
import { expect, test } from "vitest";
import { silentMetrics, type LogStore } from "@revoada/fabric";
import { memoryDisk, seededRandom, virtualClock, type MemoryDisk } from "@revoada/fabric/memory";
import {
  forwardProtocol,
  raftProtocol,
  snapshotProtocol,
  walLogStore,
  type WalLogStore,
} from "@revoada/consensus-raft";
import { decodeEntries, encodeEntries } from "../src/wire/entries.ts";
import { decodeForward, decodeOutcomes } from "../src/wire/forward.ts";
import { decodeMessages, encodeMessages } from "../src/wire/messages.ts";
import { EntriesEncoder } from "../src/wire/entries.ts";
import { mergeWrites, WriteQueue, type Persist } from "../src/driver/write-queue.ts";
import { entry, storeIdOf } from "./support/cluster.ts";
import { Counts, small } from "./support/snapshots.ts";
import { ListMachine, nodeId, T, textCodec, World } from "./support/replicas.ts";

test("a disk that fails makes the leader step down; another leads, and the node heals without a restart", async () => {
  const world = new World();
  let broken = false;
  const disk = memoryDisk({
    random: seededRandom("failing"),
    onOperation: ({ kind }) => {
      if (broken && kind === "datasync") throw new Error("EIO: the disk has failed");
    },
  });
  const one = await world.form([1, 2, 3], (n) => (n === 1 ? { disk } : {}));
  await world.run(one.consensus.propose("a"));
  broken = true;
  const outcome = await world.run(
    one.consensus.propose("b").then(
      () => "committed",
      (error: { code: string }) => error.code,
    ),
  );
  expect(["committed", "RAFT_OUTCOME_UNKNOWN"]).toContain(outcome);
  await world.until(() => one.consensus.status().storage === "failed");
  const next = await world.newLeader(one);
  await world.run(next.consensus.propose("c"));
  broken = false;
  await world.until(() => one.consensus.status().storage === "ok", 60_000);
  await world.until(() => one.machine.commands.at(-1) === "c");
  expect(one.machine.commands).toEqual(next.machine.commands);
  await world.stop();
});

test("a log that fails is not opened anew where another disk stands in its place; the node heals once its own is back", async () => {
  const world = new World();
  let broken = false;
  const own = memoryDisk({
    random: seededRandom("own"),
    onOperation: ({ kind }) => {
      if (broken && kind === "datasync") throw new Error("EIO: the disk has failed");
    },
  });
  let mounted = own;
  let opens = 0;
  const logStore = (): WalLogStore => walLogStore({ disk: mounted, random: seededRandom(`opened-${(opens += 1)}`) });
  const one = await world.form([1, 2, 3], (n) => (n === 1 ? { disk: own, logStore } : {}));
  await world.run(one.consensus.propose("a"));
  const { storeId } = one.consensus.status();
  broken = true;
  await world.run(one.consensus.propose("b").catch(() => undefined));
  mounted = memoryDisk({ random: seededRandom("empty") });
  const next = await world.newLeader(one);
  await world.run(next.consensus.propose("c"));
  let opened = false;
  const empty = mounted;
  await world.until(() => {
    void empty.list("wal").then((names) => (opened ||= names.length > 0));
    return opened;
  });
  await world.clock.advanceAsync(4 * T);
  expect([one.consensus.status().storage, one.consensus.status().storeId]).toEqual(["failed", storeId]);
  mounted = own;
  broken = false;
  await world.until(() => one.machine.commands.at(-1) === "c", 60_000);
  expect([one.consensus.status().storage, one.consensus.status().storeId]).toEqual(["ok", storeId]);
  await world.stop();
});

test("a disk that hangs makes the leader step down within bounds", async () => {
  const world = new World();
  let release: (() => void) | undefined;
  let hangs = false;
  const disk = memoryDisk({
    random: seededRandom("hanging"),
    onOperation: ({ kind }) => {
      if (!hangs || kind !== "datasync") return undefined;
      return new Promise((resolve) => {
        release = resolve;
      });
    },
  });
  const one = await world.form([1, 2, 3], (n) => (n === 1 ? { disk } : {}));
  hangs = true;
  void one.consensus.propose("a").catch(() => undefined);
  const next = await world.newLeader(one);
  await world.run(next.consensus.propose("b"));
  hangs = false;
  release?.();
  await world.until(() => one.machine.commands.at(-1) === "b");
  await world.stop();
});

test("an event loop that stands still for less than others' patience costs no leadership", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  const { term } = one.consensus.status();
  one.host.stall(0.8 * T);
  await world.clock.advanceAsync(10 * T);
  expect([one.consensus.status().role, one.consensus.status().term]).toEqual(["leader", term]);
  await world.stop();
});

test("a leader that slept is deposed by what arrived meanwhile, and serves no read from before", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  await world.run(one.consensus.propose("a"));
  one.host.stall(10 * T);
  const next = await world.newLeader(one);
  await world.run(next.consensus.propose("b"));
  await world.run(one.consensus.readBarrier({ timeoutMs: 10_000 }));
  expect(one.machine.commands).toEqual(["a", "b"]);
  await world.stop();
});

test("a durable machine keeps its state, and the log is cut below what it has flushed", async () => {
  const world = new World();
  const options = { snapshotIntervalEntries: 10, limits: { trailingEntries: 2 }, machine: new ListMachine(true) };
  const one = await world.form([1], () => options);
  for (let at = 0; at < 30; at += 1) await world.run(one.consensus.propose(`command-${at}`));
  await world.until(() => one.consensus.status().firstIndex > 10);
  expect(one.consensus.status().firstIndex).toBeLessThanOrEqual(one.machine.flushedIndex());
  const { disk } = world.kill(1);
  expect(await disk.list("snapshots")).toEqual([]);
  const back = await world.start(1, { ...options, disk });
  await world.run(back.consensus.propose("after"));
  expect(back.machine.commands).toHaveLength(31);
  expect(back.machine.restored).toBe(0);
  await world.stop();
});

test("frames of another group are dropped, and the groups do not disturb each other", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3], () => ({ groupId: new Uint8Array([1]) }));
  const stranger = await world.start(4, { groupId: new Uint8Array([2]) });
  const { term } = one.consensus.status();
  const message = {
    from: nodeId(4),
    fromStore: storeIdOf(4),
    to: one.id,
    toStore: one.consensus.status().storeId,
    term: 99,
    type: "timeout-now",
  } as const;
  const frame = encodeMessages(new Uint8Array([2]), storeIdOf(4), message.toStore, [message], new EntriesEncoder());
  stranger.transport.send(one.id, raftProtocol, frame);
  for (const protocol of [forwardProtocol, snapshotProtocol]) {
    await expect(
      world.run(stranger.transport.request(one.id, protocol, new Uint8Array([1, 2, 3]))),
    ).rejects.toMatchObject({ code: "RAFT_BAD_FRAME" });
  }
  await world.clock.advanceAsync(5 * T);
  expect([one.consensus.status().role, one.consensus.status().term]).toEqual(["leader", term]);
  await world.stop();
});

test("the machine's failure stops the replica, and the others go on", async () => {
  const world = new World();
  const broken = new ListMachine();
  const one = await world.form([1, 2, 3], (n) => (n === 3 ? { machine: broken } : {}));
  broken.apply = () => {
    throw new Error("an unknown command");
  };
  await world.run(one.consensus.propose("a"));
  await world.until(() => world.member(3).consensus.status().role === "stopped");
  await expect(world.member(3).consensus.readBarrier()).rejects.toMatchObject({ code: "RAFT_STOPPED" });
  await world.run(one.consensus.propose("b"));
  await world.stop();
});

test("a command that its caller gives up is unknown once it was appended", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  world.network.partition([one.id], [nodeId(2), nodeId(3)]);
  const controller = new AbortController();
  const outcome = expect(one.consensus.propose("a", { signal: controller.signal })).rejects.toMatchObject({
    code: "RAFT_OUTCOME_UNKNOWN",
  });
  await world.clock.advanceAsync(5);
  controller.abort();
  await outcome;
  await world.stop();
});

test("commands that are too large are refused before anything is sent", async () => {
  const world = new World();
  const one = await world.form([1], () => ({ limits: { maxCommandBytes: 10 } }));
  await expect(one.consensus.propose("more than ten bytes")).rejects.toMatchObject({ code: "RAFT_TOO_LARGE" });
  await world.stop();
});

test("a node that does not replicate forwards to the leader that it is hinted at", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  const outsider = await world.start(4, { hintLeader: () => one.id, codec: textCodec });
  expect(outsider.consensus.status().role).toBe("outsider");
  expect((await world.run(outsider.consensus.propose("a"))).result).toBe("1:a");
  await world.stop();
});

test("a node that may not lead moves nobody, whatever it sends, and proposes what it may", async () => {
  const world = new World();
  const limits = {
    mayLead: (peer: string) => peer !== nodeId(4),
    mayPropose: (peer: string, command: string) => peer !== nodeId(4) || command !== "a token for anybody",
  };
  const one = await world.form([1, 2, 3], () => limits);
  const limited = await world.start(4, { hintLeader: () => one.id, codec: textCodec });
  await expect(world.run(limited.consensus.propose("a token for anybody"))).rejects.toMatchObject({
    code: "RAFT_BAD_COMMAND",
  });
  expect((await world.run(limited.consensus.propose("a"))).result).toBe("1:a");
  const { term, lastIndex } = one.consensus.status();
  const bodies = [
    { type: "vote-request", pre: false, transfer: true, lastIndex: 99, lastTerm: 99 },
    { type: "append", prevIndex: 0, prevTerm: 0, commit: 99, entries: [entry(1, 99, "forged")] },
    { type: "heartbeat", round: 1, commit: 99, repairIndex: 0 },
    { type: "timeout-now" },
    { type: "vote-response", pre: false, granted: false },
  ] as const;
  for (const n of [1, 2, 3]) {
    const { id, consensus } = world.member(n);
    const head = { from: nodeId(4), fromStore: storeIdOf(4), to: id, toStore: consensus.status().storeId };
    const messages = bodies.map((body) => ({ ...head, term: 99, ...body }));
    const { transport } = limited;
    transport.send(
      id,
      raftProtocol,
      encodeMessages(new Uint8Array(0), storeIdOf(4), head.toStore, messages, new EntriesEncoder()),
    );
    await expect(world.run(transport.request(id, snapshotProtocol, new Uint8Array([1])))).rejects.toMatchObject({
      code: "RAFT_BAD_FRAME",
    });
  }
  await world.clock.advanceAsync(5 * T);
  expect(one.consensus.status()).toMatchObject({ role: "leader", term, lastIndex });
  await world.stop();
});

test("bytes that no replica sent are refused with a code, never believed and never fatal", () => {
  const from = nodeId(1);
  const decoders = [
    (bytes: Uint8Array) => decodeMessages(bytes, new Uint8Array(0), from, nodeId(2)),
    (bytes: Uint8Array) => decodeForward(bytes, new Uint8Array(0)),
    (bytes: Uint8Array) => decodeOutcomes(bytes, new Uint8Array(0), 1),
    (bytes: Uint8Array) => decodeEntries(bytes, 0),
  ];
  const refuses = (decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): void => {
    try {
      decode(bytes);
    } catch (error) {
      expect(error).toMatchObject({ code: "RAFT_BAD_FRAME" });
    }
  };
  const message = {
    from,
    fromStore: storeIdOf(1),
    to: nodeId(2),
    toStore: storeIdOf(2),
    term: 3,
    type: "append",
    prevIndex: 1,
    prevTerm: 1,
    commit: 0,
    entries: [entry(2, 2, "abc"), entry(3, 3, "d")],
  } as const;
  const good = encodeMessages(new Uint8Array(0), storeIdOf(1), storeIdOf(2), [message], new EntriesEncoder());
  expect(decoders[0]!(good)).toMatchObject([
    { ...message, entries: message.entries.map(({ index, term }) => ({ index, term })) },
  ]);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(good.length - 1), fc.nat(255), (noise, at, value) => {
      const flipped = Uint8Array.from(good);
      flipped[at] = value;
      for (const decode of decoders) for (const bytes of [noise, flipped, good.subarray(0, at)]) refuses(decode, bytes);
    }),
    { seed: 7, numRuns: 500 },
  );
  expect(decodeEntries(encodeEntries(message.entries), 1).map((each) => Buffer.from(each.payload).toString())).toEqual([
    "abc",
    "d",
  ]);
});

test("writes that are merged leave the log as they would one after another", () => {
  const write = fc.record({ back: fc.nat(3), count: fc.nat(4) });
  fc.assert(
    fc.property(fc.array(write, { maxLength: 8 }), (steps) => {
      let log = [entry(1, 1), entry(2, 1), entry(3, 1)];
      const before = [...log];
      const writes = steps.map(({ back, count }, at): Persist => {
        const truncates = back > 0 && log.length - back >= 0 && count > 0;
        const from = log.length - back + 1;
        if (truncates) log = log.slice(0, from - 1);
        const entries = Array.from({ length: count }, (_, offset) => entry(log.length + 1 + offset, at + 2));
        log = [...log, ...entries];
        return {
          type: "persist",
          seq: at,
          entries,
          release: [],
          ...(truncates ? { truncateFrom: from as never } : {}),
        };
      });
      const merged = mergeWrites(writes);
      const kept = merged.truncateFrom === undefined ? before : before.slice(0, merged.truncateFrom - 1);
      expect([...kept, ...merged.entries].map((each) => `${each.index}/${each.term}`)).toEqual(
        log.map((each) => `${each.index}/${each.term}`),
      );
      if (merged.truncateFrom !== undefined) expect(merged.truncateFrom).toBeLessThanOrEqual(3);
    }),
    { seed: 11, numRuns: 500 },
  );
});

test("a command that was forwarded to a leader that stands still is of unknown outcome soon after another leads", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  const two = world.member(2);
  one.host.stall(60_000);
  const startMs = world.clock.monotonicMs();
  const outcome = world.run(two.consensus.propose("a", { timeoutMs: 30_000 }).catch((error: unknown) => error));
  await world.newLeader(one);
  expect(await outcome).toMatchObject({ code: "RAFT_OUTCOME_UNKNOWN" });
  expect(world.clock.monotonicMs() - startMs).toBeLessThan(10 * T);
  await world.stop();
});

/** A log whose reads to apply wait for, or fail with, what a test gives. Reads of its opening are of one entry each. */
function readsOf(disk: MemoryDisk, before: () => Promise<void>): () => WalLogStore {
  let opens = 0;
  return () => {
    const store = walLogStore({ disk, random: seededRandom(`reads-${(opens += 1)}`) });
    const read = store.read.bind(store);
    store.read = async (from, to, maxBytes) => {
      if (to - from > 1) await before();
      return await read(from, to, maxBytes);
    };
    return store;
  };
}

/** Node 3 of three, that was away while the others cut their logs behind what it has. */
async function leftBehind(): Promise<{ readonly world: World; readonly disk: MemoryDisk }> {
  const world = new World();
  const leader = await world.form([1, 2, 3], (n) => (n === 3 ? {} : small));
  for (let at = 0; at < 30; at += 1) await world.run(leader.consensus.propose(`command-${at}`));
  await world.until(() => world.member(3).machine.commands.length === 30);
  const { disk } = world.kill(3);
  for (let at = 30; at < 150; at += 1) await world.run(leader.consensus.propose(`command-${at}`));
  await world.until(() => leader.consensus.status().firstIndex > 100);
  return { world, disk };
}

test("entries that are being read to be applied are not applied behind a snapshot that is installed meanwhile", async () => {
  const { world, disk } = await leftBehind();
  let release: (() => void) | undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const counts = new Counts();
  const three = await world.start(3, { disk, metrics: counts, logStore: readsOf(disk, () => held) });
  await world.until(() => counts.snapshots("received") === 1);
  await world.clock.advanceAsync(2 * T);
  release?.();
  await world.until(() => three.machine.commands.length === 150);
  expect(three.machine.commands).toEqual(world.member(1).machine.commands);
  await world.clock.advanceAsync(2 * T);
  expect(three.consensus.status().role).toBe("follower");
  await world.stop();
});

test("entries that cannot be read to be applied have the log opened anew, and stop nothing", async () => {
  const { world, disk } = await leftBehind();
  let failures = 0;
  const logStore = readsOf(disk, async () => {
    failures += 1;
    if (failures === 1) throw new Error("EIO: the disk has failed");
  });
  const three = await world.start(3, { disk, logStore });
  await world.until(() => three.machine.commands.length === 150);
  expect([three.consensus.status().storage, three.consensus.status().role]).toEqual(["ok", "follower"]);
  await world.stop();
});

test("a shutdown closes a log that is being opened anew", async () => {
  const world = new World();
  let broken = false;
  const disk = memoryDisk({
    random: seededRandom("closing"),
    onOperation: ({ kind }) => {
      if (broken && kind === "datasync") throw new Error("EIO: the disk has failed");
    },
  });
  let release: (() => void) | undefined;
  let open = 0;
  const logStore = (): WalLogStore => {
    const store = walLogStore({ disk, random: seededRandom("closing") });
    const [opens, closes] = [store.open.bind(store), store.close.bind(store)];
    store.open = async () => {
      if (broken) {
        broken = false;
        await new Promise<void>((resolve) => {
          release = resolve;
        });
      }
      const found = await opens();
      open += 1;
      store.close = async () => {
        store.close = closes;
        open -= 1;
        await closes();
      };
      return found;
    };
    return store;
  };
  const one = await world.form([1], () => ({ disk, logStore }));
  broken = true;
  void one.consensus.propose("a").catch(() => undefined);
  await world.until(() => release !== undefined);
  const stopped = one.consensus.shutdown();
  release?.();
  await world.run(stopped);
  expect(open).toBe(0);
  await world.stop();
});

test("a write that is asked for in the turn in which a flush has ended is not left waiting for the next one", async () => {
  for (let turns = 0; turns < 8; turns += 1) {
    const durable: number[] = [];
    const store = { append: () => Promise.resolve() } as unknown as LogStore;
    const persist = (seq: number): Persist => ({ type: "persist", seq, entries: [entry(seq, 1)], release: [] });
    const queue = new WriteQueue(store, virtualClock(), silentMetrics, {
      durable: (writes) => durable.push(...writes.map(({ seq }) => seq)),
      failed: () => undefined,
    });
    queue.write(persist(1));
    while (durable.length === 0) await Promise.resolve();
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
    queue.write(persist(2));
    for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
    expect(durable).toEqual([1, 2]);
  }
});
