import type { Attestor, ChainHead, Formation, NodeId, Transition } from "@revoada/fabric";
import { applyTransition } from "@revoada/fabric";
import type { ChainRecord } from "@revoada/attest-blake3";
import { ChainVerifier, ed25519Verifier } from "@revoada/attest-blake3";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  admit,
  attestorOf,
  attestorOfId,
  ChainWriter,
  id,
  letters,
  node,
  sealBy,
  storeOf,
  testGenesis,
  writeStory,
} from "./support.ts";

const verifier = ed25519Verifier();
const { clusterId } = testGenesis;

function followerOf(writer: ChainWriter): ChainVerifier {
  return new ChainVerifier({ genesis: writer.genesis.bytes, clusterId, verifier });
}

function sortedIds(...wanted: readonly string[]): readonly NodeId[] {
  return wanted.map(id).toSorted();
}

describe("a follower of the chain", () => {
  test("derives the formation, the sealed head and who seals next", () => {
    const story = writeStory();
    const follower = followerOf(story);
    expect([...follower.sealVoters()]).toEqual([id("a")]);
    follower.advance(story.records.slice(1));
    expect(follower.head()).toEqual(story.head);
    expect(follower.sealed()).toEqual(story.head);
    expect(follower.formation()).toEqual(story.formation);
    expect(follower.sealedFormation()).toEqual(story.formation);
    expect([...follower.sealVoters()].toSorted()).toEqual(sortedIds("a", "b", "d"));
    expect(follower.awaitsVoterSeal()).toBe(false);
    expect(follower.blocksToCome()).toBe(0);
  });

  test("is told of each block where it stands in the log and what it did", () => {
    const story = writeStory();
    const follower = followerOf(story);
    const [first, second] = story.blocks() as [Uint8Array, Uint8Array];
    expect(follower.addBlock(first)).toMatchObject({
      height: 1,
      term: 1,
      index: 1,
      ordinal: 0,
      transition: admit("b"),
    });
    expect(follower.blocksToCome()).toBe(2);
    expect(follower.addBlock(second)).toMatchObject({ height: 2, ordinal: 1, transition: admit("c") });
  });

  test("keeps the old voters as those who seal until their seal covers the change", () => {
    const writer = new ChainWriter();
    writer.propose([admit("b"), admit("c")]);
    writer.propose([
      { verb: "promote", node: id("b"), role: "master", replica: "voter" },
      { verb: "promote", node: id("c"), role: "master", replica: "voter" },
    ]);
    const follower = followerOf(writer);
    for (const bytes of writer.blocks()) follower.addBlock(bytes);
    expect(follower.awaitsVoterSeal()).toBe(true);
    expect([...follower.sealVoters()]).toEqual([id("a")]);
    follower.addSeal(sealBy([node("a")], clusterId, writer.head));
    expect(follower.awaitsVoterSeal()).toBe(false);
    expect([...follower.sealVoters()].toSorted()).toEqual(sortedIds("a", "b", "c"));
  });

  test("takes a seal that comes late, over a block below the head, and has the formation of that block", () => {
    const writer = new ChainWriter();
    writer.propose([admit("b"), admit("c")]);
    const early = { head: writer.head, formation: writer.formation };
    writer.propose([admit("d"), { verb: "cordon", node: id("b") }]);
    const follower = followerOf(writer);
    for (const bytes of writer.blocks()) follower.addBlock(bytes);
    follower.addSeal(sealBy([node("a")], clusterId, early.head));
    expect(follower.sealed()).toEqual(early.head);
    expect(follower.sealedFormation()).toEqual(early.formation);
    follower.addSeal(sealBy([node("a")], clusterId, writer.head));
    expect(follower.sealedFormation()).toEqual(writer.formation);
  });

  test("is left as it was by anything that is refused", () => {
    const story = writeStory();
    const follower = followerOf(story);
    for (const { kind, bytes } of story.records.slice(1)) {
      const before = [follower.head(), follower.sealed(), follower.formation(), follower.blocksToCome()];
      const damaged = bytes.slice();
      damaged[damaged.length - 1] = (damaged[damaged.length - 1] as number) ^ 1;
      damaged[20] = (damaged[20] as number) ^ 1;
      expect(() => (kind === "block" ? follower.addBlock(damaged) : follower.addSeal(damaged))).toThrow(
        expect.objectContaining({ code: "CHAIN_INVALID" }),
      );
      expect([follower.head(), follower.sealed(), follower.formation(), follower.blocksToCome()]).toEqual(before);
      if (kind === "block") follower.addBlock(bytes);
      else follower.addSeal(bytes);
    }
    expect(follower.sealed()).toEqual(story.head);
  });

  test("takes an admission proof all or nothing, and only with its seal", () => {
    const writer = new ChainWriter();
    writer.propose([admit("b"), admit("c")]);
    const unsealed = writer.records.slice(1);
    const follower = followerOf(writer);
    expect(() => follower.advance(unsealed)).toThrow(
      expect.objectContaining({ fault: expect.objectContaining({ reason: "bad-seal" }) }),
    );
    expect(follower.head()).toEqual({ height: 0, hash: clusterId });
    writer.seal("a");
    const proof = writer.records.slice(1);
    expect(() => follower.advance([...proof, writer.records[0] as ChainRecord])).toThrow("a genesis in the middle");
    expect(follower.head().height).toBe(0);
    follower.advance(proof);
    expect(follower.sealedFormation().nodes.has(id("c"))).toBe(true);
  });

  test("goes on from a fork on its own", () => {
    const writer = new ChainWriter();
    writer.propose([admit("b"), admit("c")]);
    const follower = followerOf(writer);
    follower.addBlock(writer.blocks()[0] as Uint8Array);
    const fork = follower.fork();
    fork.addBlock(writer.blocks()[1] as Uint8Array);
    expect(fork.head()).toEqual(writer.head);
    expect(follower.head().height).toBe(1);
    follower.addBlock(writer.blocks()[1] as Uint8Array);
    follower.addSeal(sealBy([node("a")], clusterId, writer.head));
    expect(fork.sealed()).toBeUndefined();
  });
});

