import { encode } from "cborg";
import { describe, expect, test } from "vitest";
import { nodeId } from "./doubles/keys.ts";
import { admit, createdMs, creation, MachineKit, tokenRecord, type Outcome } from "./doubles/machine-kit.ts";

function tokens(kit: MachineKit): unknown {
  return kit.store.contents()["tokens"];
}

function refused(kit: MachineKit, message: string, send: () => Outcome): void {
  const [before, { state }] = [tokens(kit), kit.machine.formation];
  expect(send()).toEqual({ ok: false, code: "TOKEN_REFUSED", message });
  expect(tokens(kit)).toEqual(before);
  expect(kit.machine.formation.state).toBe(state);
}

describe("a token", () => {
  test("lets in as many as it has uses, and no more", () => {
    const kit = MachineKit.founded();
    const { tokenId } = tokenRecord(1);
    kit.createToken(tokenRecord(1, { usesLeft: 2 }));
    expect(kit.shift([admit("b", { tokenId })])).toMatchObject({ ok: true });
    expect(kit.shift([admit("c", { tokenId })])).toMatchObject({ ok: true });
    refused(kit, "the token is used up", () => kit.shift([admit("d", { tokenId })]));
  });

  test("is charged for each admission of one command", () => {
    const kit = MachineKit.founded();
    const { tokenId } = tokenRecord(1);
    kit.createToken(tokenRecord(1, { usesLeft: 2 }));
    refused(kit, "the token is used up", () =>
      kit.shift([admit("b", { tokenId }), admit("c", { tokenId }), admit("d", { tokenId })]),
    );
    expect(kit.shift([admit("b", { tokenId }), admit("c", { tokenId })])).toMatchObject({ ok: true });
    refused(kit, "the token is used up", () => kit.shift([admit("d", { tokenId })]));
  });

  test("that is for workers lets nobody in as anything else, whatever a leader says", () => {
    const kit = MachineKit.founded();
    const [worker, any] = [tokenRecord(1, { usesLeft: 9, limitedTo: "worker" }), tokenRecord(2, { usesLeft: 9 })];
    kit.createToken(worker);
    kit.createToken(any);
    refused(kit, "the token lets in worker, not any role", () => kit.shift([admit("b", { tokenId: worker.tokenId })]));
    refused(kit, "the token lets in worker, not observer", () =>
      kit.shift([admit("b", { tokenId: worker.tokenId, limitedTo: "observer" })]),
    );
    refused(kit, "the token lets in any role, not worker", () =>
      kit.shift([admit("b", { tokenId: any.tokenId, limitedTo: "worker" })]),
    );
    expect(kit.shift([admit("b", { tokenId: worker.tokenId, limitedTo: "worker" })])).toMatchObject({ ok: true });
    expect(kit.state.formation.nodes.get(nodeId("b"))?.limitedTo).toBe("worker");
    // What is limited stays so when the state is read from the store again.
    const again = new MachineKit(kit.store.reopened(), kit.genesis);
    expect(again.state.formation.nodes.get(nodeId("b"))?.limitedTo).toBe("worker");
    const unknown = { ...tokenRecord(3), limitedTo: "king" as "worker" };
    refused(kit, "a token is limited to one of worker, observer", () => kit.createToken(unknown));
  });

  test("ends at its time by the committed clock: one millisecond before it still holds", () => {
    const kit = MachineKit.founded();
    const { tokenId, expiresMs } = tokenRecord(1);
    kit.createToken(tokenRecord(1, { usesLeft: 9 }));
    expect(kit.shift([admit("b", { tokenId })], { timeMs: expiresMs - 1 })).toMatchObject({ ok: true });
    refused(kit, `the token expired at ${expiresMs}`, () =>
      kit.shift([admit("c", { tokenId })], { timeMs: expiresMs }),
    );
  });

  test("does not come back to life with a leader whose clock is behind", () => {
    const kit = MachineKit.founded();
    const { tokenId, expiresMs } = tokenRecord(1);
    kit.createToken(tokenRecord(1));
    kit.shift([{ verb: "cordon", node: nodeId("a") }], { timeMs: expiresMs });
    refused(kit, `the token expired at ${expiresMs}`, () =>
      kit.shift([admit("b", { tokenId })], { timeMs: createdMs }),
    );
  });

  test("that nobody made, or that was revoked, lets nobody in", () => {
    const kit = MachineKit.founded();
    const { tokenId } = tokenRecord(1);
    refused(kit, "the token is unknown", () => kit.shift([admit("b", { tokenId })]));
    kit.createToken(tokenRecord(1));
    expect(kit.revokeToken(tokenId)).toMatchObject({ ok: true });
    refused(kit, "the token is unknown", () => kit.shift([admit("b", { tokenId })]));
    refused(kit, "the token is unknown", () => kit.revokeToken(tokenId));
  });

  test("is not asked of a node that failed and comes back, and is not charged for one that is there", () => {
    const kit = MachineKit.founded();
    const { tokenId } = tokenRecord(1);
    kit.createToken(tokenRecord(1));
    kit.shift([admit("b", { tokenId })]);
    expect(kit.shift([admit("b", { tokenId })])).toMatchObject({ ok: true, generation: 1 });
    kit.shift([{ verb: "evict", node: nodeId("b") }]);
    expect(kit.shift([admit("b", { generation: 2 })])).toMatchObject({ ok: true });
  });

  test("is asked of a node that was forgotten, also where that happens in the same command", () => {
    const kit = MachineKit.founded();
    kit.admitAll(["b"]);
    kit.shift([{ verb: "depart", node: nodeId("b") }]);
    refused(kit, "the token is unknown", () => kit.shift([{ verb: "forget", node: nodeId("b") }, admit("b")]));
  });

  test("has a label that replicas judge alike, whatever their version of Node knows of characters", () => {
    const kit = MachineKit.founded();
    // Nobody has given this one a meaning yet; what a version of Node knows of it changes when somebody does.
    expect(kit.createToken(tokenRecord(1, { label: "rack \u0378 7" }))).toMatchObject({ ok: true });
    expect(kit.reopened().store.contents()["tokens"]).toEqual(tokens(kit));
    for (const [number, label] of ["", "two\nlines", "\u001b[31m", "x\u2028", "\u202exes", "x".repeat(65)].entries())
      refused(kit, "a label is one printable line of at most 64 characters", () =>
        kit.createToken(tokenRecord(number + 2, { label })),
      );
  });

  test("keeps its id to itself", () => {
    const kit = MachineKit.founded();
    kit.createToken(tokenRecord(1));
    refused(kit, "the token id is taken", () => kit.createToken(tokenRecord(1, { usesLeft: 99 })));
  });
});

