/** What a production Raft adds to the paper, and the failures that taught others to. */
import { describe, expect, test } from "vitest";
import type { LogBase } from "@revoada/fabric";
import { configurationOf, quorumValue, voteResult } from "../src/core/configuration.ts";
import { decodeConfiguration, encodeConfiguration } from "../src/core/configuration-codec.ts";
import type { Effect, MessageBody } from "../src/core/types.ts";
import {
  configurationEntry,
  electionTimeoutMs,
  entry,
  generation,
  nodeId,
  replica,
  replicas,
  storeIdOf,
  TestCluster,
  TestNode,
} from "./support/cluster.ts";

const T = electionTimeoutMs;

function success(index: number): MessageBody {
  return { type: "append-response", success: true, index, hintIndex: 0, hintTerm: 0, repair: "sound" };
}

function of<K extends Effect["type"]>(effects: readonly Effect[], type: K): readonly (Effect & { readonly type: K })[] {
  return effects.filter((effect): effect is Effect & { readonly type: K } => effect.type === type);
}

function change(
  cluster: TestCluster,
  n: number,
  voters: readonly number[],
  learners: readonly number[],
  gen: number,
): readonly Effect[] {
  const effects = cluster.node(n).step({
    type: "change",
    id: 9,
    voters: replicas(...voters),
    learners: replicas(...learners),
    generation: generation(gen),
  });
  return effects;
}

describe("durability", () => {
  test("a vote, a term and an acknowledgement leave only once their record is durable", () => {
    const node = new TestNode(1, { configuration: configurationOf(replicas(1, 2, 3)) });
    node.holdWrites = true;
    node.receive(2, 1, { type: "vote-request", pre: false, transfer: false, lastIndex: 0, lastTerm: 0 });
    expect(node.takeSent()).toEqual([]);
    node.completeWrites();
    expect(node.takeSent().map((message) => message.type)).toEqual(["vote-response"]);
    node.receive(2, 1, { type: "append", prevIndex: 0, prevTerm: 0, commit: 0, entries: [entry(1, 1)] });
    expect(node.takeSent()).toEqual([]);
    node.completeWrites();
    expect(node.takeSent()).toMatchObject([{ type: "append-response", success: true, index: 1 }]);
  });

  test("vote and term are one record (hashicorp/raft#661)", () => {
    const node = new TestNode(1, { configuration: configurationOf(replicas(1, 2, 3)), term: 1, vote: nodeId(1) });
    const effects = node.receive(2, 2, {
      type: "vote-request",
      pre: false,
      transfer: false,
      lastIndex: 0,
      lastTerm: 0,
    });
    expect(of(effects, "persist").map((write) => write.hardState)).toEqual([
      { term: 2, vote: nodeId(2), commitIndex: 0 },
    ]);
  });

  test("a leader sends in parallel with its own write, and counts itself only once that is durable (etcd#14370)", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    leader.holdWrites = true;
    cluster.propose(1, "a");
    expect(leader.sent.filter((message) => message.type === "append")).toHaveLength(2);
    cluster.passes = (message) => message.from !== nodeId(3);
    cluster.settle();
    expect(leader.core.commitIndex).toBe(1);
    leader.completeWrites();
    expect(leader.core.commitIndex).toBe(2);
  });

  test("two followers commit what the leader has not written yet; the leader applies it once it has", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    leader.holdWrites = true;
    cluster.propose(1, "a");
    cluster.settle();
    expect([leader.core.commitIndex, leader.core.appliedIndex]).toEqual([2, 1]);
    leader.completeWrites();
    expect(leader.core.appliedIndex).toBe(2);
  });

  test("a completion that was overtaken by a truncation proves nothing, even for the same index and term (the ABA race)", () => {
    const node = new TestNode(1, { configuration: configurationOf(replicas(1, 2, 3)) });
    node.holdWrites = true;
    const append = (from: number, term: number, entryTerm: number): void =>
      void node.receive(from, term, {
        type: "append",
        prevIndex: 0,
        prevTerm: 0,
        commit: 0,
        entries: [entry(1, entryTerm)],
      });
    append(2, 2, 2);
    append(3, 3, 3);
    append(2, 4, 2);
    expect(node.core.termAt(1)).toBe(2);
    node.completeWrites(1);
    expect(node.core.durableIndex).toBe(0);
    node.completeWrites(1);
    expect(node.core.durableIndex).toBe(0);
    node.completeWrites();
    expect(node.core.durableIndex).toBe(1);
  });

  test("a new leader's tail counts only once it is durable (openraft#2118)", () => {
    const node = new TestNode(1, { configuration: configurationOf(replicas(1, 2, 3)) });
    node.receive(2, 1, { type: "append", prevIndex: 0, prevTerm: 0, commit: 0, entries: [] });
    node.holdWrites = true;
    node.receive(2, 1, { type: "append", prevIndex: 0, prevTerm: 0, commit: 0, entries: [entry(1, 1)] });
    node.nowMs += 3 * T;
    node.step({ type: "campaign" });
    node.receive(3, 2, { type: "vote-response", pre: true, granted: true });
    expect(node.takeSent().filter((message) => message.type === "vote-request" && !message.pre)).toEqual([]);
    expect(node.core.durableIndex).toBe(0);
    node.completeWrites(1);
    expect(node.core.durableIndex).toBe(1);
  });

  test("a leader whose disk hangs steps down, and does not campaign while it hangs", () => {
    const cluster = new TestCluster([1, 2, 3], () => ({ limits: { storageStallMs: 300 } }));
    const leader = cluster.elect(1);
    leader.holdWrites = true;
    cluster.propose(1, "a");
    cluster.run(250);
    expect(leader.core.isLeader).toBe(true);
    cluster.run(600);
    expect(leader.core.isLeader).toBe(false);
    expect(cluster.leaders()).not.toEqual([]);
    expect(cluster.node(1).core.role).toBe("follower");
  });

  test("once storage has failed a node neither votes nor answers", () => {
    const node = new TestNode(1, { configuration: configurationOf(replicas(1, 2, 3)) });
    node.step({ type: "storage-failed" });
    expect(
      node.receive(2, 1, { type: "vote-request", pre: false, transfer: false, lastIndex: 0, lastTerm: 0 }),
    ).toEqual([]);
    expect([node.core.storage, node.core.wakeMs]).toEqual(["failed", Infinity]);
  });
});

