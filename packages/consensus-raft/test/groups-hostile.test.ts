/** What arrives from other hosts is checked before it is believed: what is refused is counted, and no group comes to harm. */
import { Encoder } from "cbor-x";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { NodeId, StoreId, Transport } from "@revoada/fabric";
import { RaftBadFrameError } from "../src/errors.ts";
import { HeardClaims, maxClaims, OwnClaims, type ClaimChange } from "../src/groups/claims.ts";
import {
  decodeHostFrame,
  encodeHostFrame,
  groupKey,
  groupOf,
  groupsProtocol,
  maxFramesPerHostFrame,
  type Beat,
  type BeatAnswer,
  type HostFrame,
} from "../src/groups/host-frame.ts";
import { EntriesEncoder } from "../src/wire/entries.ts";
import { encodeMessages } from "../src/wire/messages.ts";
import type { MessageBody } from "../src/core/types.ts";
import { Hosts, groupIdOf, namesOf } from "./support/hosts.ts";
import { nodeId, T } from "./support/replicas.ts";

const cbor = new Encoder({ useRecords: false, variableMapSize: true, tagUint8Array: false });
const none = new Uint8Array(0);
const epoch = "0102030405060708";
const otherEpoch = "1112131415161718";
const strangeStore = "ab".repeat(16) as StoreId;

/** As the decoder gives bytes. */
function idOf(name: string): Uint8Array {
  return Buffer.from(groupIdOf(name));
}

function claimOf(name: string, term: number, toStore: StoreId = strangeStore): ClaimChange {
  const groupId = idOf(name);
  return { key: groupKey(groupId), groupId, claim: { groupId, term, toStore } };
}

function beatOf(seq: number, version: number, base: number, changes: readonly ClaimChange[] = []): Beat {
  return { seq, version, base, changes };
}

function wordOf(beat: Beat | undefined, answer?: BeatAnswer, life: string = epoch): HostFrame {
  return { word: { epoch: life, beat, answer }, frames: [] };
}

const whole: HostFrame = {
  word: {
    epoch,
    beat: beatOf(7, 4, 2, [claimOf("a", 3), { key: groupKey(groupIdOf("b")), groupId: idOf("b"), claim: undefined }]),
    answer: { epoch: otherEpoch, seq: 5, version: 2, refused: [groupKey(groupIdOf("c"))] },
  },
  frames: [Buffer.of(0x82, 1, 0x40)],
};

/** Somebody who is admitted and says what he likes. */
class Stranger {
  readonly id: NodeId;
  readonly #transport: Transport;
  readonly #hosts: Hosts;
  /** Words of the hosts that it spoke to. */
  readonly heard: HostFrame[] = [];

  private constructor(hosts: Hosts, transport: Transport) {
    this.#hosts = hosts;
    this.#transport = transport;
    this.id = transport.localId;
    transport.handle(groupsProtocol, { onMessage: (payload) => void this.heard.push(decodeHostFrame(payload)) });
  }

  static async among(hosts: Hosts, n = 9): Promise<Stranger> {
    const transport = hosts.network.transport(nodeId(n), { clock: hosts.clock });
    await hosts.run(transport.start());
    return new Stranger(hosts, transport);
  }

