/**
 * What somebody who was let in may try: each attempt is refused and counted, or comes to nothing, and leaves what is held as it was.
 */
import { expect, test } from "vitest";
import type { GossipCore } from "../src/core/core.ts";
import { encodeFrame, type Frame } from "../src/core/frames.ts";
import type { SignedItem } from "../src/core/items.ts";
import { limits } from "../src/core/limits.ts";
import {
  coreOf,
  exchange,
  now,
  numbers,
  refusals,
  signedPage,
  signedRecord,
  signedVerdict,
  tell,
  wallMs,
} from "./cores.ts";
import { clusterId, identityOf, otherClusterId } from "./identities.ts";
import { range } from "./world.ts";

const generation = Math.floor(wallMs / 1_000);
const id = (number: number) => identityOf(number).id;

/** A core among five, and a picture of all that it holds. */
function victim(): GossipCore {
  const core = coreOf(0);
  tell(
    core,
    1,
    range(5, 1).map((number) => signedRecord(number, { keys: new Map([["zone", `z${number}`]]) })),
  );
  core.round(now(0));
  core.takeEffects();
  return core;
}

function picture(core: GossipCore): string {
  const members = [...core.members()].map(({ record, keys, standing }) => [
    ...[record.id, record.generation, record.incarnation, record.version, record.status],
    ...[[...keys], standing.status, standing.evidence],
  ]);
  return JSON.stringify([core.generation, core.incarnation, members]);
}

const swapped = (item: SignedItem, signer: number): SignedItem => ({
  payload: item.payload,
  signature: identityOf(signer).sign(item.payload),
});

const attempts: readonly (readonly [name: string, items: readonly SignedItem[], reason: string | undefined])[] = [
  ["a forged subject", [swapped(signedRecord(9), 1)], "signature"],
  [
    "another node's name",
    [swapped(signedRecord(2, { version: 9, keys: new Map([["zone", "mine"]]) }), 1)],
    "signature",
  ],
  ["another node's good-bye", [swapped(signedRecord(2, { version: 9, status: "left" }), 1)], "signature"],
  ["an incarnation of another's, inflated", [swapped(signedRecord(2, { incarnation: 99 }), 1)], "signature"],
  ["a forged death", [swapped(signedVerdict(3, 2, "closed"), 1)], "signature"],
  ["a forged page", [swapped(signedPage(2), 1)], undefined],
  ["a record of another cluster", [signedRecord(9, {}, otherClusterId)], "cluster"],
  ["a generation of the far future", [signedRecord(1, { generation: generation + 100_000 })], "far-future"],
  ["a record that never ends", [signedRecord(1, { version: 9, notAfterMs: wallMs + 10 ** 12 })], "far-future"],
  ["a record of the day before yesterday", [signedRecord(9, { notAfterMs: wallMs - 1 })], "expired"],
  ["a death at an incarnation that never was", [signedVerdict(1, 2, "closed", { incarnation: 7 })], undefined],
  [
    "deaths by observers that nobody has met",
    range(16, 50).map((number) => signedVerdict(number, 2, "closed")),
    undefined,
  ],
  ["one's own word against oneself", [signedVerdict(2, 2, "closed")], undefined],
];

test.each(attempts)("%s changes nothing", (_name, items, reason) => {
  const core = victim();
  const before = picture(core);
  expect(tell(core, 1, items, 10)).toEqual(reason === undefined ? [] : [reason]);
  core.round(now(5_000));
  expect(picture(core)).toBe(before);
});

test("a replayed frame changes nothing, however often it comes", () => {
  const core = victim();
  const old = encodeFrame(clusterId, { type: "news", items: [signedRecord(2, { keys: new Map([["zone", "z2"]]) })] });
  tell(core, 1, [signedRecord(2, { version: 2, keys: new Map([["zone", "moved"]]) })]);
  const before = picture(core);
  for (let time = 0; time < 1_000; time++) core.received(id(1), old, now(20));
  expect(refusals(core.takeEffects())).toEqual([]);
  expect(picture(core)).toBe(before);
});