describe("pre-vote and check-quorum", () => {
  test("a node that was cut off does not depose the leader when it comes back (etcd#14893)", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    cluster.isolate(3);
    cluster.run(1000);
    expect(cluster.node(3).core.term).toBe(leader.core.term);
    cluster.heal();
    cluster.run(500);
    expect([leader.core.isLeader, leader.core.term]).toEqual([true, 1]);
    expect(cluster.node(3).core.leader).toBe(leader.id);
  });

  test("a candidate with a lower term learns the higher one and the election goes on (etcd#8243)", () => {
    const cluster = new TestCluster([1, 2, 3], (n) =>
      n === 1 ? { entries: [entry(1, 1)], term: 1 } : { term: n === 2 ? 7 : 1 },
    );
    cluster.isolate(3);
    cluster.run(1500);
    expect(cluster.leaders()).toEqual([1]);
    expect(cluster.node(1).core.term).toBeGreaterThan(7);
  });

  test("a leader that hears no majority for an election timeout steps down and refuses its readers", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    cluster.isolate(1);
    leader.step({ type: "read", id: 77 });
    const effects: Effect[] = [];
    for (let passed = 0; passed <= 1.5 * T; passed += 10) effects.push(...leader.advance(10));
    expect(leader.core.isLeader).toBe(false);
    expect(of(effects, "reject")).toContainEqual({ type: "reject", id: 77, from: 0, reason: "not-leader" });
  });

  test("a voter that hears its leader ignores requests for votes, of whatever term", () => {
    const cluster = new TestCluster([1, 2, 3]);
    cluster.elect(1);
    const follower = cluster.node(2);
    follower.takeSent();
    const request: MessageBody = { type: "vote-request", pre: false, transfer: false, lastIndex: 99, lastTerm: 99 };
    follower.receive(3, 50, request);
    expect([follower.core.term, follower.takeSent().length]).toEqual([1, 0]);
    follower.receive(3, 50, { ...request, transfer: true });
    expect(follower.core.term).toBe(50);
  });

  test("a leader that stood still does not step down for the silence that it slept through", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    leader.nowMs += 10 * T;
    leader.step({ type: "stalled" });
    leader.advance(1);
    expect(leader.core.isLeader).toBe(true);
    leader.advance(2 * T);
    expect(leader.core.isLeader).toBe(false);
  });

  test("a connected majority elects another where the leader hears it but does not reach it (openraft#2080)", () => {
    const cluster = new TestCluster([1, 2, 3]);
    cluster.elect(1);
    cluster.passes = (message) => message.from !== nodeId(1);
    cluster.run(1500);
    expect(cluster.leaders().some((n) => n !== 1)).toBe(true);
  });
});

