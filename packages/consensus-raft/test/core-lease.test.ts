/** Reads by lease: when nobody else can lead, and everything that must end that. */
import { describe, expect, test } from "vitest";
import { configurationOf } from "../src/core/configuration.ts";
import type { Effect, Message, MessageBody } from "../src/core/types.ts";
import {
  electionTimeoutMs,
  entry,
  generation,
  nodeId,
  replica,
  replicas,
  storeIdOf,
  TestCluster,
  TestNode,
  type NodeOptions,
} from "./support/cluster.ts";

const T = electionTimeoutMs;
const marginMs = T / 10;
const leased: NodeOptions = { leaseReads: { marginMs } };
const request: MessageBody = { type: "vote-request", pre: false, transfer: false, lastIndex: 99, lastTerm: 99 };

function cluster(numbers: readonly number[] = [1, 2, 3]): TestCluster {
  return new TestCluster(numbers, () => leased);
}

/** A leader whose lease a round of heartbeats has just confirmed. */
function leaseholder(world: TestCluster): TestNode {
  const leader = world.elect(1);
  beat(world);
  expect(leader.core.holdsLease(leader.nowMs)).toBe(true);
  return leader;
}

/** Lets one heartbeat be due and answered, without any time of its own. */
function beat(world: TestCluster): void {
  for (const node of world.nodes.values()) node.nowMs += T / 5;
  world.node(1).step({ type: "tick" });
  world.settle();
}

/** What a read gets at once, without any message; undefined where it must wait. */
function readNow(node: TestNode, id = 77): number | undefined {
  const ready = node
    .step({ type: "read", id })
    .find((effect): effect is Effect & { readonly type: "read-ready" } => effect.type === "read-ready");
  return ready?.ids.includes(id) === true ? ready.index : undefined;
}

function setTime(world: TestCluster, nowMs: number): void {
  for (const node of world.nodes.values()) node.nowMs = nowMs;
}

describe("a lease", () => {
  test("is not there unless asked for", () => {
    const world = new TestCluster([1, 2, 3]);
    const leader = world.elect(1);
    beat(world);
    expect([leader.core.holdsLease(leader.nowMs), readNow(leader)]).toEqual([false, undefined]);
  });

  test("answers a read at once, at the commit index, without a message", () => {
    const world = cluster();
    const leader = leaseholder(world);
    leader.takeSent();
    expect(readNow(leader)).toBe(leader.core.commitIndex);
    expect(leader.takeSent()).toEqual([]);
  });

  test("lasts T less its margin from the send of the round, and a read then asks a quorum again", () => {
    const world = cluster();
    const leader = leaseholder(world);
    const sentMs = leader.nowMs;
    setTime(world, sentMs + T - marginMs - 1);
    expect(leader.core.holdsLease(leader.nowMs)).toBe(true);
    setTime(world, sentMs + T - marginMs);
    expect(readNow(leader)).toBeUndefined();
    leader.effects = [];
    world.settle();
    expect(leader.effects).toContainEqual({ type: "read-ready", ids: [77], index: leader.core.commitIndex });
  });

  test("counts from the send even where the answer was under way for long", () => {
    const world = cluster();
    const leader = world.elect(1);
    const delayed: Message[] = [];
    world.passes = (message) => {
      if (message.type === "heartbeat-response") delayed.push(message);
      return message.type !== "heartbeat-response";
    };
    beat(world);
    const sentMs = leader.nowMs;
    leader.nowMs = sentMs + T - marginMs;
    for (const message of delayed) leader.step({ type: "message", message });
    expect(leader.core.holdsLease(leader.nowMs)).toBe(false);
  });

  test("is confirmed by a quorum of answers to the latest rounds, not by one voter's, and not by another store's", () => {
    const world = cluster([1, 2, 3, 4, 5]);
    const leader = world.elect(1);
    world.passes = (message) => message.type !== "heartbeat-response";
    beat(world);
    const answer = { type: "heartbeat-response", round: 1, repair: "sound" } as const;
    leader.receive(2, 1, answer);
    leader.receive(3, 1, answer, 1);
    expect(leader.core.holdsLease(leader.nowMs)).toBe(false);
    leader.receive(3, 1, answer);
    expect(leader.core.holdsLease(leader.nowMs)).toBe(true);
  });

  test("does not take the answer to an earlier round for one to a later", () => {
    const world = cluster();
    const leader = world.elect(1);
    world.passes = (message) => message.type !== "heartbeat-response";
    beat(world);
    const sentMs = leader.nowMs;
    beat(world);
    beat(world);
    leader.receive(2, 1, { type: "heartbeat-response", round: 1, repair: "sound" });
    expect(leader.core.holdsLease(sentMs + T - marginMs - 1)).toBe(true);
    expect(leader.core.holdsLease(sentMs + T - marginMs)).toBe(false);
  });

  test("does not answer before an entry of the own term has committed (etcd#7331)", () => {
    const world = cluster();
    world.passes = (message) => message.type !== "append-response";
    const leader = world.elect(1);
    beat(world);
    expect([leader.core.commitIndex, readNow(leader)]).toEqual([0, undefined]);
  });

  test("of a sole voter needs nobody", () => {
    const world = cluster([1]);
    const node = world.node(1);
    node.advance(0);
    setTime(world, 10 * T);
    expect(readNow(node)).toBe(1);
  });

  test("does not rest on a voter whose log is corrupt", () => {
    const world = cluster();
    const leader = world.elect(1);
    world.isolate(2);
    world.passes = (message) => message.type !== "heartbeat-response";
    beat(world);
    leader.receive(3, 1, { type: "heartbeat-response", round: 1, repair: "corrupt" });
    expect(leader.core.holdsLease(leader.nowMs)).toBe(false);
  });
});

