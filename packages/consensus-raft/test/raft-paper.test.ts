/** What the Raft paper says, section by section; the names are those of etcd's `raft_paper_test.go`. */
import { describe, expect, test } from "vitest";
import type { CoreRole, Message, MessageBody } from "../src/core/types.ts";
import { configurationOf } from "../src/core/configuration.ts";
import {
  electionTimeoutMs,
  entry,
  lcg,
  nodeId,
  replicas,
  TestCluster,
  TestNode,
  type NodeOptions,
} from "./support/cluster.ts";

const grantPre: MessageBody = { type: "vote-response", pre: true, granted: true };
const grant: MessageBody = { type: "vote-response", pre: false, granted: true };
const refusal: MessageBody = { type: "vote-response", pre: false, granted: false };

function voteRequest(lastIndex: number, lastTerm: number): MessageBody {
  return { type: "vote-request", pre: false, transfer: false, lastIndex, lastTerm };
}

function append(
  prevIndex: number,
  prevTerm: number,
  commit: number,
  entries: readonly ReturnType<typeof entry>[] = [],
): MessageBody {
  return { type: "append", prevIndex, prevTerm, commit, entries };
}

function success(index: number): MessageBody {
  return { type: "append-response", success: true, index, hintIndex: 0, hintTerm: 0, repair: "sound" };
}

function voters(size: number): readonly number[] {
  return Array.from({ length: size }, (_, at) => at + 1);
}

function node(options: NodeOptions = {}, size = 3): TestNode {
  return new TestNode(1, { configuration: configurationOf(replicas(...voters(size))), ...options });
}

function majority(size: number): number {
  return Math.floor(size / 2);
}

/** Wins the pre-vote, so that the node is a candidate in the next term. */
function makeCandidate(one: TestNode, size = 3): TestNode {
  one.step({ type: "campaign" });
  for (let peer = 2; peer <= majority(size) + 1; peer += 1) one.receive(peer, one.core.term + 1, grantPre);
  return one;
}

function makeLeader(one: TestNode, size = 3): TestNode {
  makeCandidate(one, size);
  for (let peer = 2; peer <= majority(size) + 1; peer += 1) one.receive(peer, one.core.term, grant);
  return one;
}

/** A leader whose no-op has committed. */
function makeSettledLeader(one: TestNode, size = 3): TestNode {
  makeLeader(one, size);
  for (let peer = 2; peer <= size; peer += 1) one.receive(peer, one.core.term, success(one.core.lastIndex));
  one.takeSent();
  return one;
}

function propose(one: TestNode, text: string): void {
  one.step({ type: "propose", id: 1, payloads: [new TextEncoder().encode(text)] });
}

function ofType<T extends Message["type"]>(
  messages: readonly Message[],
  type: T,
): readonly (Message & { readonly type: T })[] {
  return messages.filter((message): message is Message & { readonly type: T } => message.type === type);
}

const roles: readonly [string, CoreRole, () => TestNode][] = [
  ["TestFollowerUpdateTermFromMessage", "follower", () => node({ term: 1 })],
  ["TestCandidateUpdateTermFromMessage", "candidate", () => makeCandidate(node())],
  ["TestLeaderUpdateTermFromMessage", "leader", () => makeLeader(node())],
];

/** One of each kind, as any node may send it. */
const anyMessages: readonly MessageBody[] = [
  append(0, 0, 0, [entry(1, 1)]),
  success(9),
  { type: "heartbeat", round: 1, commit: 0, repairIndex: 0 },
  { type: "heartbeat-response", round: 1, repair: "sound" },
  { ...voteRequest(9, 9), transfer: true } as MessageBody,
  grant,
  refusal,
  { type: "timeout-now" },
];
/** Only who leads sends these. */
const leadersMessages = ["append", "heartbeat"];