describe("membership", () => {
  test("a change of voters passes through a joint configuration, which a leader leaves by itself", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    for (const n of [4, 5]) cluster.add(n, { nowMs: leader.nowMs });
    const first = change(cluster, 1, [1, 2, 4], [5], 7);
    expect(leader.core.configuration).toEqual({
      voters: replicas(1, 2, 4),
      outgoing: replicas(1, 2, 3),
      learners: replicas(5),
      generation: 7,
    });
    expect(of(first, "change-done")).toEqual([]);
    cluster.settle();
    cluster.run(100);
    expect(leader.core.configuration).toEqual({ voters: replicas(1, 2, 4), learners: replicas(5), generation: 7 });
    expect(of(leader.effects, "change-done")).toEqual([{ type: "change-done", id: 9 }]);
    expect([cluster.node(4).core.role, cluster.node(5).core.role, cluster.node(3).core.role]).toEqual([
      "follower",
      "learner",
      "outsider",
    ]);
  });

  test("in a joint configuration both halves must agree, for votes and for commits", () => {
    const joint = { voters: replicas(1, 2, 3), outgoing: replicas(3, 4, 5), learners: [], generation: generation(1) };
    const reached = new Map([1, 2, 3, 4, 5].map((n) => [nodeId(n), n <= 2 ? 10 : 4]));
    expect(quorumValue(joint, (voter) => reached.get(voter.id) ?? 0)).toBe(4);
    const votes = (...granted: readonly number[]) =>
      voteResult(joint, (voter) => (granted.some((n) => nodeId(n) === voter.id) ? true : undefined));
    expect([votes(1, 2), votes(1, 2, 4), votes(1, 2, 4, 5), votes(3, 4, 1)]).toEqual([
      "pending",
      "pending",
      "won",
      "won",
    ]);
    expect(voteResult(joint, (voter) => voter.id === nodeId(1) || voter.id === nodeId(2))).toBe("lost");
  });

  test("a change is refused before an entry of the own term has committed, and while another is under way", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    cluster.passes = () => false;
    change(cluster, 1, [1, 2, 4], [], 2);
    const second = change(cluster, 1, [1, 2, 5], [], 3);
    expect(of(second, "reject")).toEqual([{ type: "reject", id: 9, from: 0, reason: "change-in-progress" }]);
    const fresh = new TestCluster([1, 2, 3]);
    fresh.passes = (message) => message.type !== "append";
    fresh.elect(1);
    expect(of(change(fresh, 1, [1, 2, 4], [], 2), "reject")[0]?.reason).toBe("change-in-progress");
    expect(leader.core.isLeader).toBe(true);
  });

  test("a configuration that is truncated was never in force", () => {
    const before = configurationOf(replicas(1, 2, 3));
    const after = { voters: replicas(1, 4, 5), outgoing: replicas(1, 2, 3), learners: [], generation: generation(2) };
    const node = new TestNode(2, { configuration: before });
    node.receive(1, 1, {
      type: "append",
      prevIndex: 0,
      prevTerm: 0,
      commit: 0,
      entries: [entry(1, 1), configurationEntry(2, 1, after)],
    });
    expect(node.core.configuration).toEqual(after);
    node.receive(3, 2, { type: "append", prevIndex: 1, prevTerm: 1, commit: 0, entries: [entry(2, 2)] });
    expect(node.core.configuration).toEqual(before);
  });

  test("a new leader finishes a change that its predecessor left half done", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    cluster.add(4, { nowMs: leader.nowMs });
    cluster.passes = (message) => message.to !== nodeId(1);
    change(cluster, 1, [2, 3, 4], [], 2);
    cluster.settle();
    expect(cluster.node(2).core.configuration?.outgoing).toEqual(replicas(1, 2, 3));
    cluster.isolate(1);
    cluster.run(1500);
    const next = cluster.leaders().find((n) => n !== 1)!;
    expect(cluster.node(next).core.configuration).toEqual({ voters: replicas(2, 3, 4), learners: [], generation: 2 });
    expect(cluster.node(next).core.commitIndex).toBe(cluster.node(next).core.lastIndex);
  });

  test("a leader that is voted out keeps its seat until the final change has committed (openraft#2091), and then leaves it", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    change(cluster, 1, [2, 3, 4], [], 2);
    cluster.passes = (message) => message.to === nodeId(4) || message.from === nodeId(4);
    cluster.settle();
    expect(leader.core.isLeader).toBe(true);
    cluster.add(4, { nowMs: leader.nowMs });
    cluster.heal();
    cluster.run(60);
    expect(leader.core.isLeader).toBe(false);
    cluster.run(1000);
    expect(cluster.leaders()).toHaveLength(1);
    expect(cluster.leaders()).not.toContain(1);
  });

  test("one that is voted out by an entry that only it and its like hold stands once more, and lets the change through", () => {
    const joint = { voters: replicas(3, 4, 5), outgoing: replicas(1, 2, 3), learners: [], generation: generation(2) };
    const left = configurationOf(replicas(3, 4, 5), [], generation(2));
    const half = [entry(1, 1), configurationEntry(2, 1, joint)];
    const cluster = new TestCluster([]);
    const configuration = configurationOf(replicas(1, 2, 3));
    for (const n of [1, 2])
      cluster.add(n, { configuration, entries: [...half, configurationEntry(3, 1, left)], term: 1, commitIndex: 2 });
    for (const n of [3, 4, 5]) cluster.add(n, { configuration, entries: half, term: 1, commitIndex: 1 });
    cluster.run(2000);
    const [leader] = cluster.leaders();
    expect([3, 4, 5]).toContain(leader);
    expect(cluster.node(leader!).core.configuration).toEqual(left);
    expect(cluster.node(1).core.role).toBe("outsider");
  });

  test("a learner votes when it is asked by a candidate that knows of its promotion", () => {
    const old = { voters: replicas(1, 2), learners: replicas(3), generation: generation(1) };
    const promoted = configurationOf(replicas(1, 2, 3), [], generation(2));
    const cluster = new TestCluster([]);
    cluster.add(1, { configuration: old, entries: [entry(1, 1), configurationEntry(2, 1, promoted)], term: 1 });
    cluster.add(3, { configuration: old, entries: [entry(1, 1)], term: 1 });
    expect([cluster.node(1).core.role, cluster.node(3).core.role]).toEqual(["follower", "learner"]);
    cluster.elect(1);
    expect(cluster.node(1).core.isLeader).toBe(true);
  });

  test("a wiped disk under an old id neither votes nor acknowledges as the old voter (dragonboat#256)", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    cluster.passes = (message) => message.to !== nodeId(3);
    cluster.propose(1, "a");
    leader.receive(2, 1, success(2), 1);
    expect(leader.core.commitIndex).toBe(1);
    const wiped = new TestNode(3, { life: 1 });
    wiped.step({
      type: "message",
      message: {
        from: nodeId(1),
        fromStore: storeIdOf(1),
        to: nodeId(3),
        toStore: storeIdOf(3),
        term: 1,
        type: "append",
        prevIndex: 0,
        prevTerm: 0,
        commit: 0,
        entries: [entry(1, 1)],
      },
    });
    expect([wiped.core.lastIndex, wiped.takeSent()]).toEqual([0, []]);
    cluster.heal();
    cluster.settle();
    expect(leader.core.commitIndex).toBe(2);
  });

  test("the new store of a wiped voter takes the old one's place in one joint change", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    cluster.nodes.delete(nodeId(3));
    cluster.add(3, { life: 1, nowMs: leader.nowMs });
    const voters = [replica(1), replica(2), replica(3, 1)];
    leader.step({ type: "change", id: 9, voters, learners: [], generation: generation(2) });
    cluster.settle();
    cluster.run(100);
    expect(leader.core.configuration).toEqual({ voters, learners: [], generation: 2 });
    expect(cluster.node(3).core.role).toBe("follower");
  });

  test("a configuration that is in force already is done at once", () => {
    const cluster = new TestCluster([1, 2, 3]);
    cluster.elect(1);
    expect(of(change(cluster, 1, [3, 2, 1], [], 0), "change-done")).toHaveLength(1);
  });

  test("a configuration's bytes are what they were", () => {
    const joint = {
      voters: replicas(1),
      outgoing: [replica(2, 1)],
      learners: replicas(3),
      generation: generation(258),
    };
    const bytes = encodeConfiguration(joint);
    expect(decodeConfiguration(bytes)).toEqual(joint);
    expect(Buffer.from(bytes).toString("hex")).toBe(
      `01010000000000000102000100010001${nodeId(1)}${storeIdOf(1)}${nodeId(2)}${storeIdOf(2, 1)}${nodeId(3)}${storeIdOf(3)}`,
    );
    for (let length = 0; length < bytes.length; length += 1)
      expect(() => decodeConfiguration(bytes.subarray(0, length))).toThrow(/configuration/);
  });
});

