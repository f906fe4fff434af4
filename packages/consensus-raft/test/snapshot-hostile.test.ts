import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { isFabricError, type StoreId, type Transport } from "@revoada/fabric";
import { memoryDisk, seededRandom, type MemoryDisk } from "@revoada/fabric/memory";
import { expect, test } from "vitest";
import {
  decodeAnswer,
  encodeAnswer,
  encodeRequest,
  snapshotProtocol,
  type SnapshotAnswer,
  type SnapshotRequest,
} from "../src/driver/snapshot-frames.ts";
import { nodeId, World, type Member } from "./support/replicas.ts";
import { join, runAhead, small } from "./support/snapshots.ts";

const noGroup = new Uint8Array(0);
const liarStore = "ab".repeat(16) as StoreId;

type Begin = Extract<SnapshotRequest, { readonly step: "begin" }>;

/** A peer that speaks the protocol of transfers and nothing else, to a replica that never heard of anybody. */
class Liar {
  readonly world: World;
  readonly victim: Member;
  readonly #transport: Transport;

  private constructor(victim: Member, transport: Transport, world: World) {
    this.victim = victim;
    this.#transport = transport;
    this.world = world;
  }

  static async meet(options: Parameters<World["start"]>[1] = {}): Promise<Liar> {
    const world = new World();
    const victim = await world.start(1, { ...small, ...options });
    return Liar.before(world, victim, 9);
  }

  static async before(world: World, victim: Member, n: number): Promise<Liar> {
    const transport = world.network.transport(nodeId(n), { clock: world.clock.host(`liar-${n}`) });
    await world.run(transport.start());
    return new Liar(victim, transport, world);
  }

  get disk(): MemoryDisk {
    return this.victim.disk;
  }

  begin(changes: Partial<Begin> = {}): Begin {
    const { storeId: toStore } = this.victim.consensus.status();
    const base = { index: 50, term: 1 } as unknown as Begin["base"];
    return { step: "begin", id: "lie", fromStore: liarStore, toStore, term: 1, base, chunkBytes: 100, ...changes };
  }

  chunk(
    offset: number,
    length: number,
    changes: Partial<Extract<SnapshotRequest, { step: "chunk" }>> = {},
  ): SnapshotRequest {
    const bytes = new Uint8Array(length).fill(offset & 255);
    return { step: "chunk", id: "lie", offset, sum: crc32(bytes), bytes, ...changes };
  }

  send(payload: Uint8Array): Promise<Uint8Array> {
    return this.#transport.request(this.victim.id, snapshotProtocol, payload);
  }

  /** What a request is answered with, or the code of its refusal. */
  async ask(request: SnapshotRequest, group: Uint8Array = noGroup): Promise<SnapshotAnswer | string> {
    try {
      return decodeAnswer(noGroup, await this.world.run(this.send(encodeRequest(group, request))));
    } catch (error) {
      if (!isFabricError(error)) throw error;
      return error.code;
    }
  }

  /** The size of the one unfinished file. */
  async bytesHeld(): Promise<number> {
    const file = await this.disk.open("snapshots/incoming.tmp");
    const size = await file.size();
    await file.close();
    return size;
  }

  async files(): Promise<readonly string[]> {
    return this.disk.list("snapshots");
  }

  /** Nothing came of it: no state, no file, and a transfer that is honest works. */
  async expectUnharmed(): Promise<void> {
    const { consensus, machine } = this.victim;
    expect([consensus.status().role, consensus.status().storage, machine.restored]).toEqual(["outsider", "ok", 0]);
    expect(await this.files()).toEqual([]);
    expect(await this.ask(this.begin({ id: "honest" }))).toEqual({ offset: 0, phase: "receiving" });
    await this.world.stop();
  }
}

const receiving = (offset: number): SnapshotAnswer => ({ offset, phase: "receiving" });