describe("a lease is void", () => {
  test("after its leader stood still, whatever answers to earlier rounds come in then", () => {
    const world = cluster();
    const leader = leaseholder(world);
    world.passes = (message) => message.type !== "heartbeat-response";
    beat(world);
    const { round } = leader.effects
      .flatMap((effect) => (effect.type === "send" ? [effect.message] : []))
      .findLast((message): message is Message & { readonly type: "heartbeat" } => message.type === "heartbeat")!;
    leader.step({ type: "stalled" });
    expect(readNow(leader)).toBeUndefined();
    for (const peer of [2, 3]) leader.receive(peer, 1, { type: "heartbeat-response", round, repair: "sound" });
    expect(leader.core.holdsLease(leader.nowMs)).toBe(false);
    world.heal();
    beat(world);
    expect(leader.core.holdsLease(leader.nowMs)).toBe(true);
  });

  test("after the wall clock jumped, until a round that began afterwards was answered", () => {
    const world = cluster();
    const leader = leaseholder(world);
    leader.takeSent();
    leader.step({ type: "clock-jumped" });
    expect(readNow(leader)).toBeUndefined();
    world.settle();
    expect(leader.core.holdsLease(leader.nowMs)).toBe(true);
  });

  test("while leadership is being transferred, and after a transfer whose successor was never told until a fresh round", () => {
    const world = cluster();
    const leader = leaseholder(world);
    world.passes = (message) => message.type !== "append";
    world.propose(1, "kept from the successor");
    leader.step({ type: "transfer", id: 5, to: nodeId(3) });
    expect(leader.sent.filter((message) => message.type === "timeout-now")).toEqual([]);
    expect(readNow(leader)).toBeUndefined();
    for (let passed = 0; passed <= T; passed += T / 5) beat(world);
    expect(leader.effects).toContainEqual({ type: "transfer-done", id: 5, success: false });
    beat(world);
    expect(leader.core.holdsLease(leader.nowMs)).toBe(true);
  });

  test("for the rest of the term once a successor was told to campaign: that message may arrive whenever it likes", () => {
    const world = cluster();
    const leader = leaseholder(world);
    const late: Message[] = [];
    world.passes = (message) => {
      if (message.type === "timeout-now") late.push(message);
      return message.type !== "timeout-now";
    };
    leader.step({ type: "transfer", id: 5, to: nodeId(3) });
    for (let beats = 0; beats < 15; beats += 1) beat(world);
    expect(leader.effects).toContainEqual({ type: "transfer-done", id: 5, success: false });
    expect([leader.core.isLeader, leader.core.holdsLease(leader.nowMs)]).toEqual([true, false]);
    // Now it arrives, and the leader hears nothing of it: a read by lease would miss what the successor commits.
    world.heal();
    world.passes = (message) => message.to !== leader.id && message.from !== leader.id;
    for (const message of late) world.node(3).step({ type: "message", message });
    world.settle();
    world.propose(3, "new");
    world.settle();
    expect([world.node(3).core.isLeader, readNow(leader)]).toEqual([true, undefined]);
    world.heal();
    world.run(10 * T);
    expect(world.leaders()).toHaveLength(1);
  });

  test("once its leader lost its place, and is not there again before the next term's own round", () => {
    const world = cluster();
    const leader = leaseholder(world);
    leader.receive(2, 9, {
      type: "append-response",
      success: false,
      index: 0,
      hintIndex: 0,
      hintTerm: 0,
      repair: "sound",
    });
    expect([leader.core.isLeader, leader.core.holdsLease(leader.nowMs)]).toEqual([false, false]);
    world.elect(1);
    expect(leader.core.holdsLease(leader.nowMs)).toBe(false);
    beat(world);
    expect(leader.core.holdsLease(leader.nowMs)).toBe(true);
  });
});