describe("reads", () => {
  test("all that wait share one round, and those that come meanwhile share the next", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    leader.effects = [];
    for (const id of [1, 2, 3]) leader.step({ type: "read", id });
    cluster.settle();
    expect(of(leader.effects, "read-ready").map((effect) => effect.ids)).toEqual([[1], [2, 3]]);
  });

  test("no read is answered before an entry of the own term has committed (etcd#7331)", () => {
    const cluster = new TestCluster([1, 2, 3]);
    cluster.passes = (message) => message.type !== "append-response";
    const leader = cluster.elect(1);
    leader.step({ type: "read", id: 1 });
    cluster.settle();
    expect(of(leader.effects, "read-ready")).toEqual([]);
    cluster.heal();
    cluster.run(100);
    expect(of(leader.effects, "read-ready")).toMatchObject([{ ids: [1], index: 1 }]);
  });

  test("an answer to an earlier round does not confirm a later one (etcd#20418)", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    leader.step({ type: "read", id: 1 });
    cluster.settle();
    cluster.passes = () => false;
    leader.step({ type: "read", id: 2 });
    leader.effects = [];
    for (const peer of [2, 3]) leader.receive(peer, 1, { type: "heartbeat-response", round: 1, repair: "sound" });
    expect(of(leader.effects, "read-ready")).toEqual([]);
    leader.receive(2, 1, { type: "heartbeat-response", round: 2, repair: "sound" });
    expect(of(leader.effects, "read-ready")).toMatchObject([{ ids: [2] }]);
  });
});

