import type {
  AppliedEntry,
  Configuration,
  ConsensusStatus,
  Formation,
  LogIndex,
  NodeId,
  NodeRecord,
  StoreId,
  Term,
} from "@revoada/fabric";
import {
  checkFencedWrites,
  checkWrites,
  emptyTotals,
  fencedValue,
  Monitor,
  parseFencedWrite,
  readHistory,
  Trace,
} from "@revoada/simulation";
import { expect, test } from "vitest";

const [a, b] = ["a".repeat(64), "b".repeat(64)] as [NodeId, NodeId];
const store = "0".repeat(32) as StoreId;
const configuration: Configuration = { voters: [{ id: a, storeId: store }], learners: [], generation: 0 as never };

function monitor(): Monitor {
  return new Monitor(emptyTotals(), new Trace(), () => 0);
}

function status(id: NodeId, more: Partial<ConsensusStatus> = {}): ConsensusStatus {
  const zero = 0 as LogIndex;
  return {
    id,
    storeId: store,
    role: "follower",
    term: 1 as Term,
    firstIndex: 1 as LogIndex,
    lastIndex: zero,
    durableIndex: zero,
    commitIndex: zero,
    appliedIndex: zero,
    configuration,
    configurationIndex: zero,
    quorum: true,
    quorumSinceMs: 0,
    progress: new Map(),
    storage: "ok",
    ...more,
  };
}

function command(index: number, text: string, term = 1): AppliedEntry<Uint8Array> {
  return { kind: "command", index: index as LogIndex, term: term as Term, command: new TextEncoder().encode(text) };
}

const broken = (invariant: string): unknown => expect.objectContaining({ invariant });

test("two leaders of one term are seen", () => {
  const watch = monitor();
  watch.observe(a, status(a, { role: "leader" }));
  expect(() => watch.observe(b, status(b, { role: "leader" }))).toThrow(broken("election-safety"));
});

test("a term, a commit index or an applied index that goes back is seen", () => {
  const watch = monitor();
  watch.observe(
    a,
    status(a, {
      term: 3 as Term,
      commitIndex: 5 as LogIndex,
      appliedIndex: 5 as LogIndex,
      durableIndex: 5 as LogIndex,
    }),
  );
  expect(() => watch.observe(a, status(a, { term: 2 as Term }))).toThrow(broken("monotonic-term"));
  expect(() => watch.observe(a, status(a, { term: 3 as Term, commitIndex: 4 as LogIndex }))).toThrow(
    broken("monotonic-commit"),
  );
});

test("a leader without what is committed is seen", () => {
  const watch = monitor();
  watch.applying(a, [command(1, "x")], undefined);
  expect(() => watch.observe(b, status(b, { role: "leader", term: 2 as Term }))).toThrow(broken("leader-completeness"));
});

test("two replicas that apply different entries at one index are seen", () => {
  const watch = monitor();
  watch.applying(a, [command(1, "x")], undefined);
  expect(() => watch.applying(b, [command(1, "y")], undefined)).toThrow(broken("state-machine-safety"));
  expect(() => watch.applying(b, [command(1, "x", 2)], undefined)).toThrow(broken("state-machine-safety"));
});

test("an entry that is applied before a majority holds it is seen", () => {
  const watch = monitor();
  expect(() => watch.applying(a, [command(1, "x")], status(a))).toThrow(broken("committed-on-quorum"));
  const durable = monitor();
  durable.logDurable(a, 1, 1);
  durable.applying(a, [command(1, "x")], status(a));
});

test("an entry of an older term at the same index does not count as held", () => {
  const watch = monitor();
  watch.logDurable(a, 1, 1);
  expect(() => watch.applying(a, [command(1, "x", 2)], status(a))).toThrow(broken("committed-on-quorum"));
});

test("an even number of voters in the log is seen", () => {
  const watch = monitor();
  const even: Configuration = { ...configuration, voters: [...configuration.voters, { id: b, storeId: store }] };
  const entry: AppliedEntry<Uint8Array> = {
    kind: "configuration",
    index: 1 as LogIndex,
    term: 1 as Term,
    configuration: even,
  };
  expect(() => watch.applying(a, [entry], undefined)).toThrow(broken("odd-voters"));
});

const put = (revision: number, value: string) => ({
  type: "events" as const,
  revision: revision as never,
  events: [
    {
      type: "put" as const,
      entry: {
        key: new Uint8Array(),
        value: new TextEncoder().encode(value),
        createRevision: 1 as never,
        modRevision: revision as never,
        version: 1,
      },
    },
  ],
});

test("a lost, a doubled and a refused write that is there after all are seen", () => {
  const history = readHistory("n", [put(1, "one"), put(2, "two")]);
  checkWrites("n", [{ key: "k", value: "one", outcome: "acknowledged", revision: 1 }], history);
  checkWrites("n", [{ key: "k", value: "three", outcome: "unknown" }], history);
  expect(() => checkWrites("n", [{ key: "k", value: "three", outcome: "acknowledged", revision: 3 }], history)).toThrow(
    broken("nothing-lost"),
  );
  expect(() => checkWrites("n", [{ key: "k", value: "one", outcome: "acknowledged", revision: 2 }], history)).toThrow(
    broken("nothing-lost"),
  );
  expect(() => checkWrites("n", [{ key: "k", value: "two", outcome: "refused" }], history)).toThrow(
    broken("refused-is-absent"),
  );
  expect(() => checkWrites("n", [{ key: "k", value: "two", outcome: "pending" }], history)).toThrow(
    broken("never-stuck"),
  );
  expect(() => readHistory("n", [put(1, "one"), put(2, "one")])).toThrow(broken("exactly-once"));
  expect(() => readHistory("n", [put(2, "one"), put(2, "two")])).toThrow(broken("watch-order"));
});