/** One step of a history: transitions to try on nodes by number, and whether the head is sealed afterwards. */
interface HistoryStep {
  readonly verbs: readonly { readonly verb: string; readonly who: number; readonly detail: number }[];
  readonly seal: boolean;
}

const verbNames = [
  "pair",
  "swap",
  "admit",
  "promote",
  "seat",
  "demote",
  "settle",
  "depart",
  "evict",
  "forget",
  "cordon",
  "restore",
  "remove",
];

const history: fc.Arbitrary<readonly HistoryStep[]> = fc.array(
  fc.record({
    verbs: fc.array(fc.record({ verb: fc.constantFrom(...verbNames), who: fc.nat(4), detail: fc.nat(5) }), {
      minLength: 1,
      maxLength: 6,
    }),
    seal: fc.boolean(),
  }),
  { minLength: 10, maxLength: 30 },
);

/** What the step of a history asks for; `pair` and `swap` keep the number of voters odd. */
function transitionsOf(step: HistoryStep["verbs"][number]): readonly Transition[] {
  if (step.verb !== "pair" && step.verb !== "swap") return [transitionOf(step)];
  const other = { ...step, who: (step.who + 1) % 5 };
  const raise = (who: HistoryStep["verbs"][number]): readonly Transition[] => [
    transitionOf({ ...who, verb: "admit" }),
    transitionOf({ ...who, verb: "promote", detail: 0 }),
  ];
  const lower = transitionOf({ ...step, verb: "seat", detail: 5 });
  return step.verb === "pair" ? [...raise(step), ...raise(other)] : [lower, ...raise(other)];
}