describe("a lease across a change of voters", () => {
  test("needs both halves of a joint configuration from its append on", () => {
    const world = cluster();
    const leader = leaseholder(world);
    world.passes = () => false;
    const changed = { voters: replicas(1, 4, 5), learners: [], generation: generation(2) };
    leader.step({ type: "change", id: 9, ...changed });
    expect(leader.core.configuration?.outgoing).toEqual(replicas(1, 2, 3));
    expect(readNow(leader)).toBeUndefined();
    // What the old voters have confirmed runs out meanwhile.
    leader.nowMs += T - T / 5;
    leader.advance(T / 5);
    const round = leader.sent.findLast((message) => message.type === "heartbeat")!.round;
    const answer = { type: "heartbeat-response", round, repair: "sound" } as const;
    leader.receive(4, 1, answer);
    expect(leader.core.holdsLease(leader.nowMs)).toBe(false);
    leader.receive(3, 1, answer);
    expect(leader.core.holdsLease(leader.nowMs)).toBe(true);
  });

  test("needs a quorum of the new voters alone once the joint configuration is left", () => {
    const world = cluster();
    const leader = leaseholder(world);
    for (const n of [4, 5]) world.add(n, { nowMs: leader.nowMs, ...leased });
    leader.step({ type: "change", id: 9, voters: replicas(1, 4, 5), learners: [], generation: generation(2) });
    world.settle();
    world.run(T);
    expect(leader.core.configuration).toEqual({ voters: replicas(1, 4, 5), learners: [], generation: 2 });
    world.passes = (message) => message.from !== nodeId(4) && message.from !== nodeId(5);
    setTime(world, leader.nowMs + T / 2);
    leader.step({ type: "tick" });
    world.settle();
    setTime(world, leader.nowMs + T / 2);
    expect(leader.core.holdsLease(leader.nowMs)).toBe(false);
  });

  test("is confirmed by a voter's new store, not by the one that it replaces", () => {
    const world = cluster();
    const leader = leaseholder(world);
    world.passes = () => false;
    const voters = [replica(1), replica(2), replica(3, 1)];
    leader.step({ type: "change", id: 9, voters, learners: [], generation: generation(2) });
    // What the old voters have confirmed runs out meanwhile.
    leader.nowMs += T - T / 5;
    leader.advance(T / 5);
    const round = leader.sent.findLast((message) => message.type === "heartbeat")!.round;
    leader.receive(3, 1, { type: "heartbeat-response", round, repair: "sound" });
    expect(leader.core.holdsLease(leader.nowMs)).toBe(false);
    leader.receive(2, 1, { type: "heartbeat-response", round, repair: "sound" });
    expect(leader.core.holdsLease(leader.nowMs)).toBe(true);
  });
});