describe("transfer", () => {
  test("the successor is caught up first, then told to campaign at once", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.heal();
    const started = leader.nowMs;
    leader.step({ type: "transfer", id: 5, to: nodeId(3) });
    expect(of(leader.step({ type: "propose", id: 6, payloads: [new Uint8Array(1)] }), "reject")[0]?.reason).toBe(
      "transferring",
    );
    cluster.settle();
    cluster.run(40);
    expect([leader.nowMs - started <= 40, cluster.leaders()]).toEqual([true, [3]]);
    expect(cluster.node(3).core.lastIndex).toBe(3);
  });

  test("a successor that does not answer is given up after an election timeout, and the leader goes on", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    cluster.isolate(3);
    leader.step({ type: "transfer", id: 5, to: nodeId(3) });
    cluster.run(T + 20);
    expect(of(leader.effects, "transfer-done")).toEqual([{ type: "transfer-done", id: 5, success: false }]);
    expect(of(leader.step({ type: "propose", id: 6, payloads: [new Uint8Array(1)] }), "proposed")).toHaveLength(1);
  });

  test("leadership does not go to one that does not vote", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    expect(of(leader.step({ type: "transfer", id: 5, to: nodeId(9) }), "reject")[0]?.reason).toBe("not-a-voter");
  });
});