describe("§5.1 terms", () => {
  for (const [name, role, make] of roles) {
    test(`${name}: a ${role} that sees a larger term follows in it, whatever the message`, () => {
      for (const message of anyMessages) {
        const one = make();
        expect([one.core.role, one.core.term]).toEqual([role, 1]);
        one.receive(2, 2, message);
        const leader = leadersMessages.includes(message.type) ? nodeId(2) : undefined;
        expect([one.core.role, one.core.term, one.core.leader], message.type).toEqual(["follower", 2, leader]);
        expect(one.stored.term, message.type).toBe(2);
      }
    });
  }

  test("TestRejectStaleTermMessage: a message of an earlier term changes nothing, and who leads or asks is told of the later one", () => {
    for (const make of [
      () => node({ term: 2 }),
      () => makeCandidate(node({ term: 1 })),
      () => makeLeader(node({ term: 1 })),
    ]) {
      for (const message of anyMessages) {
        const one = make();
        one.takeSent();
        const before = [one.core.role, one.core.term, one.core.vote, one.core.leader, one.log(), one.core.commitIndex];
        one.receive(2, 1, message);
        expect(
          [one.core.role, one.core.term, one.core.vote, one.core.leader, one.log(), one.core.commitIndex],
          message.type,
        ).toEqual(before);
        const answers = one
          .takeSent()
          .map((answer) => [
            answer.type,
            answer.term,
            (answer.type === "append-response" && answer.success) ||
              (answer.type === "vote-response" && answer.granted),
          ]);
        if (leadersMessages.includes(message.type)) expect(answers).toEqual([["append-response", 2, false]]);
        else if (message.type === "vote-request") expect(answers).toEqual([["vote-response", 2, false]]);
        else expect(answers).toEqual([]);
      }
    }
  });
});