function transitionOf({ verb, who, detail }: HistoryStep["verbs"][number]): Transition {
  // Never the founder: somebody whose key is known has to propose.
  const letter = letters[1 + who] as string;
  const replica = (["voter", "voter", "voter", "voter", "learner", "none"] as const)[detail] ?? "none";
  if (verb === "admit") {
    const { admission } = admit(letter) as Extract<Transition, { verb: "admit" }>;
    return {
      verb,
      node: id(letter),
      admission: { ...admission, generation: 1 + detail, storeId: storeOf(String(detail)) },
    };
  }
  if (verb === "promote") return { verb, node: id(letter), role: detail < 4 ? "master" : "worker", replica };
  if (verb === "seat") return { verb, node: id(letter), replica };
  return { verb, node: id(letter) } as Transition;
}

interface PlayedHistory {
  readonly writer: ChainWriter;
  readonly follower: ChainVerifier;
  readonly voterChanges: number;
}

/** Those that the table lists, one after another. */
function legalOnes(formation: Formation, wanted: readonly Transition[]): readonly Transition[] {
  let current = formation;
  return wanted.filter((transition) => {
    try {
      current = applyTransition(current, transition, 0);
      return true;
    } catch {
      return false;
    }
  });
}

/** Commits what is legal, seals as leaders do, and lets a follower watch. */
function play(steps: readonly HistoryStep[]): PlayedHistory {
  const writer = new ChainWriter();
  const follower = followerOf(writer);
  let voterChanges = 0;
  const seal = (): void => {
    if (follower.sealed()?.height === writer.head.height || writer.head.height === 0) return;
    const voters = [...follower.sealVoters()].toSorted();
    const signers = voters.slice(0, Math.floor(voters.length / 2) + 1).map(attestorOfId);
    const bytes = sealBy(signers, clusterId, writer.head);
    writer.records.push({ kind: "seal", bytes });
    follower.addSeal(bytes);
  };
  for (const step of steps) {
    if (follower.awaitsVoterSeal()) seal();
    const before = writer.records.length;
    try {
      writer.propose(legalOnes(writer.formation, step.verbs.flatMap(transitionsOf)));
    } catch {
      // Nothing was left of it, or an even number of voters would be.
    }
    for (const { bytes } of writer.records.slice(before)) follower.addBlock(bytes);
    if (follower.awaitsVoterSeal()) voterChanges += 1;
    if (step.seal) seal();
  }
  return { writer, follower, voterChanges };
}

describe("any history", () => {
  test("that honest nodes commit verifies, with the formation and the sealed head that they had", () => {
    let blocks = 0;
    let changes = 0;
    fc.assert(
      fc.property(history, (steps) => {
        const { writer, follower, voterChanges } = play(steps);
        const verdict = node("f").verifyChain(writer.file(), clusterId);
        const sealed = follower.sealed();
        expect(verdict).toEqual({
          ok: true,
          clusterId,
          head: writer.head,
          ...(sealed === undefined ? {} : { sealed }),
          generation: writer.formation.generation,
          recoveries: [],
        });
        expect(follower.formation()).toEqual(writer.formation);
        blocks += writer.head.height;
        changes += voterChanges;
      }),
      { numRuns: 60, seed: 11 },
    );
    expect(blocks).toBeGreaterThan(200);
    expect(changes).toBeGreaterThan(30);
  });
});

/** What a thief tries: blocks by his own rules and seals by whoever's keys he has. */
const attack = fc.array(
  fc.record({
    verbs: fc.array(fc.record({ verb: fc.constantFrom("evict", "unseat", "seat-own", "cordon"), who: fc.nat(4) }), {
      minLength: 1,
      maxLength: 4,
    }),
    proposer: fc.boolean(),
    signers: fc.subarray(["stolen", "own-1", "own-2", "own-3"], { minLength: 1 }),
    seal: fc.boolean(),
  }),
  { minLength: 1, maxLength: 5 },
);