describe("flow", () => {
  test("uncommitted bytes are bounded, and a command that is too large is refused for certain", () => {
    const cluster = new TestCluster([1, 2, 3], () => ({ limits: { maxUncommittedBytes: 500, maxCommandBytes: 200 } }));
    const leader = cluster.elect(1);
    cluster.passes = () => false;
    const payloads = Array.from({ length: 5 }, () => new Uint8Array(100));
    const effects = leader.step({ type: "propose", id: 3, payloads });
    expect(of(effects, "proposed")).toMatchObject([{ id: 3, count: 3 }]);
    expect(of(effects, "reject")).toEqual([{ type: "reject", id: 3, from: 3, reason: "backpressure" }]);
    expect(of(leader.step({ type: "propose", id: 4, payloads: [new Uint8Array(201)] }), "reject")[0]?.reason).toBe(
      "too-large",
    );
    cluster.heal();
    cluster.run(200);
    expect(leader.core.uncommittedBytes).toBe(0);
  });

  test("what is in flight to a follower is bounded, and goes on as it is acknowledged", () => {
    const cluster = new TestCluster([1, 2], () => ({ limits: { maxInFlightMessages: 3, maxMessageBytes: 50 } }));
    const leader = cluster.elect(1);
    for (let at = 0; at < 10; at += 1) cluster.propose(1, `command-${at}`);
    expect(leader.sent.filter((message) => message.type === "append")).toHaveLength(3);
    cluster.settle();
    expect(cluster.node(2).core.lastIndex).toBe(11);
  });

  test("a follower whose disk does not keep up holds no more than its bound, and gets the rest once it does", () => {
    const limits = { maxBacklogBytes: 1000, maxMessageBytes: 400, maxInFlightBytes: 100_000 };
    const cluster = new TestCluster([1, 2, 3], () => ({ limits }));
    const leader = cluster.elect(1);
    const slow = cluster.node(3);
    slow.holdWrites = true;
    for (let at = 0; at < 50; at += 1) {
      cluster.propose(1, "x".repeat(100));
      cluster.settle();
    }
    const held = slow.pendingWrites.flatMap((write) => write.entries);
    expect(held.length).toBeGreaterThan(5);
    expect(held.reduce((sum, each) => sum + each.payload.length, 0)).toBeLessThanOrEqual(1000 + 400);
    cluster.run(200);
    expect(slow.pendingWrites.flatMap((write) => write.entries).length).toBe(held.length);
    slow.holdWrites = false;
    slow.completeWrites();
    cluster.run(400);
    expect(slow.log()).toEqual(leader.log());
  });

  test("a leader whose disk does not keep up refuses what it could not hold, although its followers commit", () => {
    const cluster = new TestCluster([1, 2, 3], () => ({ limits: { maxBacklogBytes: 1000 } }));
    const leader = cluster.elect(1);
    leader.holdWrites = true;
    const refused: Effect[] = [];
    for (let at = 0; at < 20; at += 1) {
      refused.push(...of(leader.step({ type: "propose", id: at, payloads: [new Uint8Array(100)] }), "reject"));
      cluster.settle();
    }
    expect([leader.core.lastIndex, leader.core.commitIndex]).toEqual([8, 8]);
    expect(refused).toHaveLength(13);
    expect(refused[0]).toMatchObject({ reason: "backpressure", from: 0 });
    leader.holdWrites = false;
    leader.completeWrites();
    expect(of(leader.step({ type: "propose", id: 99, payloads: [new Uint8Array(100)] }), "proposed")).toHaveLength(1);
  });

  test("a node whose disk hangs does not pile up answers that wait for it", () => {
    const node = new TestNode(2, {
      configuration: configurationOf(replicas(1, 2, 3)),
      limits: { maxBacklogWrites: 10 },
    });
    node.holdWrites = true;
    for (let round = 1; round <= 100; round += 1)
      node.receive(1, 1, { type: "heartbeat", round, commit: 0, repairIndex: 0 });
    expect(node.pendingWrites).toHaveLength(10);
    node.completeWrites();
    node.takeSent();
    node.receive(1, 1, { type: "heartbeat", round: 101, commit: 0, repairIndex: 0 });
    expect(node.takeSent()).toMatchObject([{ type: "heartbeat-response", round: 101 }]);
  });

  test("what waits for a slow machine is let go from memory beyond its bound, and applied from the disk", () => {
    const cluster = new TestCluster([1, 2, 3], () => ({ limits: { maxBacklogBytes: 1000, cacheBytes: 100 } }));
    cluster.elect(1);
    const slow = cluster.node(2);
    slow.holdApply = true;
    for (let at = 0; at < 50; at += 1) {
      cluster.propose(1, `${at}`.padEnd(100));
      cluster.settle();
    }
    cluster.run(100);
    expect([slow.core.commitIndex, slow.core.appliedIndex]).toEqual([51, 0]);
    slow.holdApply = false;
    slow.effects = [];
    slow.step({ type: "applied", index: 1 });
    const [first] = of(slow.effects, "apply");
    expect([first?.from, first?.entries]).toEqual([2, undefined]);
    cluster.run(100);
    expect(slow.core.appliedIndex).toBe(51);
  });

  test("a message that is lost is sent again after a heartbeat, though nothing follows it", () => {
    const cluster = new TestCluster([1, 2, 3]);
    cluster.elect(1);
    cluster.passes = (message) => message.type !== "append";
    cluster.propose(1, "a");
    cluster.settle();
    cluster.heal();
    cluster.run(100);
    expect([2, 3].map((n) => cluster.node(n).core.lastIndex)).toEqual([2, 2]);
  });

  test("a follower behind the cache is served from the disk", () => {
    const cluster = new TestCluster([1, 2, 3], () => ({ limits: { cacheBytes: 1, maxMessageBytes: 100 } }));
    const leader = cluster.elect(1);
    cluster.isolate(3);
    for (let at = 0; at < 20; at += 1) {
      cluster.propose(1, `command-${at}`);
      cluster.settle();
    }
    cluster.heal();
    cluster.run(400);
    expect(of(leader.effects, "read-log").length).toBeGreaterThan(0);
    expect(cluster.node(3).log()).toEqual(leader.log());
  });

  test("a follower behind the log's beginning is sent a snapshot, and one that stalls is probed again", () => {
    const options = {
      entries: [entry(11, 1)],
      baseIndex: 10,
      baseTerm: 1,
      term: 1,
      commitIndex: 11,
      limits: { snapshotStallMs: 300 },
    };
    const cluster = new TestCluster([1, 2, 3], (n) => (n === 3 ? {} : options));
    const leader = cluster.elect(1);
    cluster.run(50);
    expect(of(leader.effects, "snapshot-send")).toMatchObject([{ to: replica(3) }]);
    expect(leader.core.progress(leader.nowMs).get(nodeId(3))?.state).toBe("snapshot");
    leader.effects = [];
    cluster.run(330);
    expect(of(leader.effects, "snapshot-cancel")).toHaveLength(1);
    expect(of(leader.effects, "snapshot-send")).toHaveLength(1);
    const base = { index: 12, term: 2, configuration: configurationOf(replicas(1, 2, 3)) } as never;
    const follower = cluster.node(3);
    const received = {
      type: "snapshot-received",
      from: nodeId(1),
      fromStore: storeIdOf(1),
      term: leader.core.term,
      base,
    } as const;
    expect(of(follower.step(received), "snapshot-install")).toHaveLength(1);
    follower.step({ type: "snapshot-installed", base, success: true });
    Object.assign(follower.stored, { baseIndex: 12, baseTerm: 2, entries: [] });
    cluster.propose(1, "after");
    cluster.run(100);
    expect([follower.core.firstIndex, follower.core.commitIndex]).toEqual([13, 13]);
  });

  test("a snapshot that brings nothing new is not installed", () => {
    const cluster = new TestCluster([1, 2, 3]);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.run(50);
    const follower = cluster.node(2);
    const base = { index: 1, term: 1, configuration: configurationOf(replicas(1, 2, 3)) } as never;
    const effects = follower.step({
      type: "snapshot-received",
      from: nodeId(1),
      fromStore: storeIdOf(1),
      term: 1,
      base,
    });
    expect(of(effects, "snapshot-install")).toEqual([]);
    expect(follower.takeSent()).toMatchObject([{ type: "append-response", success: true, index: 2 }]);
  });
});