  async send(bytes: Uint8Array, to = 1): Promise<void> {
    expect(this.#transport.send(nodeId(to), groupsProtocol, bytes)).toBe(true);
    await this.#hosts.clock.advanceAsync(5);
  }

  say(frame: HostFrame, to = 1): Promise<void> {
    return this.send(encodeHostFrame(frame), to);
  }

  /** The answers that came back, oldest first. */
  get answers(): readonly BeatAnswer[] {
    return this.heard.flatMap(({ word }) => word?.answer ?? []);
  }

  async leave(): Promise<void> {
    await this.#hosts.run(this.#transport.shutdown());
  }
}

/** Groups that rest, and somebody who would like to disturb them. */
async function atRest(names: readonly string[]): Promise<{ readonly hosts: Hosts; readonly stranger: Stranger }> {
  const hosts = new Hosts();
  await hosts.form(names);
  await hosts.clock.advanceAsync(10 * T);
  return { hosts, stranger: await Stranger.among(hosts) };
}

/** Nothing that was said moved a term, a leader or a core, and all can still be written to. */
async function expectUnharmed(hosts: Hosts, names: readonly string[], disturb: () => Promise<void>): Promise<void> {
  const terms = (): readonly unknown[] =>
    names.map((name) => [1, 2, 3].map((n) => hosts.seat(n, name).consensus.status()).map((s) => [s.term, s.leader]));
  const before = terms();
  const ticks = hosts.ticksOf(names);
  await disturb();
  await hosts.clock.advanceAsync(4 * T);
  expect(terms()).toEqual(before);
  expect(hosts.ticksOf(names)).toBe(ticks);
  await hosts.run(Promise.all(names.map((name) => hosts.seat(2, name).consensus.propose("after all"))));
}

describe("the frame of a host", () => {
  test("comes back as it was written", () => {
    expect(decodeHostFrame(encodeHostFrame(whole))).toEqual(whole);
    expect(decodeHostFrame(encodeHostFrame({ word: undefined, frames: [] }))).toEqual({ word: undefined, frames: [] });
  });

  test("is refused where it is damaged, or reads as a frame: nothing else comes of any bytes", () => {
    const sound = encodeHostFrame(whole);
    const flip = fc.record({ at: fc.nat(sound.length - 1), mask: fc.integer({ min: 1, max: 255 }) });
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat(sound.length).map((end) => sound.subarray(0, end)),
      fc.array(flip, { minLength: 1, maxLength: 4 }).map((flips) => {
        const damaged = sound.slice();
        for (const { at, mask } of flips) damaged[at] = (damaged[at] ?? 0) ^ mask;
        return damaged;
      }),
    );
    const bounded = (payload: Uint8Array): void => {
      try {
        const { word, frames } = decodeHostFrame(payload);
        expect(frames.length).toBeLessThanOrEqual(maxFramesPerHostFrame);
        if (word?.beat !== undefined) expect(word.beat.base).toBeLessThanOrEqual(word.beat.version);
      } catch (error) {
        expect(error).toBeInstanceOf(RaftBadFrameError);
      }
    };
    fc.assert(fc.property(bytes, bounded), { seed: 11, numRuns: 2000 });
  });

  const head = [1, none] as const;
  const life = Buffer.from(epoch, "hex");
  for (const [what, value] of [
    ["no array", "frame"],
    ["another version", [2, none, [], []]],
    ["a group in the place of none", [1, Uint8Array.of(1), [], []]],
    ["a word of two elements", [...head, [life, []], []]],
    ["an epoch of seven bytes", [...head, [life.subarray(1), [], []], []]],
    ["a beat of three elements", [...head, [life, [1, 1, 0], []], []]],
    ["a beat whose base lies above its version", [...head, [life, [1, 1, 2, []], []], []]],
    ["a beat with a negative number", [...head, [life, [-1, 1, 0, []], []], []]],
    ["a beat above the numbers that are exact", [...head, [life, [2 ** 60, 1, 0, []], []], []]],
    ["a claim of a group id of 33 bytes", [...head, [life, [1, 1, 0, [[new Uint8Array(33)]]], []], []]],
    ["a claim of two elements", [...head, [life, [1, 1, 0, [[life, 1]]], []], []]],
    ["a claim to no store", [...head, [life, [1, 1, 0, [[life, 1, "x"]]], []], []]],
    [
      "claims beyond the bound",
      [...head, [life, [1, 1, 0, Array.from({ length: maxClaims + 1 }, () => [life])], []], []],
    ],
    ["an answer to nobody", [...head, [life, [], [none, 1, 1, []]], []]],
    ["an answer that refuses a number", [...head, [life, [], [life, 1, 1, [7]]], []]],
    ["refusals beyond the bound", [...head, [life, [], [life, 1, 1, Array(maxClaims + 1).fill(life)]], []]],
    ["a number among its frames", [...head, [], [7]]],
    ["frames beyond the bound", [...head, [], Array.from({ length: maxFramesPerHostFrame + 1 }, () => none)]],
    ["an element too many", [...head, [], [], 0]],
  ] as const) {
    test(`is refused with ${what}`, () => {
      expect(() => decodeHostFrame(cbor.encode(value))).toThrow(RaftBadFrameError);
    });
  }

  test("gives the group of a frame inside it, or refuses it, whatever the bytes", () => {
    for (const length of [1, 23, 24, 32]) {
      const groupId = Buffer.alloc(length, 9);
      expect(groupOf(cbor.encode([1, groupId, "rest"]))).toEqual(groupId);
    }
    for (const value of [[1, new Uint8Array(33)], [2, none], [1, "text"], { 1: none }, 7])
      expect(() => groupOf(cbor.encode(value))).toThrow(RaftBadFrameError);
    const bounded = (bytes: Uint8Array): void => {
      try {
        expect(groupOf(bytes).length).toBeLessThanOrEqual(32);
      } catch (error) {
        expect(error).toBeInstanceOf(RaftBadFrameError);
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), bounded), { seed: 12, numRuns: 2000 });
  });
});