describe("§5.2 elections", () => {
  test("TestStartAsFollower: a node begins as a follower, and remains one for as long as it hears from a leader", () => {
    const one = node();
    expect([one.core.role, one.core.term, one.core.leader]).toEqual(["follower", 0, undefined]);
    for (let beats = 0; beats < 50; beats += 1) {
      one.receive(2, 1, { type: "heartbeat", round: beats, commit: 0, repairIndex: 0 });
      one.advance(electionTimeoutMs - 1);
    }
    expect([one.core.role, one.core.term, one.core.leader]).toEqual(["follower", 1, nodeId(2)]);
  });

  test("TestLeaderBcastBeat: a leader sends heartbeats to all others when one is due", () => {
    const one = makeSettledLeader(node());
    one.advance(electionTimeoutMs / 5);
    const beats = ofType(one.takeSent(), "heartbeat");
    expect(beats.map((message) => [message.to, message.term])).toEqual([2, 3].map((n) => [nodeId(n), 1]));
    one.advance(electionTimeoutMs / 5 - 1);
    expect(one.takeSent()).toEqual([]);
    one.advance(1);
    expect(ofType(one.takeSent(), "heartbeat")).toHaveLength(2);
  });

  for (const role of ["follower", "candidate"] as const) {
    const name = role === "follower" ? "TestFollowerStartElection" : "TestCandidateStartNewElection";
    test(`${name}: a ${role} that hears nothing begins an election in the next term, voting for itself`, () => {
      const one = role === "follower" ? node({ term: 1 }) : makeCandidate(node());
      one.takeSent();
      one.advance(2 * electionTimeoutMs);
      expect(one.core.role).toBe("pre-candidate");
      one.receive(2, one.core.term + 1, grantPre);
      expect([one.core.role, one.core.term, one.core.vote]).toEqual(["candidate", 2, one.id]);
      const requests = ofType(one.takeSent(), "vote-request").filter((message) => !message.pre);
      expect(requests.map((message) => [message.to, message.term])).toEqual([2, 3].map((n) => [nodeId(n), 2]));
    });
  }

  const rounds: readonly [number, Readonly<Record<number, boolean>>, CoreRole][] = [
    [1, {}, "leader"],
    [3, { 2: true, 3: true }, "leader"],
    [3, { 2: true }, "leader"],
    [5, { 2: true, 3: true, 4: true, 5: true }, "leader"],
    [5, { 2: true, 3: true, 4: true }, "leader"],
    [5, { 2: true, 3: true }, "leader"],
    [3, { 2: false, 3: false }, "follower"],
    [5, { 2: false, 3: false, 4: false, 5: false }, "follower"],
    [5, { 2: true, 3: false, 4: false, 5: false }, "follower"],
    [3, {}, "candidate"],
    [5, { 2: true }, "candidate"],
    [5, { 2: false, 3: false }, "candidate"],
    [5, {}, "candidate"],
  ];
  test.each(rounds)("TestLeaderElectionInOneRoundRPC: of %i voters, answers %j make a %s", (size, answers, role) => {
    const one = makeCandidate(node({}, size), size);
    for (const [peer, granted] of Object.entries(answers)) one.receive(Number(peer), 1, granted ? grant : refusal);
    expect([one.core.role, one.core.term]).toEqual([role, 1]);
  });

  test.each([
    [undefined, 2, true],
    [undefined, 3, true],
    [2, 2, true],
    [3, 3, true],
    [2, 3, false],
    [3, 2, false],
  ] as const)("TestFollowerVote: having voted for %s, a request of %i is granted: %s", (vote, candidate, granted) => {
    const one = node({ term: 1, ...(vote === undefined ? {} : { vote: nodeId(vote) }) });
    one.receive(candidate, 1, voteRequest(0, 0));
    expect(ofType(one.takeSent(), "vote-response").map((message) => [message.to, message.granted])).toEqual([
      [nodeId(candidate), granted],
    ]);
    if (granted) expect(one.stored.vote).toBe(nodeId(candidate));
  });

  test.each([1, 2])("TestCandidateFallback: a candidate that hears a leader of term %i follows it", (term) => {
    const one = makeCandidate(node());
    one.receive(2, term, append(0, 0, 0));
    expect([one.core.role, one.core.term, one.core.leader]).toEqual(["follower", term, nodeId(2)]);
  });

  /** How long a node waits before it campaigns, for many nodes that differ in their seed only. */
  function timeouts(role: "follower" | "candidate", seed: number, count: number): readonly number[] {
    return Array.from({ length: count }, (_, at) => {
      const one =
        role === "follower"
          ? node({ random: lcg(seed + at * 31) })
          : makeCandidate(node({ random: lcg(seed + at * 31) }));
      one.takeSent();
      let waited = 0;
      while (ofType(one.takeSent(), "vote-request").length === 0) {
        waited += 1;
        one.advance(1);
      }
      return waited;
    });
  }

  for (const role of ["follower", "candidate"] as const) {
    const title = role === "follower" ? "Follower" : "Candidate";
    test(`Test${title}ElectionTimeoutRandomized: a ${role} waits for anything in [T, 2T)`, () => {
      const seen = new Set(timeouts(role, 11, 2000));
      for (let ms = electionTimeoutMs + 1; ms <= 2 * electionTimeoutMs; ms += 1) expect(seen, `${ms} ms`).toContain(ms);
      expect(Math.min(...seen)).toBeGreaterThan(electionTimeoutMs - 1);
      expect(Math.max(...seen)).toBeLessThanOrEqual(2 * electionTimeoutMs);
    });

    test(`Test${title}sElectionTimeoutNonconflict: of five ${role}s one is usually first`, () => {
      let conflicts = 0;
      const elections = 300;
      for (let round = 0; round < elections; round += 1) {
        const waits = timeouts(role, round * 1_000_003 + 7, 5).toSorted((left, right) => left - right);
        if (waits[0] === waits[1]) conflicts += 1;
      }
      expect(conflicts / elections).toBeLessThan(0.3);
    });
  }
});

