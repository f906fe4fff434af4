import { expect, test } from "vitest";
import { World } from "./support/replicas.ts";

test("a lone node leads and commits", async () => {
  const world = new World();
  const one = await world.form([1]);
  const committed = await world.run(one.consensus.propose("a"));
  expect(committed.result).toBe("1:a");
  expect(committed.index).toBe(2);
  await world.stop();
});

test("three nodes form, and a proposal on a follower is forwarded and resolves with the leader's result", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  const local = await world.run(one.consensus.propose("a"));
  const forwarded = await world.run(world.member(2).consensus.propose("b"));
  expect([local.result, forwarded.result]).toEqual(["1:a", "2:b"]);
  await world.until(() => [1, 2, 3].every((n) => world.member(n).machine.commands.length === 2));
  await world.stop();
});

test("the leader is killed: another is elected, nothing acknowledged is lost, and the victim catches up after its restart", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  for (const text of ["a", "b", "c"]) await world.run(one.consensus.propose(text));
  const dead = world.kill(1);
  const next = await world.newLeader(dead);
  await world.run(next.consensus.propose("d"));
  const back = await world.start(1, { disk: dead.disk });
  await world.until(() => back.machine.commands.length === 4);
  expect(back.machine.commands).toEqual(["a", "b", "c", "d"]);
  expect(back.consensus.status().role).toBe("follower");
  await world.stop();
});

test("all are killed at once: every acknowledged command is there after the restart", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  const texts = Array.from({ length: 50 }, (_, at) => `command-${at}`);
  await world.run(Promise.all(texts.map((text) => one.consensus.propose(text))));
  const dead = [1, 2, 3].map((n) => world.kill(n));
  for (const { n, disk } of dead) await world.start(n, { disk });
  const leader = await world.newLeader();
  await world.run(leader.consensus.readBarrier({ timeoutMs: 10_000 }));
  expect(leader.machine.commands).toEqual(texts);
  await world.stop();
});

test("a proposal made while there is no leader waits for the next one: a failover is not an error", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  await world.run(one.consensus.propose("a"));
  const two = world.member(2);
  world.kill(1);
  await world.until(() => two.consensus.status().leader === undefined);
  const committed = await world.run(two.consensus.propose("b"));
  expect(committed.result).toBe("2:b");
  await world.stop();
});

test("a leader cut off from its quorum steps down and says that the outcome of what it had appended is unknown", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  await world.run(one.consensus.propose("a"));
  world.network.partition([one.id], [world.member(2).id, world.member(3).id]);
  await expect(world.run(one.consensus.propose("lost"))).rejects.toMatchObject({ code: "RAFT_OUTCOME_UNKNOWN" });
  expect(one.consensus.status().role).not.toBe("leader");
  await expect(world.run(one.consensus.propose("refused"))).rejects.toMatchObject({ code: "RAFT_NO_QUORUM" });
  await expect(world.run(one.consensus.readBarrier())).rejects.toMatchObject({ code: "RAFT_NO_QUORUM" });
  const next = await world.newLeader(one);
  await world.run(next.consensus.propose("b"));
  world.network.heal();
  await world.until(() => one.machine.commands.length === 2);
  expect(one.machine.commands).toEqual(["a", "b"]);
  await world.stop();
});

test("a read barrier on a follower sees what was acknowledged before it", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  await world.run(one.consensus.propose("a"));
  const two = world.member(2);
  const index = await world.run(two.consensus.readBarrier());
  expect(index).toBeGreaterThanOrEqual(one.consensus.status().commitIndex);
  expect(two.machine.commands).toEqual(["a"]);
  await world.stop();
});

test("leadership goes to a caught-up voter, and the old leader follows it", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  await world.run(one.consensus.propose("a"));
  await world.run(one.consensus.transferLeadership(world.member(3).id));
  await world.until(() => world.member(3).consensus.status().role === "leader");
  expect(one.consensus.status().leader).toBe(world.member(3).id);
  await expect(world.run(one.consensus.transferLeadership(world.member(2).id))).rejects.toMatchObject({
    code: "RAFT_NOT_LEADER",
  });
  await world.stop();
});

