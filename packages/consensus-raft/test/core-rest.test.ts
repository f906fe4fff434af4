/** When a core rests, what ends that, and what it takes over from its host. */
import { expect, test } from "vitest";
import { configurationOf } from "../src/core/configuration.ts";
import type { Presence } from "../src/core/rest.ts";
import { electionTimeoutMs as T, entry, nodeId, replicas, TestCluster, TestNode } from "./support/cluster.ts";

/** What the host knows, as the test has it. */
class Known implements Presence {
  heard = -Infinity;
  covered = true;
  gone = false;

  heardMs(): number {
    return this.heard;
  }

  covers(): boolean {
    return this.covered;
  }

  isGone(): boolean {
    return this.gone;
  }
}

const configuration = configurationOf(replicas(1, 2, 3));

/** A follower of node 2 in term 1. */
function follower(known: Known): TestNode {
  const node = new TestNode(1, { configuration, presence: known });
  node.receive(2, 1, { type: "append", prevIndex: 0, prevTerm: 0, commit: 1, entries: [entry(1, 1)] });
  expect(node.core.leader).toBe(nodeId(2));
  return node;
}

test("a follower rests only behind the leader and in the term that it is in", () => {
  const node = follower(new Known());
  node.step({ type: "rest", leader: nodeId(3), term: 1 });
  expect(node.core.wakeMs).toBeLessThan(Infinity);
  node.step({ type: "rest", leader: nodeId(2), term: 2 });
  expect(node.core.wakeMs).toBeLessThan(Infinity);
  node.step({ type: "rest", leader: nodeId(2), term: 1 });
  expect(node.core.wakeMs).toBe(Infinity);
});

test("a lone replica, which has no host, does not rest", () => {
  const node = new TestNode(1, { configuration });
  node.receive(2, 1, { type: "append", prevIndex: 0, prevTerm: 0, commit: 1, entries: [entry(1, 1)] });
  node.step({ type: "rest", leader: nodeId(2), term: 1 });
  expect(node.core.wakeMs).toBeLessThan(Infinity);
});

test("a follower that is roused goes on as if the last beat had been a heartbeat", () => {
  const known = new Known();
  const node = follower(known);
  node.step({ type: "rest", leader: nodeId(2), term: 1 });
  node.nowMs = 50 * T;
  known.heard = 50 * T - T / 2;
  node.step({ type: "rouse" });
  expect(node.core.wakeMs).toBeGreaterThanOrEqual(known.heard + T);
  expect(node.core.wakeMs).toBeLessThan(known.heard + 2 * T);
});

test("a later term ends a rest", () => {
  const node = follower(new Known());
  node.step({ type: "rest", leader: nodeId(2), term: 1 });
  node.receive(3, 2, { type: "append", prevIndex: 1, prevTerm: 1, commit: 1, entries: [] });
  expect(node.core.leader).toBe(nodeId(3));
  expect(node.core.wakeMs).toBeLessThan(Infinity);
});

test("a follower that rests refuses a candidate as one that heard a heartbeat, for as long as its host hears the leader's", () => {
  const known = new Known();
  const node = follower(known);
  node.step({ type: "rest", leader: nodeId(2), term: 1 });
  node.nowMs = 50 * T;
  known.heard = node.nowMs - T / 2;
  node.takeSent();
  const ask = { type: "vote-request", pre: false, transfer: false, lastIndex: 9, lastTerm: 1 } as const;
  node.receive(3, 2, ask);
  expect([node.core.term, node.takeSent()]).toEqual([1, []]);
  node.nowMs += T;
  node.receive(3, 2, ask);
  expect(node.takeSent()).toMatchObject([{ type: "vote-response", granted: true }]);
});

test("what a host says to have heard in the future counts as heard now", () => {
  const known = new Known();
  const node = follower(known);
  node.step({ type: "rest", leader: nodeId(2), term: 1 });
  known.heard = 1e9;
  node.nowMs = 10 * T;
  node.step({ type: "rouse" });
  expect(node.core.wakeMs).toBeLessThanOrEqual(12 * T);
});

/** Three cores whose hosts know all of each other; node 1 leads. */
function ledByOne(known: Known): TestCluster {
  const cluster = new TestCluster([1, 2, 3], () => ({ presence: known }));
  cluster.elect(1);
  return cluster;
}

test("a leader rests once everybody has answered a round after the last commit, and a proposal wakes it", () => {
  const cluster = ledByOne(new Known());
  cluster.passes = (message) => message.type !== "heartbeat-response" || message.from !== nodeId(3);
  cluster.run(T);
  expect(cluster.node(1).core.wakeMs).toBeLessThan(Infinity);
  cluster.heal();
  cluster.run(T);
  expect(cluster.node(1).core.wakeMs).toBe(Infinity);
  cluster.propose(1, "awake");
  expect(cluster.node(1).core.wakeMs).toBeLessThan(Infinity);
  cluster.run(T);
  expect(cluster.node(1).core.wakeMs).toBe(Infinity);
  cluster.node(1).step({ type: "rouse" });
  expect(cluster.node(1).core.wakeMs).toBe(cluster.node(1).nowMs);
});

test("a leader whose claim is not taken asks for it, and goes on beating", () => {
  const known = new Known();
  known.covered = false;
  const cluster = ledByOne(known);
  cluster.run(2 * T);
  const { core, effects } = cluster.node(1);
  expect(core.wakeMs).toBeLessThan(Infinity);
  expect(effects.findLast((effect) => effect.type === "rest-asked")).toEqual({
    type: "rest-asked",
    term: core.term,
    peers: replicas(2, 3),
  });
});

test("a follower whose host is gone is waited for two election timeouts, and no longer", () => {
  const known = new Known();
  const cluster = ledByOne(known);
  cluster.isolate(3);
  cluster.propose(1, "without it");
  cluster.run(1.5 * T);
  expect(cluster.node(1).core.wakeMs).toBeLessThan(Infinity);
  // Its host may be alive all the same: then it is waited for.
  cluster.run(3 * T);
  expect(cluster.node(1).core.wakeMs).toBeLessThan(Infinity);
  known.gone = true;
  cluster.run(T);
  expect(cluster.node(1).core.wakeMs).toBe(Infinity);
});

test("a leader that rests steps down where its followers' hosts fall silent for an election timeout", () => {
  const known = new Known();
  const cluster = ledByOne(known);
  cluster.run(0.8 * T);
  const one = cluster.node(1);
  expect(one.core.wakeMs).toBe(Infinity);
  known.heard = one.nowMs;
  one.nowMs += 0.6 * T;
  one.step({ type: "rouse" });
  expect(one.core.isLeader).toBe(true);
  one.advance(T);
  one.advance(T);
  expect(one.core.isLeader).toBe(false);
});