test("a hundred thousand random, truncated and oversized frames are refused one by one, and nothing else happens", () => {
  const core = victim();
  const before = picture(core);
  const random = numbers(11);
  const genuine = encodeFrame(clusterId, { type: "news", items: [signedRecord(9), signedVerdict(1, 2, "closed")] });
  const oversized = new Uint8Array(limits.frameMaxBytes + 1);
  let refused = 0;
  for (let attempt = 0; attempt < 100_000; attempt++) {
    const kind = attempt % 10;
    const frame =
      kind === 0
        ? oversized
        : kind < 4
          ? genuine.subarray(0, random.uint32() % genuine.length)
          : random.bytes(random.uint32() % 64);
    if (attempt % 2 === 0) core.received(id(1), frame, now(30));
    else core.answer(id(1), frame, now(30));
    refused += refusals(core.takeEffects()).length;
  }
  expect(refused).toBe(100_000);
  expect(picture(core)).toBe(before);
});

test("floods of made-up nodes leave nothing where a door stands, and no more than there is room for where none does", () => {
  const guarded = coreOf(0, { isKnown: (node) => range(6).some((number) => id(number) === node) });
  for (const number of range(60, 100)) tell(guarded, 1, [signedRecord(number)]);
  expect(guarded.size).toBe(1);
  // What was turned away is not asked for again.
  const liar = coreOf(1);
  tell(
    liar,
    2,
    range(60, 100).map((number) => signedRecord(number)),
  );
  exchange(guarded, id(0), liar, id(1), 10);
  guarded.takeEffects();
  const digest = liar.answer(id(0), guarded.openRound(), now(20)) as Uint8Array;
  const question = guarded.digestReceived(id(1), digest, now(20));
  expect(question === undefined || question.length < 1_000).toBe(true);
});

test("whoever asks for everything at once gets one frame of the allowed size", () => {
  const core = victim();
  for (let key = 0; key < 30; key++) core.set(`k${key}`, "x".repeat(500), now(10));
  const prefixes = [...core.members()].map(({ record }) => record.id.slice(0, 16));
  const greedy: Frame = {
    type: "exchange",
    items: [],
    wants: range(limits.wantsMax).map((number) => ({
      prefix: prefixes[number % prefixes.length] as string,
      pages: number % 2 === 0 ? [] : [1, 2, 3],
    })),
  };
  const answer = core.answer(id(1), encodeFrame(clusterId, greedy), now(20)) as Uint8Array;
  expect(answer.length).toBeLessThanOrEqual(limits.frameMaxBytes);
});

test("two liars have a node dead for no longer than it takes the node to answer", () => {
  const core = victim();
  const accused = coreOf(4);
  tell(
    accused,
    1,
    range(5, 0)
      .filter((number) => number !== 4)
      .map((number) => signedRecord(number)),
  );
  const lies = [signedVerdict(1, 4, "closed"), signedVerdict(2, 4, "closed")];
  tell(core, 1, lies, 10);
  expect(core.member(id(4))?.standing.status).toBe("dead");
  // It speaks, and is told what is said of it.
  accused.round(now(20));
  const beat = encodeFrame(clusterId, { type: "beat", generation, incarnation: 0, sequence: 1 });
  core.received(id(4), beat, now(20));
  const reminders = core.takeEffects().filter((effect) => effect.type === "send" && effect.peer === id(4));
  expect(reminders).toHaveLength(1);
  for (const effect of reminders) if (effect.type === "send") accused.received(id(0), effect.frame, now(30));
  expect(accused.incarnation).toBeGreaterThan(0);
  exchange(accused, id(4), core, id(0), 40);
  expect(["alive", "suspect"]).toContain(core.member(id(4))?.standing.status);
});

test("a liar's lone suspicion reaches nobody but observers and its victim, and ends with the next sign of life", () => {
  const core = victim();
  const word = encodeFrame(clusterId, { type: "word", items: [signedVerdict(1, 3, "suspect")] });
  core.received(id(1), word, now(10));
  expect(core.member(id(3))?.standing.status).toBe("alive");
  const bystander = coreOf(6);
  exchange(core, id(0), bystander, id(6), 20);
  exchange(bystander, id(6), core, id(0), 30);
  const suspectedBy = (...accusers: readonly number[]): string | undefined => {
    tell(
      bystander,
      1,
      accusers.map((number) => signedVerdict(number, 3, "suspect")),
      40,
    );
    // Foreign news of a silence has to stand for a moment.
    bystander.round(now(500));
    return bystander.member(id(3))?.standing.status;
  };
  // Had the word of node 1 come here, that of node 2 would make two of them.
  expect(suspectedBy(2)).toBe("alive");
  tell(bystander, 1, [signedVerdict(1, 3, "suspect")], 500);
  bystander.round(now(900));
  expect(bystander.member(id(3))?.standing.status).toBe("suspect");
});