test("steps of another group, of a transfer that nobody began or that somebody else did, and for another store are refused", async () => {
  const liar = await Liar.meet();
  expect(await liar.ask(liar.begin(), Uint8Array.of(1, 2, 3))).toBe("RAFT_BAD_FRAME");
  expect(await liar.ask(liar.begin({ toStore: liarStore }))).toBe("RAFT_BAD_SNAPSHOT");
  expect(await liar.ask(liar.chunk(0, 100))).toBe("RAFT_BAD_SNAPSHOT");
  expect(await liar.ask({ step: "end", id: "lie", length: 0, digest: new Uint8Array(32) })).toBe("RAFT_BAD_SNAPSHOT");
  expect(await liar.files()).toEqual([]);
  const other = await Liar.before(liar.world, liar.victim, 8);
  expect(await other.ask(other.begin())).toEqual(receiving(0));
  expect(await liar.ask(liar.chunk(0, 100))).toBe("RAFT_BAD_SNAPSHOT");
  // Whoever is being served is not pushed aside by one of the same term.
  expect(await liar.ask(liar.begin())).toBe("RAFT_BAD_SNAPSHOT");
  expect(await other.ask(other.chunk(0, 100))).toEqual(receiving(100));
  await liar.world.stop();
});

test.each<[string, Partial<Begin>, string]>([
  ["no bytes", { chunkBytes: 0 }, "RAFT_BAD_SNAPSHOT"],
  ["5 MiB", { chunkBytes: 5 * 1024 * 1024 }, "RAFT_BAD_SNAPSHOT"],
  ["an index that cannot be", { base: { index: 2 ** 60, term: 1 } as never }, "RAFT_BAD_FRAME"],
  ["a name that is too long", { id: "x".repeat(65) }, "RAFT_BAD_FRAME"],
  ["a store that cannot be", { fromStore: "xyz" as StoreId }, "FABRIC_INVALID_VALUE"],
])("a transfer in chunks of, or with, %s is refused", async (_what, changes, code) => {
  const liar = await Liar.meet();
  expect(await liar.ask(liar.begin(changes))).toBe(code);
  await liar.expectUnharmed();
});

test("offsets that were taken, or are a little ahead, change nothing; one far ahead ends the transfer and removes what came", async () => {
  const liar = await Liar.meet();
  await liar.ask(liar.begin());
  expect(await liar.ask(liar.chunk(0, 100))).toEqual(receiving(100));
  for (const offset of [0, 50, 99, 101, 200, 6500]) {
    expect(await liar.ask(liar.chunk(offset, 100))).toEqual(receiving(100));
    expect(await liar.bytesHeld()).toBeLessThan(400);
  }
  expect(await liar.ask(liar.chunk(6501, 100))).toBe("RAFT_BAD_SNAPSHOT");
  expect(await liar.ask(liar.chunk(100, 100))).toBe("RAFT_BAD_SNAPSHOT");
  await liar.expectUnharmed();
});

test("a chunk whose sum is wrong is refused, and the right one is taken in its place", async () => {
  const liar = await Liar.meet();
  await liar.ask(liar.begin());
  expect(await liar.ask(liar.chunk(0, 100, { sum: 1 }))).toBe("RAFT_BAD_SNAPSHOT");
  expect(await liar.ask(liar.chunk(0, 100))).toEqual(receiving(100));
  await liar.world.stop();
});

for (const [what, length] of [
  ["larger than was said", 101],
  ["without bytes", 0],
] as const) {
  test(`a chunk that is ${what} ends the transfer and removes what came`, async () => {
    const liar = await Liar.meet();
    await liar.ask(liar.begin());
    await liar.ask(liar.chunk(0, 100));
    expect(await liar.ask(liar.chunk(100, length))).toBe("RAFT_BAD_SNAPSHOT");
    await liar.expectUnharmed();
  });
}

test("nothing may follow a chunk that is shorter than the others", async () => {
  const liar = await Liar.meet();
  await liar.ask(liar.begin());
  expect(await liar.ask(liar.chunk(0, 40))).toEqual(receiving(40));
  expect(await liar.ask(liar.chunk(40, 100))).toBe("RAFT_BAD_SNAPSHOT");
  await liar.expectUnharmed();
});

