import type { Transition } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { digest, nodeId, storeId } from "./doubles/keys.ts";
import {
  admit,
  createdMs,
  generation,
  MachineKit,
  testGenesis,
  tokenRecord,
  type Outcome,
} from "./doubles/machine-kit.ts";
import { testAttestor } from "./doubles/test-attestor.ts";

/** Everything but the machine's place in the log, which a refused command moves too. */
function replicated(kit: MachineKit): unknown {
  const { "machine/position": _position, ...trees } = kit.store.contents();
  return trees;
}

/** Sends something that must be refused and proves that neither the trees nor what is cached of them has changed. */
function refused(kit: MachineKit, code: string, send: () => Outcome): void {
  const before = replicated(kit);
  const { state } = kit.machine.formation;
  expect(send()).toEqual({ ok: false, code, message: expect.any(String) });
  expect(replicated(kit)).toEqual(before);
  expect(kit.machine.formation.state).toBe(state);
}

describe("genesis", () => {
  test("makes the founder the only voter, at generation 0, and the chain's block 0", () => {
    const kit = MachineKit.founded();
    const record = kit.state.formation.nodes.get(nodeId("a"));
    expect(record).toMatchObject({ state: "active", role: "bootstrap", replica: "voter", storeId: storeId("a") });
    expect(kit.state.head).toEqual({ height: 0, hash: kit.genesis.clusterId });
    expect(kit.state.sealing).toEqual({ voters: [nodeId("a")] });
  });

  test("is taken once", () => {
    const kit = MachineKit.founded();
    refused(kit, "CLUSTER_GENESIS_EXISTS", () => kit.send("genesis", kit.genesis.bytes));
  });

  test("of another cluster, or damaged, is refused", () => {
    const kit = new MachineKit();
    refused(kit, "CLUSTER_OTHER_GENESIS", () => kit.send("genesis", testGenesis(testAttestor("a"), 8).bytes));
    refused(kit, "CHAIN_INVALID", () => kit.send("genesis", kit.genesis.bytes.slice(1)));
    expect(kit.machine.formation.state).toBeUndefined();
  });

  test("comes first: commands and seals before it are refused", () => {
    const kit = new MachineKit();
    refused(kit, "CLUSTER_NO_GENESIS", () => kit.send("formation", Uint8Array.of(1)));
    refused(kit, "CLUSTER_NO_GENESIS", () => kit.send("seal", Uint8Array.of(1)));
  });

  test("a store of another cluster is refused when the machine is made", () => {
    const kit = MachineKit.founded();
    const other = testGenesis(testAttestor("a"), 8);
    expect(() => new MachineKit(kit.store.reopened(), other)).toThrow(
      expect.objectContaining({ code: "CLUSTER_OTHER_GENESIS" }),
    );
  });
});

test("a command that changes nothing moves no time, so that the chain tells the same as the state", () => {
  const kit = MachineKit.founded();
  kit.shift([{ verb: "cordon", node: nodeId("a") }]);
  const { timeMs } = kit.state;
  expect(kit.shift([{ verb: "cordon", node: nodeId("a") }], { timeMs: timeMs + 5000 })).toMatchObject({ ok: true });
  expect(kit.state.timeMs).toBe(timeMs);
  expect(kit.shift([{ verb: "restore", node: nodeId("a") }], { timeMs: timeMs + 1000 })).toMatchObject({ ok: true });
  expect(kit.state).toMatchObject({ timeMs: timeMs + 1000 });
  expect(kit.state.formation.nodes.get(nodeId("a"))?.lastShiftMs).toBe(timeMs + 1000);
});