describe("a set of claims", () => {
  test("is not confirmed by an answer about an earlier one, and is told whole to who has lost it", () => {
    const own = new OwnClaims();
    expect(own.add("a", { groupId: groupIdOf("a"), term: 1, toStore: strangeStore })).toBe(true);
    own.confirm(own.version);
    expect([own.isTaken("a"), own.isBehind, own.changes()]).toEqual([true, false, []]);
    own.add("a", { groupId: groupIdOf("a"), term: 2, toStore: strangeStore });
    expect([own.isTaken("a"), own.isBehind]).toEqual([false, true]);
    const before = own.version;
    own.startOver();
    own.confirm(before);
    expect(own.isTaken("a")).toBe(false);
    expect(own.changes().map(({ claim }) => claim?.term)).toEqual([2]);
  });

  test("takes no more than its bound, and goes on with what it has", () => {
    const own = new OwnClaims();
    const groupId = none;
    for (let at = 0; at < maxClaims; at += 1) own.add(`${at}`, { groupId, term: 1, toStore: strangeStore });
    expect(own.add("one more", { groupId, term: 1, toStore: strangeStore })).toBe(false);
    expect(own.size).toBe(maxClaims);
    own.remove("0");
    expect(own.add("one more", { groupId, term: 1, toStore: strangeStore })).toBe(true);
    // However often claims come and go, what has to be told is no more than the set.
    for (let turn = 2; turn < 4; turn += 1)
      for (let at = 1; at < maxClaims; at += 1) own.add(`${at}`, { groupId, term: turn, toStore: strangeStore });
    expect(own.changes().length).toBeLessThanOrEqual(maxClaims + 1);
  });

  test("that is held counts only what was judged, and forgets its judgements with its claims", () => {
    const heard = new HeardClaims();
    heard.set("a", { groupId: groupIdOf("a"), term: 1, toStore: strangeStore });
    expect([heard.isAccepted("a"), heard.refused()]).toEqual([false, ["a"]]);
    expect([heard.judge("a", true), heard.judge("a", true), heard.judge("b", true)]).toEqual([true, false, false]);
    expect([heard.isAccepted("a"), heard.isAccepted("b"), heard.refused()]).toEqual([true, false, []]);
    heard.reach(3);
    heard.clear();
    expect([heard.version, heard.size, heard.isAccepted("a"), heard.follows(1)]).toEqual([0, 0, false, false]);
  });
});