describe("§5.3 replication", () => {
  test("TestLeaderStartReplication: a proposal is appended and sent to every follower in parallel", () => {
    const one = makeSettledLeader(node());
    propose(one, "some data");
    expect([one.core.lastIndex, one.core.commitIndex]).toEqual([2, 1]);
    const appends = ofType(one.takeSent(), "append");
    expect(appends.map((message) => [message.to, message.prevIndex, message.prevTerm, message.commit])).toEqual(
      [2, 3].map((n) => [nodeId(n), 1, 1, 1]),
    );
    for (const message of appends) expect(message.entries.map((each) => [each.index, each.term])).toEqual([[2, 1]]);
  });

  test("TestLeaderCommitEntry: an entry that a majority holds is committed, applied, and followers are told", () => {
    const one = makeSettledLeader(node());
    propose(one, "some data");
    one.takeSent();
    one.receive(2, 1, success(2));
    one.receive(3, 1, success(2));
    expect(one.core.commitIndex).toBe(2);
    expect(one.applied.map((each) => each.index)).toEqual([1, 2]);
    one.step({ type: "announce" });
    expect(ofType(one.takeSent(), "append").map((message) => [message.to, message.commit])).toEqual(
      [2, 3].map((n) => [nodeId(n), 2]),
    );
  });

  test.each([
    [1, [], true],
    [3, [], false],
    [3, [2], true],
    [3, [2, 3], true],
    [5, [], false],
    [5, [2], false],
    [5, [2, 3], true],
    [5, [2, 3, 4], true],
    [5, [2, 3, 4, 5], true],
  ] as const)(
    "TestLeaderAcknowledgeCommit: of %i voters, acknowledged by %j: committed %s",
    (size, acceptors, committed) => {
      const one = makeSettledLeader(node({}, size), size);
      propose(one, "some data");
      for (const peer of acceptors) one.receive(peer, 1, success(2));
      expect(one.core.commitIndex > 1).toBe(committed);
    },
  );

  test.each([[[]], [[2]], [[1, 2]], [[1]]] as const)(
    "TestLeaderCommitPrecedingEntries: terms %j before it commit with it",
    (terms) => {
      const entries = terms.map((term, at) => entry(at + 1, term));
      const one = makeLeader(node({ entries, term: 2 }));
      propose(one, "some data");
      const last = terms.length + 2;
      for (const peer of [2, 3]) one.receive(peer, 3, success(last));
      expect(one.applied.map((each) => [each.index, each.term])).toEqual([
        ...terms.map((term, at) => [at + 1, term]),
        [terms.length + 1, 3],
        [last, 3],
      ]);
    },
  );

  test.each([
    [[entry(1, 1, "a")], 1],
    [[entry(1, 1, "a"), entry(2, 1, "b")], 2],
    [[entry(1, 1, "b"), entry(2, 1, "a")], 2],
    [[entry(1, 1, "a"), entry(2, 1, "b")], 1],
  ])("TestFollowerCommitEntry: a follower applies what the leader says is committed", (entries, commit) => {
    const one = node({ term: 1 });
    one.receive(2, 1, append(0, 0, commit, entries));
    expect(one.core.commitIndex).toBe(commit);
    expect(one.applied).toEqual(entries.slice(0, commit));
    // A commit index beyond what was sent says nothing about what else is here.
    const behind = node({ term: 1, entries });
    behind.receive(2, 1, append(0, 0, 99, entries.slice(0, 1)));
    expect(behind.core.commitIndex).toBe(1);
  });

  // What is committed agrees anyway, so it is said of the entry before it.
  test.each([
    [0, 0, true, 1, 0, 0],
    [1, 1, true, 1, 0, 0],
    [2, 2, true, 2, 0, 0],
    [2, 1, false, 2, 1, 1],
    [2, 3, false, 2, 2, 2],
    [3, 3, false, 3, 2, 2],
    [3, 1, false, 3, 1, 1],
  ] as const)(
    "TestFollowerCheckMsgApp: what follows (%i, term %i) is taken: %s; index %i, may agree at (%i, term %i)",
    (prevIndex, prevTerm, accepted, index, hintIndex, hintTerm) => {
      const one = node({ entries: [entry(1, 1), entry(2, 2)], term: 3, commitIndex: 1 });
      one.receive(2, 3, append(prevIndex, prevTerm, 0));
      expect(ofType(one.takeSent(), "append-response")).toMatchObject([
        { success: accepted, index, hintIndex, hintTerm },
      ]);
      expect(one.log()).toEqual(["1/1", "2/2"]);
    },
  );

  test.each([
    [2, 2, [[3, 3]], ["1/1", "2/2", "3/3"], [[3, 3]]],
    [
      1,
      1,
      [
        [2, 3],
        [3, 4],
      ],
      ["1/1", "2/3", "3/4"],
      [
        [2, 3],
        [3, 4],
      ],
    ],
    [0, 0, [[1, 1]], ["1/1", "2/2"], []],
    [0, 0, [[1, 3]], ["1/3"], [[1, 3]]],
  ] as const)("TestFollowerAppendEntries: behind (%i, %i) come %j", (prevIndex, prevTerm, sent, log, written) => {
    const one = node({ entries: [entry(1, 1), entry(2, 2)], term: 2 });
    one.receive(
      2,
      4,
      append(
        prevIndex,
        prevTerm,
        0,
        sent.map(([index, term]) => entry(index, term)),
      ),
    );
    expect(one.log()).toEqual(log);
    expect(one.stored.entries.map((each) => `${each.index}/${each.term}`)).toEqual(log);
    const writes = one.effects.flatMap((effect) => (effect.type === "persist" ? effect.entries : []));
    expect(writes.map((each) => [each.index, each.term])).toEqual(written);
  });

  const figure7: readonly (readonly number[])[] = [
    [1, 1, 1, 4, 4, 5, 5, 6, 6],
    [1, 1, 1, 4],
    [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    [1, 1, 1, 4, 4, 4, 4],
    [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
  ];
  test.each(figure7.map((terms) => [terms]))(
    "TestLeaderSyncFollowerLog: figure 7, a follower with terms %j gets the leader's log",
    (terms) => {
      const leaderTerms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
      const logOf = (list: readonly number[]): ReturnType<typeof entry>[] =>
        list.map((term, at) => entry(at + 1, term));
      const cluster = new TestCluster([1, 2, 3], (n) => {
        if (n === 1) return { entries: logOf(leaderTerms), term: 8, commitIndex: leaderTerms.length };
        return n === 2 ? { entries: logOf(terms), term: 7 } : { term: 7 };
      });
      const leader = cluster.elect(1);
      propose(leader, "");
      cluster.settle();
      cluster.run(200);
      expect(cluster.node(2).log()).toEqual(leader.log());
      expect(cluster.node(3).log()).toEqual(leader.log());
      expect(cluster.node(2).core.commitIndex).toBe(leader.core.lastIndex);
    },
  );
});

describe("§5.4 safety", () => {
  test.each([
    [[entry(1, 1)], 2],
    [[entry(1, 1), entry(2, 2)], 3],
  ])("TestVoteRequest: a request says where the candidate's log ends", (entries, term) => {
    const one = node({ entries, term: term - 1 });
    makeCandidate(one);
    const requests = ofType(one.takeSent(), "vote-request").filter((message) => !message.pre);
    const last = entries.at(-1)!;
    expect(requests.map((message) => [message.term, message.lastIndex, message.lastTerm])).toEqual(
      [2, 3].map(() => [term, last.index, last.term]),
    );
  });

  test.each([
    [[1], 1, 1, true],
    [[1], 1, 2, true],
    [[1, 1], 1, 1, false],
    [[1], 2, 1, true],
    [[1], 2, 2, true],
    [[1, 1], 1, 2, true],
    [[2], 1, 1, false],
    [[2], 2, 1, false],
    [[2, 1], 1, 1, false],
  ] as const)(
    "TestVoter: with terms %j, a candidate at (%i, term %i) gets the vote: %s",
    (terms, lastIndex, lastTerm, granted) => {
      const one = node({ entries: terms.map((term, at) => entry(at + 1, term)) });
      one.receive(2, 3, voteRequest(lastIndex, lastTerm));
      expect(ofType(one.takeSent(), "vote-response").map((message) => message.granted)).toEqual([granted]);
    },
  );

  test.each([
    [1, 0],
    [2, 0],
    [3, 3],
  ])("TestLeaderOnlyCommitsLogFromCurrentTerm: acknowledged up to %i, committed up to %i", (acknowledged, commit) => {
    const one = makeLeader(node({ entries: [entry(1, 1), entry(2, 2)], term: 2 }));
    expect(one.core.lastIndex).toBe(3);
    for (const peer of [2, 3]) one.receive(peer, 3, success(acknowledged));
    expect(one.core.commitIndex).toBe(commit);
    expect(one.applied.map((each) => each.index)).toEqual([1, 2, 3].slice(0, commit));
  });
});