describe("a formation command that is refused leaves everything as it was", () => {
  const cases: readonly (readonly [string, string, (kit: MachineKit) => Outcome])[] = [
    [
      "a time after which no other could come",
      "CLUSTER_TIME_REFUSED",
      (kit) => kit.shift([{ verb: "cordon", node: nodeId("a") }], { timeMs: Number.MAX_SAFE_INTEGER }),
    ],
    ["bytes that are no command", "CHAIN_INVALID", (kit) => kit.send("formation", Uint8Array.of(1, 2, 3))],
    [
      "a signature by another than its proposer",
      "CHAIN_INVALID",
      (kit) => kit.send("formation", kit.command([{ verb: "cordon", node: nodeId("a") }], { proposer: nodeId("b") })),
    ],
    [
      "another cluster",
      "CLUSTER_OTHER_COMMAND",
      (kit) => kit.shift([{ verb: "cordon", node: nodeId("a") }], { clusterId: digest("other") as never }),
    ],
    [
      "a proposer that does not vote",
      "CLUSTER_NOT_A_VOTER",
      (kit) => kit.shift([{ verb: "cordon", node: nodeId("a") }], {}, testAttestor("b")),
    ],
    [
      "a stranger as proposer",
      "CLUSTER_NOT_A_VOTER",
      (kit) => kit.shift([{ verb: "cordon", node: nodeId("a") }], {}, testAttestor("z")),
    ],
    [
      "the term of an earlier leadership",
      "CLUSTER_STALE_TERM",
      (kit) => kit.shift([{ verb: "cordon", node: nodeId("a") }], { term: 2 as never }),
    ],
    [
      "a generation that moved on",
      "TOPOLOGY_COMMAND_REFUSED",
      (kit) => kit.shift([{ verb: "cordon", node: nodeId("a") }], { baseGeneration: generation(0) }),
    ],
    ["no transition", "TOPOLOGY_COMMAND_REFUSED", (kit) => kit.shift([])],
    [
      "an illegal transition behind legal ones",
      "TOPOLOGY_ILLEGAL_TRANSITION",
      (kit) =>
        kit.shift([
          { verb: "cordon", node: nodeId("b") },
          { verb: "settle", node: nodeId("b") },
        ]),
    ],
    [
      "an even number of voters",
      "TOPOLOGY_COMMAND_REFUSED",
      (kit) => kit.shift([{ verb: "promote", node: nodeId("b"), role: "master", replica: "voter" }]),
    ],
    [
      "an admission without a token",
      "TOKEN_REFUSED",
      (kit) => kit.shift([{ verb: "cordon", node: nodeId("b") }, admit("d")]),
    ],
  ];

  test.each(cases)("%s: %s", (_name, code, send) => {
    const kit = MachineKit.founded();
    kit.admitAll(["b"]);
    refused(kit, code, () => send(kit));
  });

  test("in a batch with accepted ones, which stand", () => {
    const kit = MachineKit.founded();
    kit.admitAll(["b"]);
    const alone = MachineKit.founded();
    alone.admitAll(["b"]);
    const legal = kit.command([{ verb: "cordon", node: nodeId("b") }]);
    const illegal = kit.command(
      [
        { verb: "restore", node: nodeId("b") },
        { verb: "settle", node: nodeId("b") },
      ],
      { baseGeneration: generation(2) },
    );
    const { index } = kit.machine.position();
    kit.machine.apply([kit.entry("formation", legal), kit.entry("formation", illegal, index + 1)]);
    alone.machine.apply([alone.entry("formation", legal), alone.noop(index + 1)]);
    expect(kit.store.contents()).toEqual(alone.store.contents());
  });
});

describe("a formation command that is taken", () => {
  test("makes one block for each transition that changes something, and none for the others", () => {
    const kit = MachineKit.founded();
    kit.admitAll(["b"]);
    const cordon: Transition = { verb: "cordon", node: nodeId("b") };
    expect(kit.shift([cordon, cordon, { verb: "quarantine", node: nodeId("b") }])).toEqual({
      ok: true,
      generation: 3,
      height: 3,
    });
    expect(kit.state.formation.nodes.get(nodeId("b"))?.flags).toEqual(["cordoned", "quarantined"]);
    expect(kit.shift([cordon])).toEqual({ ok: true, generation: 3, height: 3 });
  });

  test("moves the committed time forward, and never back", () => {
    const kit = MachineKit.founded();
    kit.admitAll(["b"]);
    kit.shift([{ verb: "cordon", node: nodeId("b") }], { timeMs: createdMs + 500 });
    kit.shift([{ verb: "restore", node: nodeId("b") }], { timeMs: createdMs });
    expect(kit.state.timeMs).toBe(createdMs + 500);
    expect(kit.state.formation.nodes.get(nodeId("b"))?.lastShiftMs).toBe(createdMs + 500);
  });

  test("opens the catalog for writes once the first shape stands, and for good", () => {
    const kit = MachineKit.founded();
    expect(kit.apply(kit.entry("catalog", Uint8Array.of(5)))).toEqual(Uint8Array.of(0));
    kit.formThree();
    expect(kit.apply(kit.entry("catalog", Uint8Array.of(5)))).toEqual(Uint8Array.of(1));
    expect(kit.counter.total).toBe(5);
    expect(kit.counter.contexts.at(-1)).toMatchObject({
      clusterId: kit.genesis.clusterId,
      term: 1,
      timeMs: createdMs,
      writable: true,
    });
    for (const name of ["a", "b", "c"]) kit.shift([{ verb: "evict", node: nodeId(name) }]);
    expect(kit.apply(kit.entry("catalog", Uint8Array.of(2)))).toEqual(Uint8Array.of(1));
  });

  test("keeps those who were removed for ever out, across a reload", () => {
    const kit = MachineKit.founded();
    kit.admitAll(["b"]);
    expect(kit.shift([{ verb: "remove", node: nodeId("b") }])).toMatchObject({ ok: true });
    const again = kit.reopened();
    again.createToken(tokenRecord(1));
    refused(again, "TOPOLOGY_ILLEGAL_TRANSITION", () => again.shift([admit("b", { tokenId: tokenRecord(1).tokenId })]));
  });
});

