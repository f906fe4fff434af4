import type { Generation, NodeId } from "../../ids.ts";
import { bytesOf, check, equal, rejects } from "../case.ts";
import type { Body, Running } from "./replicas.ts";

const next = (generation: number): Generation => (generation + 1) as Generation;

function voterIds({ consensus }: Running): readonly NodeId[] {
  return consensus
    .status()
    .configuration.voters.map(({ id }) => id)
    .toSorted();
}

/** Who votes and who leads. */
export const configurationCases: Readonly<Record<string, Body>> = {
  "leadership is handed over to the voter that was named": async (replicas) => {
    const leader = await replicas.leader();
    const [heir] = replicas.others(leader);
    if (heir === undefined) return;
    await replicas.propose(leader, "before");
    await replicas.time.run(leader.consensus.transferLeadership(heir.member.id));
    await replicas.time.until(() => heir.consensus.status().role === "leader");
    await replicas.insist(async () => heir, "after");
    await replicas.expectCommands(["before", "after"]);
    check(leader.consensus.status().role !== "leader", "the old leader still leads");
  },

  "leadership cannot be handed over by a follower, nor to one that does not vote": async (replicas) => {
    const leader = await replicas.leader();
    const [follower] = replicas.others(leader);
    const { spare } = replicas.fixture;
    if (follower === undefined) return;
    const byFollower = follower.consensus.transferLeadership(follower.member.id);
    await rejects(replicas.time.run(byFollower), ["RAFT_NOT_LEADER"], "a follower's transfer");
    await rejects(
      replicas.time.run(leader.consensus.transferLeadership(spare.id)),
      ["RAFT_TRANSFER_FAILED"],
      "to the spare",
    );
    await replicas.insist(() => replicas.leader(), "still served");
  },

  "a transfer to a voter that is gone fails, and the leader goes on": async (replicas) => {
    const leader = await replicas.leader();
    const [victim] = replicas.others(leader);
    if (victim === undefined) return;
    await replicas.crash(victim.member.id);
    const transfer = leader.consensus.transferLeadership(victim.member.id);
    await rejects(replicas.time.run(transfer), ["RAFT_TRANSFER_FAILED"], "the transfer");
    await replicas.insist(() => replicas.leader(), "still served");
  },

  "a learner is brought up to date and does not vote": async (replicas) => {
    const leader = await replicas.leader();
    const { spare, voters } = replicas.fixture;
    const expected = Array.from({ length: 30 }, (_, index) => `before ${index}`);
    for (const command of expected) await replicas.propose(leader, command);
    const generation = next(leader.consensus.status().configuration.generation);
    await replicas.time.run(leader.consensus.changeVoters({ voters, learners: [spare], generation }));
    await replicas.expectCommands(expected, [replicas.of(spare.id)]);
    const learner = replicas.of(spare.id).consensus;
    await replicas.time.until(() => learner.status().configuration.generation === generation);
    const status = learner.status();
    equal(status.role, "learner", "its role");
    equal(status.configuration.learners, [spare], "the learners that it knows");
    for (const { member } of replicas.others(leader)) await replicas.crash(member.id);
    const alone = replicas.time.run(leader.consensus.propose(bytesOf("with a learner's help")));
    await rejects(
      alone,
      ["RAFT_NO_QUORUM", "RAFT_NOT_LEADER", "RAFT_OUTCOME_UNKNOWN"],
      "a proposal without a majority of voters",
    );
  },

  "a dead voter is replaced in one change, and the new voter's vote counts": async (replicas) => {
    const leader = await replicas.leader();
    const [victim, remaining] = replicas.others(leader);
    const { spare } = replicas.fixture;
    if (victim === undefined || remaining === undefined) return;
    await replicas.propose(leader, "before");
    await replicas.crash(victim.member.id);
    const generation = next(leader.consensus.status().configuration.generation);
    const voters = [leader.member, remaining.member, spare];
    await replicas.time.run(leader.consensus.changeVoters({ voters, learners: [], generation }));
    const { configuration, configurationIndex, commitIndex } = leader.consensus.status();
    equal(voterIds(leader), voters.map(({ id }) => id).toSorted(), "the voters");
    equal(
      [configuration.outgoing, configuration.generation],
      [undefined, generation],
      "outgoing voters and generation",
    );
    check(configurationIndex <= commitIndex, "the configuration is not committed");
    await replicas.crash(remaining.member.id);
    await replicas.insist(() => replicas.leader(), "by the leader and the new voter");
    const { machine } = replicas.of(spare.id);
    await replicas.time.until(() => machine.commands.length === 2);
    equal(machine.commands, ["before", "by the leader and the new voter"], "the commands of the new voter");
  },

  "a leader that is voted out leads to the end of the change, and others take over": async (replicas) => {
    const leader = await replicas.leader();
    const { spare } = replicas.fixture;
    const others = replicas.others(leader).map(({ member }) => member);
    const generation = next(leader.consensus.status().configuration.generation);
    await replicas.time.run(leader.consensus.changeVoters({ voters: [...others, spare], learners: [], generation }));
    const successor = await replicas.leader(({ member }) => member.id !== leader.member.id);
    await replicas.insist(() => replicas.leader(({ member }) => member.id !== leader.member.id), "after");
    equal(voterIds(successor), [...others, spare].map(({ id }) => id).toSorted(), "the voters");
    await replicas.time.until(() => replicas.of(spare.id).machine.commands.includes("after"));
  },

  "a configuration that is in force already is no change": async (replicas) => {
    const leader = await replicas.leader();
    await replicas.propose(leader, "something");
    const before = leader.consensus.status();
    const { voters, learners, generation } = before.configuration;
    await replicas.time.run(leader.consensus.changeVoters({ voters, learners, generation }));
    const after = leader.consensus.status();
    equal(after.configurationIndex, before.configurationIndex, "the index of the configuration");
    equal(after.lastIndex, before.lastIndex, "the last index");
  },

  "only the leader changes voters": async (replicas) => {
    const leader = await replicas.leader();
    const [follower] = replicas.others(leader);
    const { spare, voters } = replicas.fixture;
    if (follower === undefined) return;
    const generation = next(leader.consensus.status().configuration.generation);
    const change = follower.consensus.changeVoters({ voters, learners: [spare], generation });
    await rejects(replicas.time.run(change), ["RAFT_NOT_LEADER"], "the change");
  },

  "a change survives the crash of everybody": async (replicas) => {
    const leader = await replicas.leader();
    const { spare, voters } = replicas.fixture;
    const generation = next(leader.consensus.status().configuration.generation);
    await replicas.time.run(leader.consensus.changeVoters({ voters, learners: [spare], generation }));
    await replicas.propose(leader, "before");
    for (const { id } of [...voters, spare]) await replicas.crash(id);
    await replicas.startAll();
    const again = await replicas.leader();
    await replicas.insist(() => replicas.leader(), "after");
    equal(again.consensus.status().configuration.generation, generation, "the generation");
    equal(again.consensus.status().configuration.learners, [spare], "the learners");
    await replicas.expectCommands(["before", "after"], [...replicas.voting(), replicas.of(spare.id)]);
  },
};