describe("a stranger among hosts", () => {
  test("sends what is no frame: it is counted, and no group that rests is woken", async () => {
    const names = namesOf(3);
    const { hosts, stranger } = await atRest(names);
    await expectUnharmed(hosts, names, async () => {
      await stranger.send(none);
      await stranger.send(Uint8Array.of(0xff, 0xff));
      await stranger.send(cbor.encode([2, none, [], []]));
      await stranger.send(cbor.encode([1, none, [], [Uint8Array.of(0x60), groupIdOf("x")]]));
    });
    expect(hosts.site(1).metrics.of("revoada_raft_frames_dropped_total:malformed")).toBe(5);
    await stranger.leave();
    await hosts.stop();
  });

  test("claims to lead what it does not lead, or what is not there: the answer refuses each, and nobody follows it", async () => {
    const names = namesOf(3);
    const { hosts, stranger } = await atRest(names);
    const status = hosts.seat(1, "group-0").consensus.status();
    await expectUnharmed(hosts, names, async () => {
      const changes = [
        claimOf("group-0", status.term, status.storeId),
        claimOf("group-1", 99, status.storeId),
        claimOf("group-2", status.term),
        claimOf("nowhere", 1),
      ];
      await stranger.say(wordOf(beatOf(1, 4, 0, changes)));
    });
    expect(stranger.answers[0]?.version).toBe(4);
    expect(new Set(stranger.answers[0]?.refused)).toEqual(
      new Set(["group-0", "group-1", "group-2", "nowhere"].map((name) => groupKey(groupIdOf(name)))),
    );
    await stranger.leave();
    await hosts.stop();
  });

  test("claims more than the bound in parts: what is beyond is counted, and not held", async () => {
    const { hosts, stranger } = await atRest(["one"]);
    const many = Array.from({ length: maxClaims }, (_, at) => claimOf(`n${at}`, 1));
    await stranger.say(wordOf(beatOf(1, 1, 0, many)));
    await stranger.say(wordOf(beatOf(2, 2, 1, [claimOf("one more", 1)])));
    await hosts.clock.advanceAsync(T);
    expect(hosts.site(1).metrics.of("revoada_raft_claims_refused_total:bound")).toBeGreaterThan(0);
    expect(Math.max(...stranger.answers.map(({ version }) => version))).toBe(1);
    expect(stranger.answers.at(-1)?.refused.length).toBe(maxClaims);
    // With a set that fits it is heard again.
    await stranger.say(wordOf(beatOf(3, 3, 0, [claimOf("few", 1)])));
    expect(stranger.answers.at(-1)).toMatchObject({ version: 3, refused: [groupKey(groupIdOf("few"))] });
    await stranger.leave();
    await hosts.stop();
  });

  test("beats on a version that was never told: nothing of it is held, and the answer says what is", async () => {
    const names = namesOf(2);
    const { hosts, stranger } = await atRest(names);
    await expectUnharmed(hosts, names, async () => {
      await stranger.say(wordOf(beatOf(1, 9, 8, [claimOf("group-0", 1)])));
    });
    expect(stranger.answers.at(-1)).toEqual({ epoch, seq: 1, version: 0, refused: [] });
    await stranger.leave();
    await hosts.stop();
  });

  test("answers beats that were never sent, of lives that never were: no claim counts as taken for it", async () => {
    const names = namesOf(2);
    const { hosts, stranger } = await atRest(names);
    await expectUnharmed(hosts, names, async () => {
      for (const answer of [
        { epoch: otherEpoch, seq: 1, version: 1, refused: names.map((name) => groupKey(groupIdOf(name))) },
        { epoch, seq: 2 ** 40, version: 2 ** 40, refused: [groupKey(groupIdOf("group-0"))] },
      ])
        await stranger.say(wordOf(undefined, answer));
    });
    expect(hosts.site(1).metrics.of("revoada_raft_claims_refused_total:peer")).toBe(0);
    await stranger.leave();
    await hosts.stop();
  });

  test("begins one life after the other: each is taken for what it says, and what was said before is gone", async () => {
    const { hosts, stranger } = await atRest(["one"]);
    for (let life = 0; life < 50; life += 1) {
      const epochOfLife = life.toString(16).padStart(16, "0");
      await stranger.say(wordOf(beatOf(1, 1, 0, [claimOf(`life-${life}`, 1)]), undefined, epochOfLife));
      await hosts.clock.advanceAsync(T);
      expect(stranger.answers.at(-1)).toMatchObject({ epoch: epochOfLife, version: 1 });
      expect(stranger.answers.at(-1)?.refused).toEqual([groupKey(groupIdOf(`life-${life}`))]);
    }
    await hosts.run(hosts.seat(1, "one").consensus.propose("still here"));
    await stranger.leave();
    await hosts.stop();
  });

  test("sends a beat twice, and an earlier one afterwards: the later one stands", async () => {
    const { hosts, stranger } = await atRest(["one"]);
    await stranger.say(wordOf(beatOf(5, 2, 0, [claimOf("later", 1)])));
    await stranger.say(wordOf(beatOf(5, 3, 0, [claimOf("twice", 1)])));
    await stranger.say(wordOf(beatOf(4, 1, 0, [claimOf("earlier", 1)])));
    await stranger.say(wordOf(beatOf(6, 2, 2)));
    expect(stranger.answers.at(-1)).toMatchObject({ seq: 6, version: 2, refused: [groupKey(groupIdOf("later"))] });
    await stranger.leave();
    await hosts.stop();
  });

  test("falls silent after its claims: hosts forget it, and speak to it no more", async () => {
    const { hosts, stranger } = await atRest(["one"]);
    await stranger.say(wordOf(beatOf(1, 1, 0, [claimOf("one", 1)])));
    await hosts.clock.advanceAsync(30 * T);
    const words = stranger.heard.length;
    await hosts.clock.advanceAsync(30 * T);
    expect(stranger.heard.length).toBe(words);
    await stranger.leave();
    await hosts.stop();
  });

  test("sends messages of groups in which it has no part, for all groups in one frame: no leader falls", async () => {
    const names = namesOf(3);
    const { hosts, stranger } = await atRest(names);
    const term = Math.max(...names.map((name) => hosts.seat(1, name).consensus.status().term));
    const request: MessageBody = { type: "vote-request", pre: false, transfer: false, lastIndex: 99, lastTerm: 99 };
    const { storeId } = hosts.seat(2, names[0] as string).consensus.status();
    const frames = [...names, "nowhere"].map((name) => {
      const common = { from: stranger.id, fromStore: strangeStore, to: nodeId(2), toStore: storeId };
      return encodeMessages(
        groupIdOf(name),
        strangeStore,
        storeId,
        [{ ...common, ...request, term: term + 5 }],
        new EntriesEncoder(),
      );
    });
    await stranger.say({ word: undefined, frames }, 2);
    await hosts.clock.advanceAsync(4 * T);
    for (const name of names) {
      expect(hosts.leaderOf(name)?.n).toBe(1);
      expect(hosts.seat(1, name).consensus.status().term).toBe(term);
    }
    expect(hosts.site(2).metrics.of("revoada_raft_frames_dropped_total:group")).toBe(1);
    await stranger.leave();
    await hosts.stop();
  });
});
