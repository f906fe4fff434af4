import type { Generation, Hash, LogIndex, NodeId, ReplicationView, Transition } from "@revoada/fabric";
import { virtualClock } from "@revoada/fabric/memory";
import { describe, expect, test } from "vitest";
import { Hindsight } from "../src/loop/hindsight.ts";
import { encodeDecided, encodeDecision } from "../src/machine/decision.ts";
import { nodeId } from "./doubles/keys.ts";
import { MachineKit } from "./doubles/machine-kit.ts";
import { testAttestor } from "./doubles/test-attestor.ts";

const [a, b] = [nodeId("a"), nodeId("b")];

function replication(matches: Readonly<Record<string, number>>): ReplicationView {
  const ids = Object.keys(matches) as NodeId[];
  return {
    commitIndex: 1000 as LogIndex,
    matchIndex: new Map(ids.map((id) => [id, matches[id] as LogIndex])),
    voters: new Set(ids),
    learners: new Set(),
    configurationGeneration: 0 as Generation,
    joint: false,
  };
}

describe("what a leader remembers of replicas", () => {
  test("is how long each has been behind without a break, in this term", () => {
    const clock = virtualClock();
    const hindsight = new Hindsight({ store: MachineKit.founded().store, clock });
    const behind = (term: number, matches: Readonly<Record<string, number>>): unknown =>
      [...hindsight.behindMs(term, replication(matches), 10)].map(([id, ms]) => [id, ms]);
    expect(behind(1, { [a]: 990, [b]: 989 })).toEqual([[b, 0]]);
    clock.advance(700);
    expect(behind(1, { [a]: 990, [b]: 989 })).toEqual([[b, 700]]);
    expect(behind(1, { [a]: 990, [b]: 990 })).toEqual([]);
    clock.advance(100);
    expect(behind(1, { [a]: 990, [b]: 5 })).toEqual([[b, 0]]);
    clock.advance(100);
    expect(behind(2, { [a]: 990, [b]: 5 })).toEqual([[b, 0]]);
    clock.advance(100);
    expect(behind(2, { [a]: 990 })).toEqual([]);
  });

  test("is whom the log's decisions have given up, whoever led then", () => {
    const kit = MachineKit.founded();
    const cordon: readonly Transition[] = [{ verb: "cordon", node: a }];
    const inputs = { givenUp: b, atMs: 77 };
    const decision = encodeDecision({ kind: "give-up", transitions: cordon, reason: "it is behind", inputs });
    const decisionHash: Hash = testAttestor("a").hash(decision);
    const hindsight = new Hindsight({ store: kit.store, clock: virtualClock() });
    expect(hindsight.givenUp(kit.state.formation.generation)).toEqual(new Map());
    kit.send("decided", encodeDecided(kit.command(cordon, { decisionHash }), decision));
    expect(hindsight.givenUp(kit.state.formation.generation)).toEqual(new Map([[b, 77]]));
  });
});