test("more bytes than a snapshot may have end the transfer and remove what came", async () => {
  const liar = await Liar.meet({ limits: { ...small.limits, maxSnapshotBytes: 250 } });
  await liar.ask(liar.begin());
  expect(await liar.ask(liar.chunk(0, 100))).toEqual(receiving(100));
  expect(await liar.ask(liar.chunk(100, 100))).toEqual(receiving(200));
  expect(await liar.ask(liar.chunk(200, 51))).toBe("RAFT_BAD_SNAPSHOT");
  await liar.expectUnharmed();
});

for (const [what, end] of [
  ["another length", (digest: Uint8Array) => ({ length: 101, digest })],
  ["another hash", () => ({ length: 100, digest: new Uint8Array(32).fill(7) })],
  ["half a hash", (digest: Uint8Array) => ({ length: 100, digest: digest.subarray(0, 16) })],
] as const) {
  test(`an end that tells ${what} installs nothing and removes what came`, async () => {
    const liar = await Liar.meet();
    await liar.ask(liar.begin());
    await liar.ask(liar.chunk(0, 100));
    const digest = createHash("sha256").update(new Uint8Array(100)).digest();
    expect(await liar.ask({ step: "end", id: "lie", ...end(digest) })).toBe("RAFT_BAD_SNAPSHOT");
    await liar.expectUnharmed();
  });
}

test("a sender that opens one transfer after the other has one file, and a name that is used again continues no other snapshot", async () => {
  const liar = await Liar.meet();
  for (let at = 0; at < 200; at += 1) {
    expect(await liar.ask(liar.begin({ id: `lie-${at}` }))).toEqual(receiving(0));
    expect(await liar.ask(liar.chunk(0, 100, { id: `lie-${at}` }))).toEqual(receiving(100));
    expect(await liar.files()).toEqual(["incoming.tmp"]);
  }
  const last = liar.begin({ id: "lie-199" });
  expect(await liar.ask(last)).toEqual(receiving(100));
  expect(await liar.ask({ ...last, base: { ...last.base, index: 51 as never } })).toEqual(receiving(0));
  expect(await liar.bytesHeld()).toBeLessThan(200);
  await liar.world.stop();
});

test("steps beyond those that may wait are refused at once", async () => {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const disk = memoryDisk({
    name: "slow",
    random: seededRandom("slow"),
    onOperation: ({ path }) => (path.endsWith("incoming.tmp") ? held : undefined),
  });
  const liar = await Liar.meet({ disk });
  const frame = encodeRequest(noGroup, liar.begin());
  const refusals: unknown[] = [];
  const all = Array.from({ length: 200 }, () => liar.send(frame).catch((error: unknown) => refusals.push(error)));
  await liar.world.until(() => refusals.length === 200 - 64, 2000);
  for (const refusal of refusals) expect(refusal).toMatchObject({ code: "RAFT_BACKPRESSURE", retryable: true });
  release();
  await liar.world.run(Promise.all(all));
  expect(refusals).toHaveLength(200 - 64);
  expect(await liar.ask(liar.begin())).toEqual(receiving(0));
  await liar.world.stop();
});

test("frames that are cut or have a byte changed are answered or refused with a code, and stop nobody", async () => {
  const liar = await Liar.meet();
  await liar.ask(liar.begin());
  const frames = [liar.begin(), liar.chunk(0, 60), { step: "end", id: "lie", length: 60, digest: new Uint8Array(32) }];
  const codes = new Set<string>();
  for (const frame of frames.map((request) => encodeRequest(noGroup, request as SnapshotRequest))) {
    for (let at = 0; at < frame.length; at += 1) {
      for (const bad of [frame.slice(0, at), frame.with(at, frame[at]! ^ 0x81), frame.with(at, 0xff)]) {
        const outcome = await liar.world.run(liar.send(bad)).catch((error: unknown) => error);
        if (isFabricError(outcome)) codes.add(outcome.code);
        else expect(outcome).toBeInstanceOf(Uint8Array);
      }
    }
  }
  expect([...codes].toSorted()).toEqual(["FABRIC_INVALID_VALUE", "RAFT_BAD_FRAME", "RAFT_BAD_SNAPSHOT"]);
  expect(liar.victim.machine.restored).toBe(0);
  expect(["outsider", "follower"]).toContain(liar.victim.consensus.status().role);
  await liar.world.stop();
}, 60_000);

