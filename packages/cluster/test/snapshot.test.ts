import { createHash } from "node:crypto";
import type { MachinePosition } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { nodeId } from "./doubles/keys.ts";
import { MachineKit, testGenesis, tokenRecord } from "./doubles/machine-kit.ts";
import { testAttestor } from "./doubles/test-attestor.ts";
import { ProcessDied, TestStore } from "./doubles/test-store.ts";

function full(): MachineKit {
  const kit = MachineKit.founded();
  kit.formThree();
  kit.seal(["a"]);
  kit.createToken(tokenRecord(1));
  kit.apply(kit.configuration(["a", "b", "c"]));
  kit.send("catalog", Uint8Array.of(200, 77));
  return kit;
}

interface Taken {
  readonly position: MachinePosition;
  readonly bytes: Uint8Array;
}

async function taken(kit: MachineKit): Promise<Taken> {
  const snapshot = await kit.machine.snapshot();
  const parts: Uint8Array[] = [];
  for await (const chunk of snapshot.chunks()) parts.push(chunk);
  snapshot.dispose();
  return { position: snapshot.position, bytes: new Uint8Array(Buffer.concat(parts)) };
}

/** The bytes in chunks of this size, each in a buffer that is used again for the next. */
async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.slice(start, start + size);
}

/** The snapshot with other content under a hash that fits: damage that only the structure can tell. */
function rehashed(bytes: Uint8Array, change: (body: Buffer) => Buffer): Uint8Array {
  const body = change(Buffer.from(bytes.subarray(0, -32)));
  return new Uint8Array(Buffer.concat([body, createHash("sha256").update(body).digest()]));
}

const invalid = expect.objectContaining({ code: "CLUSTER_SNAPSHOT_INVALID" });

describe("a snapshot", () => {
  test("brings an empty machine to the same state, hash and place, in chunks of any size", async () => {
    const kit = full();
    const { position, bytes } = await taken(kit);
    const { hash } = await kit.machine.stateHash();
    for (const size of [1, 7, 4096, bytes.length]) {
      const other = new MachineKit(new TestStore(), kit.genesis);
      let announced = 0;
      other.machine.onApplied(() => (announced += 1));
      await other.machine.restore(position, inChunks(bytes, size));
      expect(other.store.contents()).toEqual(kit.store.contents());
      expect(await other.machine.stateHash()).toEqual({ appliedIndex: position.index, hash });
      expect(other.machine.formation.state).toEqual(kit.machine.formation.state);
      expect([other.counter.total, announced]).toEqual([277, 1]);
    }
  });

  test("replaces what was there, keeps nothing of it, and is flushed", async () => {
    const kit = full();
    const { position, bytes } = await taken(kit);
    const other = full();
    other.shift([{ verb: "evict", node: nodeId("c") }]);
    other.createToken(tokenRecord(2));
    await other.machine.restore(position, inChunks(bytes, 100));
    expect(other.store.contents()).toEqual(kit.store.contents());
    expect(other.store.afterCrash().contents()).toEqual(kit.store.contents());
    expect(other.machine.flushedIndex()).toBe(position.index);
    expect(other.machine.position()).toEqual(position);
  });

  test("is of one moment, whatever is applied while it is read", async () => {
    const kit = full();
    const before = await taken(kit);
    const snapshot = await kit.machine.snapshot();
    kit.send("catalog", Uint8Array.of(1));
    const parts: Uint8Array[] = [];
    for await (const chunk of snapshot.chunks()) parts.push(chunk);
    expect(new Uint8Array(Buffer.concat(parts))).toEqual(before.bytes);
    expect(snapshot.position).toEqual(before.position);
  });

  test("of one state has the same bytes on every replica", async () => {
    expect((await taken(full())).bytes).toEqual((await taken(full())).bytes);
    const kit = full();
    expect((await taken(kit.reopened())).bytes).toEqual((await taken(kit)).bytes);
  });

  test("goes on with the log where it was taken", async () => {
    const kit = full();
    const { position, bytes } = await taken(kit);
    const other = new MachineKit(new TestStore(), kit.genesis);
    await other.machine.restore(position, inChunks(bytes, 500));
    const next = kit.entry("formation", kit.command([{ verb: "evict", node: nodeId("c") }]));
    expect(other.machine.apply([next])).toEqual(kit.machine.apply([next]));
    expect(other.store.contents()).toEqual(kit.store.contents());
  });
});

