import { blake3Attestor, identityFromSeed } from "@revoada/attest-blake3";
import { FabricError, type ApprovalStatement, type NodeId, type StoreId, type Transition } from "@revoada/fabric";
import { expect, test } from "vitest";
import type { NodeClient } from "../src/client.ts";
import { orderSigned } from "../src/operator/sign-off.ts";

const [founder, operator, stranger] = [1, 2, 3].map((seed) =>
  blake3Attestor(identityFromSeed(new Uint8Array(32).fill(seed))),
) as [Signer, Signer, Signer];
type Signer = ReturnType<typeof blake3Attestor>;
const gone = "9".repeat(64) as NodeId;

const genesis = founder.createGenesis({
  nonce: new Uint8Array(32),
  createdMs: 1,
  declaration: Uint8Array.of(1),
  storeId: "5".repeat(32) as StoreId,
  zone: "",
  version: "1",
  operators: [operator.identity.id],
});
const { clusterId } = genesis;
const head = { height: 0, hash: clusterId as string as ApprovalStatement["head"]["hash"] };

/** A node whose order waits for one approval after the other, and what was approved of. */
function nodeThatWaits(...steps: readonly Transition[]) {
  const approved: Transition[] = [];
  const waiting = (): readonly ApprovalStatement[] => {
    const next = steps[approved.length];
    const others: readonly Transition[] = [{ verb: "demote", node: gone }];
    return [others, ...(next === undefined ? [] : [[next]])].map((transitions) => ({
      clusterId,
      head,
      transitions,
      reason: "an operator says so",
    }));
  };
  const client: Pick<NodeClient, "pending" | "chainExport" | "approve"> = {
    pending: async () => ({
      cluster: clusterId,
      waiting: waiting().map((statement) => ({ statement, kind: "order", sinceMs: 1 })),
      dropped: [],
    }),
    chainExport: async () => founder.exportChain({ genesis: genesis.bytes, blocks: [], seals: [] }),
    approve: async (statement, approval) => {
      if (!founder.checkApproval(statement, approval)) throw new FabricError("CHAIN_OTHER_APPROVAL", "a bad signature");
      approved.push(...statement.transitions);
      return approved.length;
    },
  };
  const order = async (): Promise<string> => {
    if (approved.length < steps.length) throw new FabricError("CLUSTER_AWAITS_OPERATOR", "it waits");
    return "done";
  };
  return { approved, node: client as NodeClient, order };
}

const steps: readonly Transition[] = [
  { verb: "quarantine", node: gone },
  { verb: "remove", node: gone },
];
const isPart = ({ transitions }: Pick<ApprovalStatement, "transitions">): boolean =>
  transitions.every(({ verb }) => verb === "quarantine" || verb === "remove");

test("an order that takes two shifts is signed for twice, and what else waits is not signed for", async () => {
  const { approved, node, order } = nodeThatWaits(...steps);
  expect(await orderSigned(node, operator, order, isPart)).toBe("done");
  expect(approved).toEqual(steps);
});

test("an order that is done with one approval ends with it", async () => {
  const { approved, node, order } = nodeThatWaits(...steps);
  const ended = (generation: number): string => `generation ${generation}`;
  expect(await orderSigned(node, operator, order, isPart, ended)).toBe("generation 1");
  expect(approved).toEqual(steps.slice(0, 1));
});

test("an order is not given with a key that is not in force, and waits where no part of it is found", async () => {
  const { approved, node, order } = nodeThatWaits(...steps);
  let orders = 0;
  const counted = (): Promise<string> => {
    orders += 1;
    return order();
  };
  await expect(orderSigned(node, stranger, counted, isPart)).rejects.toMatchObject({ code: "OPERATOR_KEY_UNKNOWN" });
  expect(orders).toBe(0);
  await expect(orderSigned(node, operator, counted, () => false)).rejects.toMatchObject({
    code: "CLUSTER_AWAITS_OPERATOR",
  });
  expect([orders, approved]).toEqual([1, []]);
});
