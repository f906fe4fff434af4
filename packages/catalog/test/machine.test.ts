import { catalogMachine, memoryStore } from "@revoada/catalog";
import type { ApplyContext, MachineStore } from "@revoada/fabric";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeChunk, encodeCommand, type CatalogCommand } from "../src/core/command.ts";
import { firstDigest, nextDigest } from "../src/core/restoring.ts";
import { decodeOutcome, type CommandOutcome } from "../src/core/result.ts";
import { parseVersionKey, versionBound, versionKey } from "../src/core/store-keys.ts";
import { compareBytes } from "../src/core/bytes.ts";
import { put, text } from "./support.ts";

const context = { writable: true } as ApplyContext;

function world() {
  const store = memoryStore();
  const machine = catalogMachine();
  const apply = (bytes: Uint8Array, writable = true): CommandOutcome => {
    const answer = store.transact((transaction) => machine.apply(transaction, bytes, { ...context, writable }));
    machine.committed();
    const outcome = decodeOutcome(answer);
    if (outcome === undefined) throw new Error("no outcome");
    return outcome;
  };
  return {
    store,
    machine,
    apply,
    run: (command: CatalogCommand, writable = true) => apply(encodeCommand(command), writable),
  };
}

const txn = (key: string, value: string): CatalogCommand => ({
  type: "txn",
  transaction: { compare: [], then: [put(key, value)], else: [] },
});

function dump(store: MachineStore): string {
  return JSON.stringify(
    store
      .trees()
      .map((tree) => [
        tree,
        [...store.range(tree)].map(({ key, value }) => [
          Buffer.from(key).toString("hex"),
          Buffer.from(value).toString("hex"),
        ]),
      ]),
  );
}

const id = new Uint8Array(16).fill(1);
const chunks = [
  encodeChunk([
    { key: text("a"), value: text("A") },
    { key: text("b"), value: text("B") },
  ]),
  encodeChunk([{ key: text("c"), value: text("C") }]),
];
const digest = chunks.reduce(nextDigest, firstDigest());
const begin: CatalogCommand = { type: "restore-begin", id, digest, entries: 3 };
const chunk = (sequence: number): CatalogCommand => ({ type: "restore-chunk", id, sequence, chunk: chunks[sequence]! });
const commit: CatalogCommand = { type: "restore-commit", id };

