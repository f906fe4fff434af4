import { topologyStrategyContract } from "@revoada/fabric/contract/topology-strategy";
import { describe, test } from "vitest";
import { expectFailures } from "./references/defects.ts";
import { threeMasters, type TopologyDefect } from "./references/quorum-topology.ts";

describe("a topology of three masters", () => {
  for (const { name, run } of topologyStrategyContract(() => threeMasters())) test(name, run);
});

const defects: Readonly<Record<TopologyDefect, readonly string[]>> = {
  "promotes the lost": ["no lost node is ever given a role", "losing everybody leaves nobody"],
  "promotes strangers": ["it gives roles to eligible nodes only", "no lost node is ever given a role"],
  "deals roles in the order of the list": ["the same nodes in another order"],
  "starts anew at every loss": ["masters that survive stay masters"],
  "starts anew for every newcomer": ["a newcomer takes no role away"],
  "forgets to replace": ["after a loss that leaves enough nodes the shape stands again"],
  "finds every shape right": ["what is not the shape is said"],
  "names no code": ["what is not the shape is said"],
  "changes what it is given": ["it leaves what it is given"],
  "wants more masters than there are": ["it wants at least one master", "it gives the number of masters"],
  "makes one master more than it says": ["it gives the number of masters that it says"],
  "gives out the bootstrap role": ["it gives roles to eligible nodes only"],
  "is never the same twice": ["the same nodes in another order", "reacting is deterministic"],
};

describe("a topology that is broken on purpose is found out: it", () => {
  for (const [defect, fails] of Object.entries(defects)) {
    test(defect, () =>
      expectFailures(
        topologyStrategyContract(() => threeMasters(defect as TopologyDefect)),
        fails,
      ),
    );
  }
});