test("a leader takes no snapshot of its own term from anybody, and goes on leading", async () => {
  const world = new World();
  const { leader } = await runAhead(world, {}, 2, 60);
  const liar = await Liar.before(world, leader, 9);
  const { term } = leader.consensus.status();
  for (const claimed of [term - 1, term])
    expect(await liar.ask(liar.begin({ term: claimed }))).toBe("RAFT_BAD_SNAPSHOT");
  await world.run(leader.consensus.propose("on"));
  expect(leader.consensus.status()).toMatchObject({ term, role: "leader" });
  await world.stop();
});

/** Answers the steps of transfers with what `lie` says, for as long as it says something. */
function lying(lie: () => Uint8Array | undefined): (transport: Transport) => Transport {
  return (transport) =>
    new Proxy(transport, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (name !== "handle") return typeof value === "function" ? (value.bind(target) as unknown) : value;
        return ((protocol, handler) => {
          if (protocol.name !== snapshotProtocol.name || handler.onRequest === undefined)
            return target.handle(protocol, handler);
          const { onRequest } = handler;
          return target.handle(protocol, {
            onRequest: async (payload, context) => lie() ?? onRequest(payload, context),
          });
        }) satisfies Transport["handle"];
      },
    });
}

for (const [what, lie] of [
  ["claims bytes that were never sent", () => encodeAnswer(noGroup, receiving(1_000_000))],
  ["claims an offset at which no chunk begins", () => encodeAnswer(noGroup, receiving(37))],
  ["acknowledges everything and has nothing", () => encodeAnswer(noGroup, { offset: 0, phase: "done" })],
  ["never gets any further", () => encodeAnswer(noGroup, receiving(0))],
  ["says for ever that it is installing", () => encodeAnswer(noGroup, { offset: 5, phase: "installing" })],
  ["has read more than there is", () => encodeAnswer(noGroup, { offset: 1_000_000, phase: "installing" })],
  ["answers for another group", () => encodeAnswer(Uint8Array.of(9), receiving(0))],
  ["answers with what is no frame", () => Uint8Array.of(255, 255, 255)],
] as const) {
  test(`a receiver that ${what} is asked ever more seldom, holds nobody up, and is served once it is honest`, async () => {
    const world = new World();
    const { leader, machine, counts } = await runAhead(world, { limits: { maxSnapshotTransfers: 1 } }, 2, 60);
    let asked = 0;
    let lies = true;
    const wrap = lying(() => {
      if (lies) asked += 1;
      return lies ? lie() : undefined;
    });
    const [liar, honest] = await join(world, [3, 4], (n) => (n === 3 ? { wrap } : {}));
    await world.until(() => honest!.machine.commands.length === 60, 60_000);
    await world.clock.advanceAsync(60_000);
    expect(liar!.machine.commands).toEqual([]);
    expect(asked).toBeGreaterThan(2);
    expect(asked).toBeLessThan(600);
    expect(machine.snapshots).toBeLessThan(5);
    expect([leader.consensus.status().role, leader.consensus.status().term]).toEqual(["leader", 1]);
    expect(counts.transfers("out")).toBe(1);
    lies = false;
    await world.until(() => liar!.machine.commands.length === 60, 60_000);
    expect(liar!.machine.commands).toEqual(machine.commands);
    await world.stop();
  }, 60_000);
}