describe("token commands that make no sense are refused", () => {
  const record = tokenRecord(1);
  test.each([
    ["an unknown version", { version: 2, type: "create", record }],
    ["an unknown type", { version: 1, type: "mint", record }],
    ["nothing", null],
    ["a number", 7],
    ["no record", { version: 1, type: "create" }],
    ["an id that is not hex", { version: 1, type: "create", record: { ...record, tokenId: "../../etc" } }],
    ["an expiry in fractions", { version: 1, type: "create", record: { ...record, expiresMs: 1.5 } }],
    ["uses below zero", { version: 1, type: "create", record: { ...record, usesLeft: -1 } }],
    ["a revocation without an id", { version: 1, type: "revoke" }],
    ["a revocation of no id", { version: 1, type: "revoke", tokenId: "" }],
  ])("%s", (_name, command) => {
    const kit = MachineKit.founded();
    expect(kit.send("token", encode(command))).toMatchObject({ ok: false, code: "TOKEN_REFUSED" });
    expect(tokens(kit)).toBeUndefined();
  });

  test("a public key that is none, and bytes that are no canonical CBOR", () => {
    const kit = MachineKit.founded();
    expect(kit.createToken(tokenRecord(1, { publicKey: "key" as never }))).toMatchObject({
      ok: false,
      code: "FABRIC_INVALID_VALUE",
    });
    expect(kit.send("token", Uint8Array.of(0xff, 0xff))).toMatchObject({ ok: false, code: "FABRIC_INVALID_VALUE" });
    const indefinite = Uint8Array.of(0xbf, 0xff);
    expect(kit.send("token", indefinite)).toMatchObject({ ok: false, code: "FABRIC_INVALID_VALUE" });
    expect(tokens(kit)).toBeUndefined();
  });
});

test("1024 tokens are the most that are kept; those that let nobody in any more make room", () => {
  const kit = MachineKit.founded();
  const { index } = kit.machine.position();
  const records = Array.from({ length: 1024 }, (_item, number) =>
    tokenRecord(number, { usesLeft: number === 5 ? 0 : 1, expiresMs: createdMs + (number < 3 ? 10 : 1000) }),
  );
  kit.machine.apply(records.map((record, place) => kit.entry("token", creation(record), index + place)));
  expect(kit.createToken(tokenRecord(2000))).toMatchObject({ ok: true });
  const ids = new Set([...kit.store.range("tokens")].map(({ key }) => new TextDecoder().decode(key)));
  expect(ids.has(tokenRecord(5).tokenId)).toBe(false);
  expect(ids.size).toBe(1024);
  refused(kit, "1024 tokens are the most that are kept", () => kit.createToken(tokenRecord(2001)));
  kit.shift([{ verb: "cordon", node: nodeId("a") }], { timeMs: createdMs + 10 });
  expect(kit.createToken(tokenRecord(2001))).toMatchObject({ ok: true });
  expect([...kit.store.range("tokens")]).toHaveLength(1022);
});
