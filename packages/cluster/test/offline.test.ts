import { planLoneRotation, planRecovery, type OfflineOptions } from "@revoada/cluster";
import type { Configuration, LogIndex, LogStore, RecoveredLog, Term } from "@revoada/fabric";
import { decode, encode } from "cborg";
import { describe, expect, test } from "vitest";
import { CounterMachine } from "./doubles/counter-machine.ts";
import { nodeId, storeId } from "./doubles/keys.ts";
import { MachineKit } from "./doubles/machine-kit.ts";

/** What is done with a node that has stopped when all that its log says was applied. */
function stopped(kit: MachineKit): OfflineOptions {
  const { index, term } = kit.machine.position();
  const log = { term: () => term } as unknown as LogStore;
  const recovered = {
    integrity: "ok",
    storeId: storeId("a"),
    base: { index: 0 as LogIndex, term: 0 as Term },
    lastIndex: index,
    hardState: { term, vote: nodeId("a"), commitIndex: index },
  } as unknown as RecoveredLog;
  return {
    attestor: kit.founder,
    clusterId: kit.genesis.clusterId,
    log,
    recovered,
    scratch: kit.store.reopened(),
    catalog: new CounterMachine(),
    encodeConfiguration: (configuration: Configuration) => encode(configuration),
    decodeConfiguration: (payload) => decode(payload) as Configuration,
    nowMs: kit.state.timeMs,
  };
}

/** Three masters of which one is to be the only voter: the formation says so, sealed, and the log still names all three. */
function shrinking(): MachineKit {
  const kit = MachineKit.founded();
  kit.formThree();
  kit.seal(["a"]);
  kit.apply(kit.configuration(["a", "b", "c"]));
  const seats = ["b", "c"].map((name) => ({ verb: "seat", node: nodeId(name), replica: "none" }) as const);
  expect(kit.shift(seats)).toMatchObject({ ok: true });
  expect(kit.seal(["a", "b"])).toMatchObject({ ok: true });
  expect(kit.state.sealing).toEqual({ voters: [nodeId("a")] });
  return kit;
}

const refused = expect.objectContaining({ code: "CLUSTER_OFFLINE_REFUSED" });

describe("the only voter by the formation, while the log still names others", () => {
  test("does not pass its place on: those others could agree without it", async () => {
    const kit = shrinking();
    await expect(planLoneRotation(stopped(kit), nodeId("x"))).rejects.toThrow(refused);
    kit.apply(kit.configuration(["a"]));
    const batch = await planLoneRotation(stopped(kit), nodeId("x"));
    expect(batch?.entries.map(({ kind }) => kind)).toEqual(["command", "command", "configuration"]);
  });

  test("may go on alone: without them it can agree on nothing", async () => {
    const kit = shrinking();
    const plan = await planRecovery(stopped(kit));
    expect(plan).toMatchObject({ node: nodeId("a"), lost: [nodeId("b"), nodeId("c")].toSorted() });
    expect(plan.batch.entries.map(({ kind }) => kind)).toEqual(["configuration", "command"]);
    kit.apply(kit.configuration(["a"]));
    await expect(planRecovery(stopped(kit))).rejects.toThrow(refused);
  });
});