test("a second vote in one term, and a durable term or vote that a log has lost, are seen", () => {
  const commitIndex = 0 as LogIndex;
  const watch = monitor();
  watch.hardStateDurable(a, { term: 3 as Term, vote: a, commitIndex });
  expect(() => watch.hardStateDurable(a, { term: 3 as Term, vote: b, commitIndex })).toThrow(broken("one-vote-a-term"));
  const found = { baseIndex: 0, terms: [] };
  expect(() => watch.logOpened(a, { ...found, hardState: { term: 2 as Term, commitIndex } })).toThrow(
    broken("durable-term"),
  );
  expect(() => watch.logOpened(a, { ...found, hardState: { term: 3 as Term, vote: b, commitIndex } })).toThrow(
    broken("durable-vote"),
  );
  watch.logOpened(a, { ...found, hardState: { term: 3 as Term, vote: a, commitIndex } });
});

function formation(
  generation: number,
  nodes: Readonly<Record<NodeId, Partial<NodeRecord>>>,
  tombstones: readonly NodeId[] = [],
): Formation {
  const plain = { state: "active", role: "worker", replica: "none", storeId: store } as const;
  const facts = { generation: 1, incarnation: 0, zone: "z", version: "v", flags: [], lastShiftMs: 0 };
  return {
    generation: generation as never,
    nodes: new Map(Object.entries(nodes).map(([id, record]) => [id as NodeId, { ...plain, ...facts, ...record }])),
    tombstones: new Set(tombstones),
  };
}

test("two keys of one machine that both vote are seen, in the formation and in the log", () => {
  const watch = monitor();
  const voter = { replica: "voter" } as const;
  watch.observeFormation(formation(1, { [a]: voter, [b]: {} }));
  expect(() => watch.observeFormation(formation(2, { [a]: voter, [b]: voter }))).toThrow(
    broken("one-seat-for-a-machine"),
  );
  const voters = [a, b, "c".repeat(64) as NodeId].map((id) => ({ id, storeId: store }));
  const entry: AppliedEntry<Uint8Array> = {
    kind: "configuration",
    index: 1 as LogIndex,
    term: 1 as Term,
    configuration: { ...configuration, voters },
  };
  expect(() => watch.applying(a, [entry], undefined)).toThrow(broken("one-seat-for-a-machine"));
});

test("somebody removed that is back, and a tombstone that is gone, are seen; what happened before is not held against it", () => {
  const watch = monitor();
  watch.observeFormation(formation(5, { [a]: {} }, [b]));
  watch.observeFormation(formation(3, { [a]: {}, [b]: {} }));
  expect(() => watch.observeFormation(formation(6, { [a]: {}, [b]: {} }, [b]))).toThrow(broken("tombstones-hold"));
  expect(() => watch.observeFormation(formation(7, { [a]: {} }))).toThrow(broken("tombstones-hold"));
});

test("a limited node with another role, or with a vote, is seen", () => {
  const watch = monitor();
  watch.observeFormation(
    formation(1, { [a]: { limitedTo: "worker" }, [b]: { limitedTo: "observer", role: "observer" } }),
  );
  expect(() => watch.observeFormation(formation(2, { [a]: { limitedTo: "worker", role: "master" } }))).toThrow(
    broken("limits-hold"),
  );
  expect(() => watch.observeFormation(formation(3, { [a]: { limitedTo: "worker", replica: "voter" } }))).toThrow(
    broken("limits-hold"),
  );
});

test("a machine that forgets its vote when its key changes is seen", () => {
  const watch = monitor();
  const commitIndex = 0 as LogIndex;
  watch.hardStateDurable(a, { term: 3 as Term, vote: a, commitIndex });
  watch.renamed(a, b);
  const found = { baseIndex: 0, terms: [] };
  expect(() => watch.logOpened(b, { ...found, hardState: { term: 2 as Term, commitIndex } })).toThrow(
    broken("durable-term"),
  );
  watch.logOpened(b, { ...found, hardState: { term: 3 as Term, vote: a, commitIndex } });
  expect(() => watch.hardStateDurable(b, { term: 3 as Term, vote: b, commitIndex })).toThrow(broken("one-vote-a-term"));
});

/** A history of fenced writes, in the order of their revisions: where each token was granted, and where in the log the write stands. */
function fenced(...writes: readonly (readonly [grantedAt: number, logIndex: number | undefined])[]): () => number {
  const values = writes.map(([grantedAt], number) => fencedValue({ grantedAt, number }));
  const history = { revisionOf: new Map(values.map((value, place) => [value, place + 1])), last: values.length };
  return () => checkFencedWrites(a, history, [5, 9], (number) => writes[number]?.[1]);
}

test("writes of one holder after the other are in order", () => {
  expect(fenced([5, 6], [5, 8], [9, 10])()).toBe(3);
});

test("a write of a former holder that was taken is seen, whether or not the next one had written before", () => {
  expect(fenced([5, 6], [9, 10], [5, 11])).toThrow(broken("tokens-rise"));
  expect(fenced([5, 6], [5, 10])).toThrow(broken("no-stale-write"));
  expect(fenced([5, undefined])).toThrow(broken("fenced-in-log"));
});

test("a fenced write is told from any other by its value", () => {
  expect(parseFencedWrite(`\0${fencedValue({ grantedAt: 12, number: 34 })}\0`)).toEqual({ grantedAt: 12, number: 34 });
  expect(parseFencedWrite("key-1=34")).toBeUndefined();
});