test("leadership does not go to a node that is cut off, and the leader goes on", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  const three = world.member(3);
  world.network.partition([three.id], [one.id, world.member(2).id]);
  await expect(world.run(one.consensus.transferLeadership(three.id))).rejects.toMatchObject({
    code: "RAFT_TRANSFER_FAILED",
  });
  expect(one.consensus.status().role).toBe("leader");
  await world.run(one.consensus.propose("a"));
  await world.stop();
});

test("a follower that the log cannot serve any more is sent a snapshot and goes on from there", async () => {
  const world = new World();
  const options = { snapshotIntervalEntries: 20, limits: { trailingEntries: 5, snapshotChunkBytes: 300 } };
  const one = await world.form([1, 2, 3], () => options);
  const dead = world.kill(3);
  for (let at = 0; at < 100; at += 1) await world.run(one.consensus.propose(`command-${at}`));
  await world.until(() => one.consensus.status().firstIndex > 50);
  const back = await world.start(3, { ...options, disk: dead.disk });
  await world.until(() => back.machine.commands.length === 100);
  expect(back.machine.restored).toBeGreaterThan(0);
  await world.run(one.consensus.propose("after"));
  await world.until(() => back.machine.commands.at(-1) === "after");
  expect(back.machine.commands).toEqual(one.machine.commands);
  await world.stop();
});

test("a machine in memory is restored from its snapshot file and the log behind it", async () => {
  const world = new World();
  const options = { snapshotIntervalEntries: 10, limits: { trailingEntries: 3 } };
  const one = await world.form([1], () => options);
  for (let at = 0; at < 35; at += 1) await world.run(one.consensus.propose(`command-${at}`));
  await world.until(() => one.consensus.status().firstIndex > 10);
  const { disk } = world.kill(1);
  const back = await world.start(1, { ...options, disk });
  await world.until(() => back.machine.commands.length === 35);
  expect(back.machine.restored).toBe(1);
  expect(back.machine.applied.length).toBeLessThan(35);
  await world.stop();
});

test("voters are replaced in one joint change, and one that was voted out learns of it", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  await world.start(4);
  const learners = [world.replica(4)];
  const voters = [1, 2, 3].map((n) => world.replica(n));
  await world.run(one.consensus.changeVoters({ voters, learners, generation: 4 as never }));
  await world.until(() => world.member(4).consensus.status().role === "learner");
  const after = [1, 2, 4].map((n) => world.replica(n));
  await world.run(one.consensus.changeVoters({ voters: after, learners: [], generation: 5 as never }));
  await world.until(() => world.member(4).consensus.status().role === "follower");
  await world.until(() => world.member(3).consensus.status().role === "outsider");
  await world.run(one.consensus.changeVoters({ voters: after, learners: [], generation: 5 as never }));
  await world.stop();
});

test("a leader that is voted out leads until the change has committed, and another is elected", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  await world.start(4);
  const voters = [2, 3, 4].map((n) => world.replica(n));
  await world.run(one.consensus.changeVoters({ voters, learners: [], generation: 4 as never }));
  const next = await world.newLeader(one);
  expect(next.n).not.toBe(1);
  await world.run(next.consensus.propose("a"));
  await world.until(() => one.consensus.status().role === "outsider");
  await world.stop();
});

test("shutting down refuses what waits and takes nothing more", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  world.network.partition([one.id], [world.member(2).id, world.member(3).id]);
  const appended = one.consensus.propose("a");
  const outcome = expect(appended).rejects.toMatchObject({ code: "RAFT_OUTCOME_UNKNOWN" });
  await world.clock.advanceAsync(5);
  await world.run(one.consensus.shutdown());
  await outcome;
  await expect(one.consensus.propose("b")).rejects.toMatchObject({ code: "RAFT_STOPPED" });
  expect(one.consensus.status().role).toBe("stopped");
  await world.stop();
});