describe("whoever stole the key of one voter of three", () => {
  const thieves: ReadonlyMap<string, Attestor> = new Map([
    ["stolen", node("b")],
    ["own-1", attestorOf("x")],
    ["own-2", attestorOf("y")],
    ["own-3", attestorOf("z")],
  ]);
  const thiefIds = [...thieves.values()].map(({ identity }) => identity.id);

  function forged(verb: string, who: number): Transition[] {
    const victim = id(["a", "d", "e", "c", "a"][who] as string);
    const own = thiefIds[1 + (who % 3)] as NodeId;
    if (verb === "evict") return [{ verb, node: victim }];
    if (verb === "unseat") return [{ verb: "seat", node: victim, replica: "none" }];
    if (verb === "cordon") return [{ verb, node: victim }];
    const admission = { storeId: storeOf("x"), generation: 1, incarnation: 0, zone: "", version: "" };
    return [
      { verb: "admit", node: own, admission },
      { verb: "promote", node: own, role: "master", replica: "voter" },
    ];
  }

  function forge(writer: ChainWriter, transitions: readonly Transition[], thief: Attestor): void {
    const command = { ...writer.command(transitions), proposer: thief.identity.id };
    try {
      writer.append(command, thief.signCommand(command));
    } catch {
      // Not even he can make blocks of what the table refuses.
    }
  }

  function sealByThieves(signers: readonly string[], head: ChainHead): Uint8Array {
    return sealBy(
      signers.map((name) => thieves.get(name) as Attestor),
      clusterId,
      head,
    );
  }

  test("cannot have a block sealed, whatever he proposes, seats and signs", () => {
    let forgedBlocks = 0;
    let forgedVoters = 0;
    fc.assert(
      fc.property(attack, (steps) => {
        const writer = writeStory();
        const honest = writer.head;
        const follower = followerOf(writer);
        follower.advance(writer.records.slice(1));
        for (const step of steps) {
          const before = writer.records.length;
          const proposer = (step.proposer ? thieves.get("stolen") : thieves.get("own-1")) as Attestor;
          forge(
            writer,
            step.verbs.flatMap(({ verb, who }) => forged(verb, who)),
            proposer,
          );
          const blocks = writer.records.slice(before);
          try {
            for (const { bytes } of blocks) follower.addBlock(bytes);
            forgedBlocks += blocks.length;
            if (follower.awaitsVoterSeal()) forgedVoters += 1;
          } catch (error) {
            expect(error).toMatchObject({ code: "CHAIN_INVALID" });
          }
          if (!step.seal) continue;
          const seal = sealByThieves(step.signers, follower.head());
          expect(() => follower.addSeal(seal)).toThrow(expect.objectContaining({ code: "CHAIN_INVALID" }));
        }
        expect(follower.sealed()).toEqual(honest);
      }),
      { numRuns: 80, seed: 5 },
    );
    // Otherwise nothing was tried.
    expect(forgedBlocks).toBeGreaterThan(20);
    expect(forgedVoters).toBeGreaterThan(0);
  });

  test("is refused by a follower even where his chain is well formed but for the seal", () => {
    const writer = writeStory();
    const proof = writer.records.slice(1);
    forge(writer, [...forged("seat-own", 0), ...forged("seat-own", 1)], node("b"));
    expect(writer.head.height).toBe(15);
    writer.records.push({ kind: "seal", bytes: sealByThieves(["stolen", "own-1", "own-2"], writer.head) });
    expect(node("a").verifyChain(writer.file(), clusterId)).toMatchObject({
      ok: false,
      fault: { reason: "bad-seal", height: 15 },
    });
    const follower = followerOf(writer);
    follower.advance(proof);
    const before = follower.head();
    expect(() => follower.advance(writer.records.slice(1 + proof.length))).toThrow(
      expect.objectContaining({ code: "CHAIN_INVALID" }),
    );
    expect(follower.head()).toEqual(before);
  });
});
