import type { NodeId } from "@revoada/fabric";
import { membershipContract, type MembershipFixture, virtualTime } from "@revoada/fabric/contract/membership";
import { virtualClock } from "@revoada/fabric/memory";
import { describe, test } from "vitest";
import { expectFailures } from "./references/defects.ts";
import { Gossip, type MembershipDefect, MemoryMembership } from "./references/memory-membership.ts";

const ids = ["1", "2", "3", "4", "5"].map((digit) => digit.repeat(64) as NodeId);

async function fixture(defect?: MembershipDefect): Promise<MembershipFixture> {
  const clock = virtualClock();
  const gossip = new Gossip(clock);
  const members = new Map<NodeId, MemoryMembership>();
  let generation = 0;
  const restart = async (id: NodeId): Promise<void> => {
    generation += 1;
    const member = new MemoryMembership(gossip, id, generation, defect);
    members.set(id, member);
    await member.start();
  };
  for (const id of ids) await restart(id);
  return {
    time: virtualTime(clock, 20_000),
    ids,
    member: (id) => members.get(id)!,
    async kill(id) {
      gossip.running.delete(id);
    },
    silence: (id) => void gossip.silenced.add(id),
    heal: () => gossip.silenced.clear(),
    restart,
    async [Symbol.asyncDispose]() {
      gossip.stop();
      for (const member of members.values()) await member.shutdown();
    },
  };
}

describe("a membership in memory", () => {
  for (const { name, run } of membershipContract(() => fixture())) test(name, run);
});

const defects: Readonly<Record<MembershipDefect, readonly string[]>> = {
  "hears nothing that others say": ["what a node says of itself reaches everybody"],
  "shows views that change": ["a view is a picture"],
  "takes any key": ["keys and values beyond their bounds"],
  "measures values in characters": ["keys and values beyond their bounds"],
  "begins streams without a snapshot": ["a stream of changes begins with a snapshot"],
  "keeps a backlog": ["a consumer that falls behind"],
  "kills in silence without suspecting": ["a silent node is suspected first"],
  "calls silence closed": ["a silent node is suspected first"],
  "accuses bystanders": ["a killed node is dead on closed evidence everywhere"],
  "never forgives": ["a node that was taken for dead in silence comes back"],
  "takes leaving for death": ["a node that leaves has left"],
  "keeps what a former life said": ["what a node says after its restart"],
  "keeps no graves": ["a forgotten member is gone"],
  "raises everybody's incarnation": ["raising the incarnation is seen"],
  "suspects strangers": ["phi is 0 for whoever is unknown"],
  "believes itself unfit": ["a healthy node believes itself"],
  "streams on after its end": ["shutting down ends streams"],
  "knows no addresses": ["members have generations, addresses"],
};

describe("a membership that is broken on purpose is found out: it", () => {
  for (const [defect, fails] of Object.entries(defects)) {
    test(defect, () =>
      expectFailures(
        membershipContract(() => fixture(defect as MembershipDefect)),
        fails,
      ),
    );
  }
});