describe("the machine", () => {
  test("answers any bytes with a refusal and changes nothing", () => {
    const { store, apply, run } = world();
    run(txn("a", "1"));
    const before = dump(store);
    const valid = [txn("k", "v"), begin, chunk(0), commit, { type: "compact", revision: 1, sweep: 1 } as const].map(
      encodeCommand,
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 64 }),
          fc.tuple(fc.constantFrom(...valid), fc.nat(200)).map(([bytes, cut]) => bytes.subarray(0, cut % bytes.length)),
          fc
            .tuple(fc.constantFrom(...valid), fc.uint8Array({ minLength: 1, maxLength: 3 }))
            .map(([bytes, more]) => Buffer.concat([bytes, more])),
        ),
        (bytes) => {
          expect(apply(bytes)).toMatchObject({ type: "refused", refusal: { code: "CATALOG_INVALID_COMMAND" } });
          expect(dump(store)).toBe(before);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("survives every single changed byte of its commands: it is refused or it is another command, and never a throw", () => {
    for (const command of [txn("k", "v"), begin, chunk(0), commit]) {
      const bytes = encodeCommand(command);
      for (let at = 0; at < bytes.length; at++) {
        for (let value = 0; value < 256; value += 5) {
          const { apply } = world();
          const bad = Uint8Array.from(bytes);
          bad[at] = value;
          expect(apply(bad).type).toMatch(/^(refused|txn|staged|restored)$/);
        }
      }
    }
  });

  test("refuses lists nested without end", () => {
    const { apply } = world();
    expect(apply(new Uint8Array(1_000_000).fill(0x81))).toMatchObject({ refusal: { code: "CATALOG_INVALID_COMMAND" } });
  });

  test("checks limits when it applies, not only before a command is proposed", () => {
    const { run, store } = world();
    const value = new Uint8Array(1_048_577);
    expect(
      run({ type: "txn", transaction: { compare: [], then: [{ type: "put", key: text("a"), value }], else: [] } }),
    ).toMatchObject({ refusal: { code: "CATALOG_TOO_LARGE" } });
    expect(
      run({ type: "txn", transaction: { compare: [], then: [put("a", "1"), put("a", "2")], else: [] } }),
    ).toMatchObject({ refusal: { code: "CATALOG_INVALID_TRANSACTION" } });
    expect(store.trees()).toEqual([]);
  });

  test("keeps to its trees", () => {
    const { run, store, machine } = world();
    run(txn("a", "1"));
    run(begin);
    run(chunk(0));
    for (const tree of store.trees()) expect(machine.trees).toContain(tree);
    expect(store.trees()).toHaveLength(7);
  });

  test("wakes listeners after commits that concern the catalog, until they leave", () => {
    const { run, machine, store } = world();
    const heard: string[] = [];
    const leave = machine.subscribe({
      committed: () => heard.push("committed"),
      restored: () => heard.push("restored"),
    });
    machine.committed();
    run(txn("a", "1"));
    machine.restored(store);
    leave();
    run(txn("a", "2"));
    expect(heard).toEqual(["committed", "restored"]);
  });

  test("the same commands give the same bytes, in one transaction or in many", () => {
    const one = world();
    const many = world();
    const commands = [
      txn("a", "1"),
      txn("b", "1"),
      txn("a", "2"),
      { type: "compact", revision: 2, sweep: 10 } as const,
      begin,
      chunk(0),
      chunk(1),
      txn("d", "1"),
      commit,
      txn("a", "3"),
    ];
    for (const command of commands) many.run(command);
    one.store.transact((transaction) => {
      for (const command of commands) one.machine.apply(transaction, encodeCommand(command), context);
    });
    expect(dump(one.store)).toBe(dump(many.store));
  });

  test("keeps its formats: the commands, results and records of release 0.1", () => {
    const { run, store } = world();
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
    expect(hex(encodeCommand(txn("k", "v")))).toBe("85010180818300416b417680");
    expect(hex(encodeCommand({ type: "compact", revision: 5, sweep: 6 }))).toBe("8401020506");
    run(txn("k", "v"));
    run({
      type: "txn",
      transaction: { compare: [], then: [{ type: "delete", key: text("k") }, put("l", "w")], else: [] },
    });
    expect(JSON.parse(dump(store))).toEqual([
      ["catalog/0/current", [["6c", "0100000000000000020000000000000002000000000000000100000001"]]],
      [
        "catalog/0/history",
        [
          ["000000000000000100000000", "01000001000000000000000100000000000000016b76"],
          ["000000000000000200000000", "01010001000000000000000000000000000000006b"],
          ["000000000000000200000001", "01000001000000000000000200000000000000016c77"],
        ],
      ],
      [
        "catalog/0/versions",
        [
          ["6b00010000000000000001", "010000000000"],
          ["6b00010000000000000002", "010100000000"],
          ["6c00010000000000000002", "010000000001"],
        ],
      ],
      ["catalog/meta", [["7374617465", "8701000200000100"]]],
    ]);
  });
});

describe("a staged restore", () => {
  test("shows nothing until it is committed, then everything", () => {
    const { run, store } = world();
    run(txn("old", "1"));
    for (const command of [begin, chunk(0), chunk(1)]) expect(run(command)).toEqual({ type: "staged" });
    expect(run(txn("old", "2"))).toMatchObject({ result: { revision: 2 } });
    expect(run(commit)).toEqual({ type: "restored", revision: 3 });
    expect(store.get("catalog/0/current", text("old"))).toBeUndefined();
    expect([...store.range("catalog/1/current")].map(({ key }) => Buffer.from(key).toString())).toEqual([
      "a",
      "b",
      "c",
    ]);
    expect(run(commit)).toMatchObject({ refusal: { code: "CATALOG_RESTORE_SUPERSEDED" } });
  });

  test("refuses chunks out of order, twice, of another stage, and a commit before the last", () => {
    const { run } = world();
    expect(run(chunk(0))).toMatchObject({ refusal: { code: "CATALOG_RESTORE_SUPERSEDED" } });
    run(begin);
    expect(run(chunk(1))).toMatchObject({ refusal: { code: "CATALOG_INVALID_COMMAND" } });
    run(chunk(0));
    expect(run(chunk(0))).toMatchObject({ refusal: { code: "CATALOG_INVALID_COMMAND" } });
    expect(run(commit)).toMatchObject({ refusal: { code: "CATALOG_INVALID_COMMAND" } });
    expect(
      run({ ...(chunk(1) as Extract<CatalogCommand, { type: "restore-chunk" }>), id: new Uint8Array(16) }),
    ).toMatchObject({ refusal: { code: "CATALOG_RESTORE_SUPERSEDED" } });
    run(chunk(1));
    expect(run(commit)).toEqual({ type: "restored", revision: 1 });
  });

  test("refuses chunks whose bytes are not those that were announced", () => {
    const { run } = world();
    run(begin);
    run(chunk(0));
    run({ type: "restore-chunk", id, sequence: 1, chunk: encodeChunk([{ key: text("c"), value: text("X") }]) });
    expect(run(commit)).toMatchObject({ refusal: { code: "CATALOG_INVALID_COMMAND" } });
  });

  test("refuses keys out of order, too long and empty, and values too large", () => {
    const bad = [
      [
        { key: text("b"), value: text("") },
        { key: text("a"), value: text("") },
      ],
      [
        { key: text("a"), value: text("") },
        { key: text("a"), value: text("") },
      ],
      [{ key: new Uint8Array(0), value: text("") }],
      [{ key: new Uint8Array(1_001).fill(1), value: text("") }],
      [{ key: text("a"), value: new Uint8Array(1_048_577) }],
    ];
    for (const entries of bad) {
      const { run, store } = world();
      run(begin);
      expect(run({ type: "restore-chunk", id, sequence: 0, chunk: encodeChunk(entries) })).toMatchObject({
        refusal: { code: "CATALOG_INVALID_COMMAND" },
      });
      expect(store.trees()).toEqual(["catalog/meta"]);
    }
  });

  test("that was abandoned is dropped by the next one", () => {
    const { run, store } = world();
    run(begin);
    run(chunk(0));
    const other = new Uint8Array(16).fill(2);
    const only = encodeChunk([{ key: text("z"), value: text("Z") }]);
    run({ type: "restore-begin", id: other, digest: nextDigest(firstDigest(), only), entries: 1 });
    expect(run(chunk(1))).toMatchObject({ refusal: { code: "CATALOG_RESTORE_SUPERSEDED" } });
    run({ type: "restore-chunk", id: other, sequence: 0, chunk: only });
    expect(run({ type: "restore-commit", id: other })).toEqual({ type: "restored", revision: 1 });
    expect([...store.range("catalog/1/current")].map(({ key }) => Buffer.from(key).toString())).toEqual(["z"]);
  });

  test("is refused while the catalog is read-only", () => {
    const { run } = world();
    for (const command of [begin, chunk(0), commit])
      expect(run(command, false)).toMatchObject({ refusal: { code: "CATALOG_READ_ONLY" } });
  });
});

describe("version keys", () => {
  const key = fc.uint8Array({ minLength: 1, maxLength: 6, max: 3 });
  const revision = fc.oneof(fc.nat(3), fc.constant(Number.MAX_SAFE_INTEGER));

  test("keep the order of keys, then of revisions, and can be read back", () => {
    fc.assert(
      fc.property(key, revision, key, revision, (leftKey, leftRevision, rightKey, rightRevision) => {
        const byParts = compareBytes(leftKey, rightKey) || leftRevision - rightRevision;
        expect(Math.sign(compareBytes(versionKey(leftKey, leftRevision), versionKey(rightKey, rightRevision)))).toBe(
          Math.sign(byParts),
        );
        expect(parseVersionKey(versionKey(leftKey, leftRevision))).toEqual({ key: leftKey, revision: leftRevision });
      }),
    );
  });

  test("have bounds that divide keys where the plain keys divide", () => {
    fc.assert(
      fc.property(key, revision, key, (one, at, bound) => {
        expect(compareBytes(versionKey(one, at), versionBound(bound)) >= 0).toBe(compareBytes(one, bound) >= 0);
      }),
    );
  });

  test("that are none are not read", () => {
    for (const bytes of [
      [],
      [97],
      [97, 0],
      [97, 0, 1],
      [97, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0],
      [97, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255],
    ]) {
      expect(parseVersionKey(Uint8Array.from(bytes))).toBeUndefined();
    }
  });
});