describe("a change of voters", () => {
  test("is sealed by those before it, and by those after it only once it is", () => {
    const kit = MachineKit.founded();
    kit.formThree();
    const after = { voters: ["a", "b", "c"].map(nodeId).toSorted() };
    expect(kit.state.sealing).toEqual({ voters: [nodeId("a")], pending: { endHeight: 5, voters: after.voters } });
    refused(kit, "CHAIN_INVALID", () => kit.seal(["b", "c"]));
    expect(kit.seal(["a"])).toMatchObject({ ok: true, height: 5 });
    expect(kit.state.sealing).toEqual(after);
    kit.shift([{ verb: "evict", node: nodeId("a") }]);
    refused(kit, "CHAIN_INVALID", () => kit.seal(["a"]));
    expect(kit.seal(["b", "c"])).toMatchObject({ ok: true, height: 6 });
  });

  test("is not followed by another before it is sealed; what moves no voter goes on", () => {
    const kit = MachineKit.founded();
    kit.formThree();
    kit.admitAll(["d"]);
    const swap: readonly Transition[] = [
      { verb: "promote", node: nodeId("d"), role: "master", replica: "voter" },
      { verb: "seat", node: nodeId("c"), replica: "none" },
    ];
    refused(kit, "CHAIN_UNSEALED_VOTER_CHANGE", () => kit.shift(swap));
    kit.seal(["a"]);
    expect(kit.shift(swap)).toMatchObject({ ok: true });
  });

  test("is not vouched for by a seal over a part of it", () => {
    const kit = MachineKit.founded();
    kit.formThree();
    const below = kit.machine.formation.hashAt(kit.store, 4);
    expect(kit.seal(["a"], { height: 4, hash: below as never })).toMatchObject({ ok: true });
    expect(kit.state.sealing.pending).toBeDefined();
    kit.seal(["a"]);
    expect(kit.state.sealing.pending).toBeUndefined();
  });

  test("is one too where a voter comes back with another store", () => {
    const kit = MachineKit.founded();
    kit.formThree();
    kit.seal(["a"]);
    kit.shift([{ verb: "evict", node: nodeId("c") }]);
    expect(kit.shift([admit("c", { storeId: storeId("another disk"), generation: 2 })])).toMatchObject({ ok: true });
    expect(kit.state.sealing.pending).toMatchObject({ endHeight: kit.state.head.height });
    refused(kit, "CHAIN_UNSEALED_VOTER_CHANGE", () =>
      kit.shift([{ verb: "evict", node: nodeId("b") }, admit("b", { storeId: storeId("b2"), generation: 2 })]),
    );
  });
});

describe("a seal", () => {
  test("over a head that is not here, or already sealed, is refused", () => {
    const kit = MachineKit.founded();
    kit.admitAll(["b"]);
    const { head } = kit.state;
    refused(kit, "CHAIN_OTHER_HEAD", () => kit.seal(["a"], { ...head, hash: digest("another") as never }));
    refused(kit, "CHAIN_OTHER_HEAD", () => kit.seal(["a"], { ...head, height: 99 }));
    kit.seal(["a"]);
    refused(kit, "CHAIN_ALREADY_SEALED", () => kit.seal(["a"], head));
  });

  test("by too few, by strangers, or without its leader is refused", () => {
    const kit = MachineKit.founded();
    kit.formThree();
    kit.seal(["a"]);
    kit.shift([{ verb: "cordon", node: nodeId("b") }]);
    refused(kit, "CHAIN_INVALID", () => kit.seal(["b"]));
    refused(kit, "CHAIN_INVALID", () => kit.seal(["a", "z"]));
    const { head } = kit.state;
    const signatures = ["b", "c"].map((name) => testAttestor(name).signHead(kit.genesis.clusterId, head));
    refused(kit, "CHAIN_INVALID", () =>
      kit.send("seal", kit.founder.encodeSeal({ head, leader: nodeId("a"), signatures })),
    );
    expect(kit.seal(["c", "b"])).toMatchObject({ ok: true });
  });
});

test("a chain that the machine made verifies from its bytes and the cluster id alone", () => {
  const kit = MachineKit.founded();
  kit.formThree();
  const { clusterId } = kit.genesis;
  expect(kit.founder.verifyChain(kit.exported(), clusterId)).toMatchObject({
    ok: true,
    head: { height: 5 },
    sealed: { height: 0 },
  });
  kit.seal(["a"]);
  kit.shift([{ verb: "evict", node: nodeId("a") }], {}, testAttestor("b"));
  kit.seal(["b", "c"]);
  expect(kit.founder.verifyChain(kit.exported(), clusterId)).toMatchObject({ ok: true, sealed: kit.state.head });
});
