import type { Generation, NodeId, ReplicaId, StoreId } from "@revoada/fabric";
import { consensusContract, type ConsensusFixture, virtualTime } from "@revoada/fabric/contract/consensus";
import { virtualClock } from "@revoada/fabric/memory";
import { describe, test } from "vitest";
import { expectFailures } from "./references/defects.ts";
import { type ConsensusDefect, Oracle, OracleReplica } from "./references/oracle-consensus.ts";

const members: readonly ReplicaId[] = ["1", "2", "3", "4"].map((digit) => ({
  id: digit.repeat(64) as NodeId,
  storeId: digit.repeat(32) as StoreId,
}));

async function fixture(defect?: ConsensusDefect): Promise<ConsensusFixture> {
  const clock = virtualClock();
  const voters = members.slice(0, 3);
  const oracle = new Oracle(clock, { voters, learners: [], generation: 1 as Generation }, defect);
  return {
    time: virtualTime(clock, 10_000),
    voters,
    spare: members[3]!,
    replica: (id) =>
      new OracleReplica(
        oracle,
        members.find((member) => member.id === id)!,
      ),
    async crash(id) {
      const replica = oracle.replicas.get(id);
      if (replica !== undefined) oracle.remove(replica);
    },
    isolate: (id) => void oracle.isolated.add(id),
    heal: () => oracle.isolated.clear(),
    async [Symbol.asyncDispose]() {
      oracle.stop();
    },
  };
}

describe("a consensus that shares one log", () => {
  for (const { name, run } of consensusContract(() => fixture())) test(name, run);
});

const defects: Readonly<Record<ConsensusDefect, readonly string[]>> = {
  "needs no majority": ["a leader that is cut off commits nothing", "with the others gone a proposal"],
  "counts learners as voters": ["a learner is brought up to date and does not vote"],
  "loses the log when all are down": ["when every replica crashes at once"],
  "loses the last entry of a dead leader": ["when the leader crashes another takes over"],
  "applies what is forwarded twice": ["a proposal on a follower is forwarded", "proposals made at once"],
  "forwards nothing": ["a proposal on a follower is forwarded"],
  "answers before it applies": ["a proposal on the leader resolves with the machine's result"],
  "reads without asking": ["a read barrier on any replica", "with the others gone a proposal"],
  "keeps the term over an election": ["when the leader crashes another takes over in a later term"],
  "always believes in its majority": ["a leader that is cut off commits nothing"],
  "waits for ever": ["with the others gone a proposal", "a leader that is cut off commits nothing"],
  "skips no-ops": ["a proposal on the leader resolves"],
  "stops with the machine of another": ["a machine that throws stops its own replica"],
  "lets two lead": ["three voters agree on one leader"],
  "tells no listener": ["a change of leader is told to listeners"],
  "takes commands of any size": ["a command beyond any bound"],
  "looks at no signal": ["a proposal whose signal has aborted"],
  "serves after its end": ["a replica that was shut down is stopped"],
  "hands over to anyone": ["leadership cannot be handed over by a follower, nor to one that does not vote"],
  "hands over to nobody": ["leadership is handed over to the voter"],
  "lets followers change voters": ["only the leader changes voters"],
  "changes no voters": ["a dead voter is replaced", "a learner is brought up to date"],
  "writes down what is in force already": ["a configuration that is in force already"],
};

describe("a consensus that is broken on purpose is found out: it", () => {
  for (const [defect, fails] of Object.entries(defects)) {
    test(defect, () =>
      expectFailures(
        consensusContract(() => fixture(defect as ConsensusDefect)),
        fails,
      ),
    );
  }
});
