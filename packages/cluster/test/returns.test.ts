import { parseNodeId, silentLogger, type Member, type MembershipChange, type NodeId } from "@revoada/fabric";
import { expect, test } from "vitest";
import { redialReturned } from "../src/loop/returns.ts";

const [first, second] = ["aa", "bb"].map((byte) => parseNodeId(byte.repeat(32))) as [NodeId, NodeId];

function member(id: NodeId, status: Member["status"], generation = 1): Member {
  return { id, status, generation, incarnation: 1, addresses: [], keys: new Map(), statusSinceMs: 0 };
}

function snapshot(...members: readonly Member[]): MembershipChange {
  return { type: "snapshot", view: { self: first, members: new Map(members.map((each) => [each.id, each])) } };
}

async function redialled(...changes: readonly MembershipChange[]): Promise<readonly NodeId[]> {
  const dialled: NodeId[] = [];
  await redialReturned({
    membership: {
      async *changes() {
        yield* changes;
      },
    },
    transport: { redial: (id) => void dialled.push(id) },
    logger: silentLogger,
    signal: new AbortController().signal,
  });
  return dialled;
}

test("a member that was dead and lives again is redialled, one that only falls silent is not", async () => {
  const dead = { type: "changed", member: member(second, "dead") } as const;
  const alive = { type: "changed", member: member(second, "alive") } as const;
  expect(await redialled(snapshot(member(second, "alive")), dead)).toEqual([]);
  expect(await redialled(snapshot(member(second, "alive")), dead, alive, alive)).toEqual([second]);
});

test("a member that restarted before anybody missed it is redialled", async () => {
  const anew = { type: "changed", member: member(second, "alive", 2) } as const;
  expect(await redialled(snapshot(member(second, "alive")), anew)).toEqual([second]);
});

test("whoever is seen for the first time, or again after it was forgotten, has lost nothing", async () => {
  const alive = { type: "changed", member: member(second, "alive") } as const;
  expect(await redialled(snapshot(member(first, "alive")), alive)).toEqual([]);
  expect(await redialled(snapshot(member(second, "dead")), { type: "forgotten", id: second }, alive)).toEqual([]);
});

test("what a snapshot after an overflow tells is compared with what was known", async () => {
  const states = [snapshot(member(second, "suspect")), snapshot(member(second, "alive"))];
  expect(await redialled(...states)).toEqual([second]);
  expect(await redialled(snapshot(member(second, "dead")), snapshot(), snapshot(member(second, "alive")))).toEqual([]);
});