describe("a voter that a lease counts on", () => {
  const configuration = configurationOf(replicas(1, 2, 3));

  test("votes for nobody within T of having heard a leader, though a later term made it forget that one", () => {
    const node = new TestNode(2, { configuration, ...leased });
    node.receive(1, 1, { type: "heartbeat", round: 1, commit: 0, repairIndex: 0 });
    node.receive(3, 5, { type: "vote-response", pre: false, granted: false });
    expect([node.core.term, node.core.leader]).toEqual([5, undefined]);
    node.takeSent();
    node.nowMs += T - 1;
    for (const pre of [true, false]) node.receive(3, 6, { ...request, pre });
    expect([node.core.term, node.takeSent()]).toEqual([5, []]);
    node.nowMs += 1;
    node.receive(3, 6, request);
    expect(node.takeSent()).toMatchObject([{ type: "vote-response", granted: true }]);
  });

  test("votes for nobody within T of its restart, not for itself either, unless the old leader asked for it", () => {
    const options = { configuration, term: 1, entries: [entry(1, 1)], nowMs: 500, ...leased };
    const node = new TestNode(2, options);
    node.nowMs += T - 1;
    node.receive(3, 2, request);
    node.step({ type: "campaign" });
    node.advance(0);
    expect([node.core.role, node.core.term, node.takeSent()]).toEqual(["follower", 1, []]);
    node.receive(3, 2, { ...request, transfer: true });
    expect(node.takeSent()).toMatchObject([{ type: "vote-response", granted: true }]);
    const patient = new TestNode(2, options);
    patient.nowMs += T;
    patient.receive(3, 2, request);
    expect(patient.takeSent()).toMatchObject([{ type: "vote-response", granted: true }]);
    const plain = new TestNode(2, { configuration, term: 1, entries: [entry(1, 1)] });
    plain.receive(3, 2, request);
    expect(plain.takeSent()).toMatchObject([{ type: "vote-response", granted: true }]);
  });

  test("votes at once where it has never been anybody's follower, or is alone", () => {
    const fresh = new TestNode(2, { configuration, ...leased });
    fresh.receive(3, 1, { ...request, lastIndex: 0, lastTerm: 0 });
    expect(fresh.takeSent()).toMatchObject([{ type: "vote-response", granted: true }]);
    const alone = new TestNode(1, { configuration: configurationOf(replicas(1)), term: 4, ...leased });
    alone.advance(0);
    expect(alone.core.isLeader).toBe(true);
  });

  test("does not forget its leader on request", () => {
    const node = new TestNode(2, { configuration, ...leased });
    node.receive(1, 1, { type: "heartbeat", round: 1, commit: 0, repairIndex: 0 });
    node.step({ type: "forget-leader" });
    expect(node.core.leader).toBe(nodeId(1));
  });

  test("that was restarted under a leader that is cut off lets nobody else lead before the lease has run out", () => {
    const world = cluster();
    const leader = leaseholder(world);
    const sentMs = leader.nowMs;
    world.isolate(1);
    // Node 3 heard nothing of that round, and stands as soon as its timer lets it; node 2 forgot that it had.
    world.node(2).restart();
    const other = world.node(3);
    other.core.step({ type: "forget-leader" }, other.nowMs);
    for (let passed = 0; passed < 4 * T && world.leaders().every((n) => n === 1); passed += 1) {
      for (const n of [2, 3]) world.node(n).advance(1);
      world.settle();
    }
    const electedMs = other.nowMs;
    expect(world.leaders().some((n) => n !== 1)).toBe(true);
    expect(electedMs).toBeGreaterThanOrEqual(sentMs + T);
    expect(leader.core.holdsLease(electedMs)).toBe(false);
  });
});

test("what a deposed leader answered by lease was current: whoever leads next waits for it to run out", () => {
  const world = cluster();
  const leader = leaseholder(world);
  world.isolate(1);
  let lastRead = 0;
  for (let passed = 0; passed < 5 * T; passed += 1) {
    setTime(world, leader.nowMs + 1);
    for (const n of [2, 3]) world.node(n).step({ type: "tick" });
    world.settle();
    const committed = Math.max(...[2, 3].map((n) => world.node(n).core.commitIndex));
    if (leader.core.holdsLease(leader.nowMs)) {
      expect(leader.core.commitIndex).toBeGreaterThanOrEqual(committed);
      lastRead = leader.nowMs;
    }
    const next = world.leaders().find((n) => n !== 1);
    if (next !== undefined) world.propose(next, "new");
  }
  expect(lastRead).toBeGreaterThan(0);
  expect(world.node(2).core.commitIndex).toBeGreaterThan(leader.core.commitIndex);
});

test("an address whose disk was wiped confirms nothing", () => {
  const world = cluster();
  const leader = world.elect(1);
  world.passes = () => false;
  beat(world);
  leader.step({
    type: "message",
    message: {
      from: nodeId(2),
      fromStore: storeIdOf(2, 1),
      to: leader.id,
      toStore: storeIdOf(1),
      term: 1,
      type: "heartbeat-response",
      round: 1,
      repair: "sound",
    },
  });
  expect(leader.core.holdsLease(leader.nowMs)).toBe(false);
});
