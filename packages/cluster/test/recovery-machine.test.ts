import type { AppliedEntry, Transition } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { nodeId } from "./doubles/keys.ts";
import { admit, MachineKit, tokenRecord } from "./doubles/machine-kit.ts";
import { testAttestor } from "./doubles/test-attestor.ts";

const { tokenId } = tokenRecord(1);

/** Masters a, b and c, sealed; d replicates. */
function three(): MachineKit {
  const kit = MachineKit.founded();
  kit.createToken(tokenRecord(1, { usesLeft: 9 }));
  kit.shift(["b", "c", "d"].map((name) => admit(name, { tokenId })));
  kit.shift([
    { verb: "reassign", node: nodeId("a"), role: "master" },
    { verb: "promote", node: nodeId("b"), role: "master", replica: "voter" },
    { verb: "promote", node: nodeId("c"), role: "master", replica: "voter" },
    { verb: "seat", node: nodeId("d"), replica: "learner" },
  ]);
  kit.send("seal", kit.sealBytes(["a"]));
  kit.apply(kit.configuration(["a", "b", "c"]));
  return kit;
}

function recovery(name: string): readonly Transition[] {
  return [{ verb: "recover", node: nodeId(name) }];
}

describe("a recovery that is applied", () => {
  test("counts only in a log that names its proposer as the only voter", () => {
    const kit = three();
    const before = kit.state;
    expect(kit.shift(recovery("b"), {}, testAttestor("b"))).toMatchObject({ ok: false, code: "CLUSTER_NOT_ALONE" });
    kit.apply(kit.configuration(["c"]));
    expect(kit.shift(recovery("b"), {}, testAttestor("b"))).toMatchObject({ ok: false, code: "CLUSTER_NOT_ALONE" });
    const joint = kit.configuration(["b"]) as Extract<AppliedEntry<Uint8Array>, { kind: "configuration" }>;
    kit.apply({ ...joint, configuration: { ...joint.configuration, outgoing: joint.configuration.voters } });
    expect(kit.shift(recovery("b"), {}, testAttestor("b"))).toMatchObject({ ok: false, code: "CLUSTER_NOT_ALONE" });
    expect(kit.state).toBe(before);
  });

  test("makes one master of it that seals alone, also of a node that never voted, and is remembered", () => {
    for (const name of ["b", "d"]) {
      const kit = three();
      // A change of voters that nobody vouched for any more before they were lost.
      kit.shift([
        { verb: "seat", node: nodeId("c"), replica: "none" },
        { verb: "promote", node: nodeId("d"), role: "master", replica: "voter" },
      ]);
      expect(kit.state.sealing.pending).toBeDefined();
      kit.apply(kit.configuration([name]));
      expect(kit.shift(recovery(name), {}, testAttestor(name))).toMatchObject({ ok: true });
      expect([...kit.state.formation.nodes.keys()]).toEqual([nodeId(name)]);
      expect(kit.state.sealing).toEqual({ voters: [nodeId(name)] });
      expect(kit.state.recoveries).toEqual([kit.state.head]);
      expect(kit.send("seal", kit.sealBytes(["a", "b"]))).toMatchObject({ ok: false });
      expect(kit.send("seal", kit.sealBytes([name]))).toMatchObject({ ok: true });
      const again = new MachineKit(kit.store.reopened(), kit.genesis);
      expect(again.state).toEqual(kit.state);
    }
  });

  test("ends every token, and leaves the lost ones out for ever with new ones too", () => {
    const kit = three();
    kit.apply(kit.configuration(["b"]));
    kit.shift(recovery("b"), {}, testAttestor("b"));
    expect(kit.shift([admit("e", { tokenId })], {}, testAttestor("b"))).toMatchObject({ code: "TOKEN_REFUSED" });
    kit.createToken(tokenRecord(1, { usesLeft: 9 }));
    for (const name of ["a", "c", "d"])
      expect(kit.shift([admit(name, { tokenId })], {}, testAttestor("b"))).toMatchObject({
        ok: false,
        code: "TOPOLOGY_ILLEGAL_TRANSITION",
      });
    expect(kit.shift([admit("e", { tokenId })], {}, testAttestor("a"))).toMatchObject({ code: "CLUSTER_NOT_A_VOTER" });
    expect(kit.shift([admit("e", { tokenId })], {}, testAttestor("b"))).toMatchObject({ ok: true });
  });
});