describe("a log that failed", () => {
  test("refuses at once whoever asks for something, so that nobody waits for the log to be opened anew", () => {
    const cluster = new TestCluster([1, 2, 3]);
    const leader = cluster.elect(1);
    leader.step({ type: "storage-failed" });
    const effects = [
      ...leader.step({ type: "propose", id: 1, payloads: [new Uint8Array(1)] }),
      ...leader.step({ type: "read", id: 2 }),
      ...change(cluster, 1, [1, 2], [], 9),
      ...leader.step({ type: "transfer", id: 4, to: nodeId(2) }),
    ];
    expect(of(effects, "reject").map(({ id, reason }) => [id, reason])).toEqual(
      [1, 2, 9, 4].map((id) => [id, "not-leader"]),
    );
  });

  test("passes no snapshot on that was installed before it: what came of that was found when it was opened anew", () => {
    const node = new TestNode(1, {
      configuration: configurationOf(replicas(1, 2, 3)),
      term: 1,
      commitIndex: 5,
      baseIndex: 5,
      baseTerm: 1,
      appliedIndex: 5,
      entries: [entry(6, 1), entry(7, 1)],
    });
    const base = { index: 5, term: 1 } as unknown as LogBase;
    expect(node.step({ type: "snapshot-installed", base, success: true })).toEqual([]);
    expect([node.core.lastIndex, node.core.durableIndex]).toEqual([7, 7]);
  });
});

