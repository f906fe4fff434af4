import { bytesOf, check, equal, rejects, started, textOf } from "../case.ts";
import type { Body } from "./replicas.ts";

/** Far beyond what any log takes as one command. */
const oversizeBytes = 64 * 1024 * 1024;

/** One log, one order. */
export const agreementCases: Readonly<Record<string, Body>> = {
  "three voters agree on one leader, and each of them says who it is": async (replicas) => {
    const leader = await replicas.leader();
    for (const { consensus } of replicas.voting()) {
      await replicas.time.until(() => consensus.status().leader === leader.member.id);
      const { role } = consensus.status();
      check(role === (consensus === leader.consensus ? "leader" : "follower"), `a voter's role is ${role}`);
    }
    check(leader.consensus.status().term >= 1, "the leader's term is below 1");
  },

  "a proposal on the leader resolves with the machine's result and its place in the log": async (replicas) => {
    const leader = await replicas.leader();
    const first = await replicas.propose(leader, "first");
    const second = await replicas.propose(leader, "second");
    equal([textOf(first.result), textOf(second.result)], ["1: first", "2: second"], "the results");
    check(second.index > first.index, `index ${second.index} follows ${first.index}`);
    equal(second.term, leader.consensus.status().term, "the term");
  },

  "a proposal on a follower is forwarded and resolves with the leader's result": async (replicas) => {
    const leader = await replicas.leader();
    for (const [index, follower] of replicas.others(leader).entries()) {
      const command = `by follower ${index}`;
      const { result } = await replicas.propose(follower, command);
      equal(textOf(result), `${index + 1}: ${command}`, "the result");
    }
  },

  "every replica applies the same commands in the same order": async (replicas) => {
    await replicas.leader();
    const commands: string[] = [];
    for (let round = 0; round < 10; round += 1) {
      const at = replicas.voting()[round % 3];
      if (at === undefined) continue;
      commands.push(`command ${round}`);
      await replicas.propose(at, `command ${round}`);
    }
    await replicas.expectCommands(commands);
  },

  "proposals made at once, everywhere, are each applied exactly once": async (replicas) => {
    await replicas.leader();
    const names = Array.from({ length: 150 }, (_, index) => `command ${index}`);
    const proposals = names.flatMap((name, index) => {
      const at = replicas.voting()[index % 3];
      return at === undefined ? [] : [started(at.consensus.propose(bytesOf(name)))];
    });
    const committed = await replicas.time.run(Promise.all(proposals));
    const indexes = new Set(committed.map(({ index }) => index));
    equal(indexes.size, names.length, "how many places in the log they have");
    for (const { machine } of replicas.voting()) {
      await replicas.time.until(() => machine.commands.length >= names.length);
      equal(machine.commands.toSorted(), names.toSorted(), "the commands that were applied");
    }
    const [one, ...rest] = replicas.voting();
    for (const other of rest) equal(other.machine.commands, one?.machine.commands, "the order on another replica");
  },

  "a read barrier on any replica lets it see every write that was acknowledged before": async (replicas) => {
    const leader = await replicas.leader();
    const reader = replicas.others(leader)[0];
    for (let round = 0; round < 5; round += 1) {
      const { index } = await replicas.propose(leader, `write ${round}`);
      for (const { consensus, machine } of [leader, ...(reader === undefined ? [] : [reader])]) {
        const barrier = await replicas.time.run(consensus.readBarrier());
        check(barrier >= index, `the barrier is ${barrier}, below the write at ${index}`);
        check(machine.position().index >= barrier, "the machine is behind the barrier");
        check(machine.commands.includes(`write ${round}`), `write ${round} cannot be seen`);
      }
    }
  },

  "the status of every replica is consistent in itself": async (replicas) => {
    const leader = await replicas.leader();
    await replicas.propose(leader, "something");
    await replicas.expectCommands(["something"]);
    for (const { consensus, machine, member } of replicas.voting()) {
      const status = consensus.status();
      equal([status.id, status.storeId], [member.id, member.storeId], "who it is");
      check(
        status.appliedIndex <= status.commitIndex,
        `applied ${status.appliedIndex} > committed ${status.commitIndex}`,
      );
      check(status.commitIndex <= status.lastIndex, `committed ${status.commitIndex} > last ${status.lastIndex}`);
      check(status.durableIndex <= status.lastIndex, `durable ${status.durableIndex} > last ${status.lastIndex}`);
      check(status.firstIndex <= status.lastIndex + 1, `first ${status.firstIndex}, last ${status.lastIndex}`);
      check(status.appliedIndex >= machine.position().index, "the machine is ahead of what is said to be applied");
      equal(
        status.configuration.voters.map(({ id }) => id).toSorted(),
        replicas.fixture.voters.map(({ id }) => id).toSorted(),
        "the voters",
      );
      equal(status.configuration.outgoing, undefined, "outgoing voters");
      equal(status.storage, "ok", "the storage");
      const followed = consensus === leader.consensus ? 2 : 0;
      equal(status.progress.size, followed, "how many replicas it knows the progress of");
    }
  },

  "a change of leader is told to listeners, and no more once they left": async (replicas) => {
    const leader = await replicas.leader();
    const [follower] = replicas.others(leader);
    if (follower === undefined) return;
    const roles: string[] = [];
    let unwanted = 0;
    const stop = follower.consensus.onChange(({ leader: seen }) => roles.push(String(seen)));
    follower.consensus.onChange(() => (unwanted += 1))();
    await replicas.crash(leader.member.id);
    const next = await replicas.leader();
    await replicas.time.until(() => roles.at(-1) === next.member.id);
    stop();
    equal(unwanted, 0, "calls of a listener that left");
  },

  "a command beyond any bound is RAFT_TOO_LARGE and never applied": async (replicas) => {
    const leader = await replicas.leader();
    const [follower] = replicas.others(leader);
    for (const at of [leader, ...(follower === undefined ? [] : [follower])]) {
      const proposal = at.consensus.propose(new Uint8Array(oversizeBytes));
      await rejects(replicas.time.run(proposal), ["RAFT_TOO_LARGE"], "the proposal");
    }
    await replicas.propose(leader, "small");
    await replicas.expectCommands(["small"]);
  },

  "a proposal whose signal has aborted already is never applied": async (replicas) => {
    const leader = await replicas.leader();
    const signal = AbortSignal.abort(new Error("changed my mind"));
    let refused = false;
    await replicas.time.run(leader.consensus.propose(bytesOf("unwanted"), { signal }).catch(() => (refused = true)));
    check(refused, "the proposal was taken");
    await replicas.propose(leader, "wanted");
    await replicas.expectCommands(["wanted"]);
  },

  "a replica that was shut down is stopped and refuses with RAFT_STOPPED, and the others go on": async (replicas) => {
    const leader = await replicas.leader();
    const [follower] = replicas.others(leader);
    if (follower === undefined) return;
    await replicas.time.run(follower.consensus.shutdown());
    equal(follower.consensus.status().role, "stopped", "the role");
    await rejects(replicas.time.run(follower.consensus.propose(bytesOf("late"))), ["RAFT_STOPPED"], "propose");
    await rejects(replicas.time.run(follower.consensus.readBarrier()), ["RAFT_STOPPED"], "readBarrier");
    await replicas.time.run(follower.consensus.shutdown());
    await replicas.propose(leader, "by two");
  },

  "a leader that is shut down leaves nothing waiting, and another takes over": async (replicas) => {
    const leader = await replicas.leader();
    const proposals = Array.from({ length: 20 }, (_, index) =>
      started(leader.consensus.propose(bytesOf(`in the middle ${index}`))),
    );
    await replicas.time.run(leader.consensus.shutdown());
    const outcomes = await replicas.time.run(Promise.allSettled(proposals));
    for (const outcome of outcomes) {
      if (outcome.status === "fulfilled") continue;
      const { code } = outcome.reason as { readonly code?: string };
      check(code === "RAFT_STOPPED" || code === "RAFT_OUTCOME_UNKNOWN", `a proposal was rejected with ${code}`);
    }
    const next = await replicas.leader(({ member }) => member.id !== leader.member.id);
    await replicas.propose(next, "after it");
    check(next.machine.commands.includes("after it"), "the new leader did not apply");
  },
};
