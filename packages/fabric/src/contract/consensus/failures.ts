import { bytesOf, check, ContractViolation, equal, rejects, started } from "../case.ts";
import { ListMachine, poison } from "./list-machine.ts";
import type { Body, Replicas } from "./replicas.ts";

/** Every way in which a proposal may fail where there is no majority. */
const withoutQuorum = ["RAFT_NO_QUORUM", "RAFT_NOT_LEADER", "RAFT_OUTCOME_UNKNOWN"];

/** Waits until somebody of those still connected leads. */
async function leaderApartFrom(replicas: Replicas, id: string): ReturnType<Replicas["leader"]> {
  return replicas.leader(({ member }) => member.id !== id);
}

/** Crashes and partitions. */
export const failureCases: Readonly<Record<string, Body>> = {
  "when the leader crashes another takes over in a later term, and what was acknowledged is there": async (
    replicas,
  ) => {
    const leader = await replicas.leader();
    const { term } = leader.consensus.status();
    for (let round = 0; round < 5; round += 1) await replicas.propose(leader, `before ${round}`);
    await replicas.crash(leader.member.id);
    const next = await replicas.leader();
    check(next.consensus.status().term > term, `the new term is ${next.consensus.status().term}, the old was ${term}`);
    await replicas.insist(() => replicas.leader(), "after");
    await replicas.expectCommands([...[0, 1, 2, 3, 4].map((round) => `before ${round}`), "after"]);
  },

  "a crashed replica comes back and catches up": async (replicas) => {
    const leader = await replicas.leader();
    const [victim] = replicas.others(leader);
    if (victim === undefined) return;
    await replicas.propose(leader, "before");
    await replicas.crash(victim.member.id);
    for (let round = 0; round < 20; round += 1) await replicas.propose(leader, `meanwhile ${round}`);
    const again = await replicas.start(victim.member);
    const expected = ["before", ...Array.from({ length: 20 }, (_, round) => `meanwhile ${round}`)];
    await replicas.expectCommands(expected, [again]);
    await replicas.insist(() => replicas.leader(), "after");
    await replicas.expectCommands([...expected, "after"]);
  },

  "when every replica crashes at once, everything acknowledged is there afterwards": async (replicas) => {
    const leader = await replicas.leader();
    const expected: string[] = [];
    for (let round = 0; round < 10; round += 1) {
      await replicas.propose(leader, `write ${round}`);
      expected.push(`write ${round}`);
    }
    for (const { member } of replicas.voting()) await replicas.crash(member.id);
    for (const member of replicas.fixture.voters) await replicas.start(member);
    await replicas.insist(() => replicas.leader(), "after");
    await replicas.expectCommands([...expected, "after"]);
  },

  "a leader that is cut off commits nothing, and says so in bounded time": async (replicas) => {
    const leader = await replicas.leader();
    await replicas.propose(leader, "before");
    replicas.fixture.isolate(leader.member.id);
    const proposal = replicas.time.run(leader.consensus.propose(bytesOf("alone")));
    await rejects(proposal, withoutQuorum, "the proposal");
    const barrier = replicas.time.run(leader.consensus.readBarrier({ timeoutMs: 5000 }));
    await rejects(barrier, [], "the read barrier");
    equal(leader.machine.commands, ["before"], "what the isolated leader applied");
    await replicas.time.until(() => !leader.consensus.status().quorum);
  },

  "the majority goes on without its leader, and the one that was cut off follows when it is back": async (replicas) => {
    const leader = await replicas.leader();
    await replicas.propose(leader, "before");
    replicas.fixture.isolate(leader.member.id);
    const lost = started(leader.consensus.propose(bytesOf("maybe")));
    const next = await leaderApartFrom(replicas, leader.member.id);
    await replicas.propose(next, "meanwhile");
    const outcome = await replicas.time.run(
      lost.then(
        () => "committed",
        (error: { code?: string }) => String(error.code),
      ),
    );
    replicas.fixture.heal();
    await replicas.time.until(() => leader.machine.commands.includes("meanwhile"));
    await replicas.insist(() => replicas.leader(), "after");
    await replicas.time.until(() => replicas.voting().every(({ machine }) => machine.commands.includes("after")));
    for (const { machine } of replicas.voting()) {
      equal(machine.commands, next.machine.commands, "the commands");
      const times = machine.commands.filter((command) => command === "maybe").length;
      check(times <= 1, `"maybe" was applied ${times} times`);
      if (outcome === "committed") equal(times, 1, "how often an acknowledged write is there");
      if (outcome === "RAFT_NO_QUORUM" || outcome === "RAFT_NOT_LEADER")
        equal(times, 0, "how often a refused write is there");
    }
  },

  "a follower that is cut off is no obstacle, and deposes nobody when it is back": async (replicas) => {
    const leader = await replicas.leader();
    const [follower] = replicas.others(leader);
    if (follower === undefined) return;
    replicas.fixture.isolate(follower.member.id);
    await replicas.propose(leader, "without it");
    await replicas.time.until(() => !follower.consensus.status().quorum);
    const { term } = leader.consensus.status();
    replicas.fixture.heal();
    await replicas.expectCommands(["without it"]);
    const status = leader.consensus.status();
    equal([status.role, status.term], ["leader", term], "the leader's role and term");
  },

  "with the others gone a proposal and a read barrier reject in bounded time": async (replicas) => {
    const leader = await replicas.leader();
    for (const { member } of replicas.others(leader)) await replicas.crash(member.id);
    await rejects(replicas.time.run(leader.consensus.propose(bytesOf("alone"))), withoutQuorum, "the proposal");
    await rejects(replicas.time.run(leader.consensus.propose(bytesOf("again"))), withoutQuorum, "the next one");
    await rejects(replicas.time.run(leader.consensus.readBarrier()), [], "the read barrier");
    equal(leader.machine.commands, [], "what was applied");
  },

  "proposals that a failover meets are applied at most once, those that resolved exactly once": async (replicas) => {
    const leader = await replicas.leader();
    const [follower] = replicas.others(leader);
    if (follower === undefined) return;
    const names = Array.from({ length: 40 }, (_, index) => `command ${index}`);
    const proposals = names.map((name) => started(follower.consensus.propose(bytesOf(name))));
    await replicas.crash(leader.member.id);
    const outcomes = await replicas.time.run(Promise.allSettled(proposals));
    const next = await replicas.leader();
    await replicas.insist(() => replicas.leader(), "after");
    for (const [index, outcome] of outcomes.entries()) {
      const times = next.machine.commands.filter((command) => command === names[index]).length;
      check(times <= 1, `${names[index]} was applied ${times} times`);
      if (outcome.status === "fulfilled") equal(times, 1, `how often ${names[index]} was applied`);
      else if ((outcome.reason as { code?: string }).code !== "RAFT_OUTCOME_UNKNOWN") {
        equal(times, 0, `how often the refused ${names[index]} was applied`);
      }
    }
  },

  "a machine that throws stops its own replica and no other": async (replicas) => {
    const leader = await replicas.leader();
    const [victim] = replicas.others(leader);
    if (victim === undefined) return;
    await replicas.crash(victim.member.id);
    const fragile = await replicas.start(victim.member, new ListMachine({ isFragile: true }));
    await replicas.propose(leader, poison);
    await replicas.time.until(() => fragile.consensus.status().role === "stopped");
    await replicas.propose(leader, "the others go on");
    check(leader.machine.commands.includes("the others go on"), "the leader did not apply");
    if (fragile.machine.commands.includes(poison)) throw new ContractViolation("what threw counts as applied");
  },
};