describe("a corrupt log", () => {
  function corrupted(): TestCluster {
    const cluster = new TestCluster([1, 2, 3]);
    cluster.elect(1);
    cluster.propose(1, "a", "b", "c");
    cluster.settle();
    cluster.run(50);
    const broken = cluster.node(3);
    broken.stored.entries.length = 2;
    broken.stored.commitIndex = 1;
    broken.restart("corrupt");
    return cluster;
  }

  test("neither votes nor campaigns", () => {
    const cluster = corrupted();
    const broken = cluster.node(3);
    broken.advance(5 * T);
    expect([broken.core.role, broken.takeSent()]).toEqual(["follower", []]);
    broken.receive(2, 9, { type: "vote-request", pre: false, transfer: true, lastIndex: 99, lastTerm: 9 });
    expect(broken.takeSent()).toEqual([]);
  });

  test("is confessed in every answer, to a leader of an earlier term too", () => {
    const cluster = corrupted();
    const broken = cluster.node(3);
    broken.receive(2, 7, { type: "heartbeat", round: 1, commit: 0, repairIndex: 0 });
    broken.takeSent();
    broken.receive(1, 1, { type: "append", prevIndex: 0, prevTerm: 0, commit: 0, entries: [] });
    expect(broken.takeSent()).toMatchObject([{ type: "append-response", success: false, term: 7, repair: "corrupt" }]);
  });

  test("does not count for a commit before it is refilled, and does afterwards", () => {
    const cluster = corrupted();
    const leader = cluster.node(1);
    const broken = cluster.node(3);
    cluster.isolate(2);
    cluster.run(50);
    cluster.propose(1, "d");
    cluster.settle();
    expect(leader.core.commitIndex).toBe(4);
    expect(broken.core.storage).toBe("corrupt");
    cluster.heal();
    cluster.run(200);
    expect(broken.core.storage).toBe("ok");
    expect(broken.log()).toEqual(leader.log());
    expect(broken.stored.vote).toBe(leader.id);
    cluster.isolate(2);
    cluster.propose(1, "e");
    cluster.settle();
    expect(leader.core.commitIndex).toBe(leader.core.lastIndex);
  });

  test("keeps no leader in its place that hears of nobody else", () => {
    const cluster = corrupted();
    const leader = cluster.node(1);
    cluster.run(60);
    cluster.isolate(2);
    const broken = cluster.node(3);
    broken.stored.entries.length = 2;
    broken.stored.commitIndex = 1;
    broken.restart("corrupt");
    cluster.run(2 * T);
    expect([leader.core.role === "leader", broken.core.storage]).toEqual([false, "corrupt"]);
    cluster.heal();
    cluster.run(8 * T);
    expect(broken.core.storage).toBe("ok");
    expect(broken.log()).toEqual([...cluster.nodes.values()].find((node) => node.core.isLeader)?.log());
  });

  test("commits by its leader's heartbeats no further than that leader's entries were matched", () => {
    // It had acknowledged entries 2 and 3 of term 2, in the place of those that are left; the leader remembers that.
    const configuration = configurationOf(replicas(1, 2, 3));
    const entries = [entry(1, 1), entry(2, 1), entry(3, 1)];
    const node = new TestNode(3, { configuration, term: 2, commitIndex: 1, entries, integrity: "corrupt" });
    node.receive(1, 2, { type: "heartbeat", round: 1, commit: 3, repairIndex: 0 });
    expect([node.core.commitIndex, node.applied.length]).toEqual([1, 0]);
    node.receive(1, 2, { type: "append", prevIndex: 1, prevTerm: 1, commit: 3, entries: [entry(2, 2), entry(3, 2)] });
    expect([node.core.commitIndex, node.applied.map(({ term }) => term)]).toEqual([3, [1, 2, 2]]);
  });

  test("an acknowledgement from before it broke does not count", () => {
    const cluster = corrupted();
    const leader = cluster.node(1);
    cluster.isolate(2);
    cluster.run(60);
    cluster.propose(1, "d");
    leader.receive(3, leader.core.term, success(leader.core.lastIndex));
    expect(leader.core.commitIndex).toBe(4);
  });
});