describe("a snapshot that is not what it should be changes nothing", () => {
  async function refused(bytes: Uint8Array, position: MachinePosition, kit: MachineKit = full()): Promise<void> {
    const before = kit.store.contents();
    await expect(kit.machine.restore(position, inChunks(bytes, 300))).rejects.toThrow(invalid);
    expect(kit.store.contents()).toEqual(before);
  }

  test("with any byte flipped", async () => {
    const { position, bytes } = await taken(full());
    const kit = full();
    const before = kit.store.contents();
    for (let place = 0; place < bytes.length; place += 13) {
      const damaged = bytes.slice();
      damaged[place] = (damaged[place] ?? 0) ^ (1 << (place % 8));
      await expect(kit.machine.restore(position, inChunks(damaged, damaged.length))).rejects.toThrow(invalid);
    }
    expect(kit.store.contents()).toEqual(before);
  });

  test("cut short, empty, or with something behind it", async () => {
    const { position, bytes } = await taken(full());
    for (const length of [0, 1, 31, 32, 60, bytes.length - 1]) await refused(bytes.slice(0, length), position);
    await refused(new Uint8Array([...bytes, 0]), position);
  });

  test("of another cluster", async () => {
    const kit = full();
    const { position, bytes } = await taken(kit);
    await refused(bytes, position, new MachineKit(new TestStore(), testGenesis(testAttestor("a"), 8)));
  });

  test.each<[string, (body: Buffer) => Buffer]>([
    ["with another magic", (body) => Buffer.concat([Buffer.from("RVDSNAP9"), body.subarray(8)])],
    [
      "with trees that this version does not have",
      (body) => Buffer.from(body.toString("latin1").replace("machine/meta", "machine/mexa"), "latin1"),
    ],
    ["with a header longer than itself", (body) => (body.writeUInt16BE(65_535, 40), body)],
    ["with a record of a tree that is not named", (body) => ((body[42 + body.readUInt16BE(40)] = 200), body)],
    [
      "with a record that is longer than the rest",
      (body) => (body.writeUInt32BE(0x7fff_ffff, 42 + body.readUInt16BE(40) + 3), body),
    ],
    ["with a record without a key", (body) => (body.writeUInt16BE(0, 42 + body.readUInt16BE(40) + 1), body)],
    [
      "with another count of records",
      (body) => (body.writeUInt8((body[body.length - 1] ?? 0) ^ 1, body.length - 1), body),
    ],
    ["without its end marker", (body) => body.subarray(0, -9)],
    ["with bytes behind its end marker", (body) => Buffer.concat([body, Buffer.from([0])])],
  ])("%s, under a hash that fits", async (_name, change) => {
    const { position, bytes } = await taken(full());
    await refused(rehashed(bytes, change), position);
  });

  test("whose source breaks off", async () => {
    const kit = full();
    const { position, bytes } = await taken(kit);
    const before = kit.store.contents();
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield bytes.slice(0, 200);
      throw new ProcessDied("the leader is gone");
    }
    await expect(kit.machine.restore(position, broken())).rejects.toThrow(ProcessDied);
    expect(kit.store.contents()).toEqual(before);
  });

  test("or with a process that dies at any write of it", async () => {
    const { position, bytes } = await taken(full());
    const old = MachineKit.founded();
    const target = new MachineKit(new TestStore(), old.genesis);
    await target.machine.restore(position, inChunks(bytes, 900));
    const total = target.store.writes;
    for (let deadly = 1; deadly <= total; deadly += 1) {
      const kit = new MachineKit(old.store.reopened(), old.genesis);
      kit.store.beforeWrite = (write) => {
        if (write === deadly) throw new ProcessDied(`at write ${write}`);
      };
      await expect(kit.machine.restore(position, inChunks(bytes, 900))).rejects.toThrow(ProcessDied);
      expect(kit.store.contents()).toEqual(old.store.contents());
      expect(kit.machine.formation.state).toEqual(old.machine.formation.state);
    }
  });
});
