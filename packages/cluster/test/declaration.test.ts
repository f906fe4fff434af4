import { inspect } from "node:util";
import { ClusterDeclaration } from "@revoada/cluster";
import {
  isFabricError,
  prescribedDatacenter,
  prescribedHomelab,
  prescribedKubernetes,
  prescribedSolo,
  type FabricFace,
  type FabricStrategy,
} from "@revoada/fabric";
import { cluster3mnw, meshAllPeers, pair, phalanx, quorum3m, solo, topologyByName } from "@revoada/topology";
import { describe, expect, test } from "vitest";

const raw: FabricFace = { name: "raw", kind: { protocol: "pure-raft" } };

function codeOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (isFabricError(error)) return error.code;
    throw error;
  }
  return "no error";
}

describe("a coherent declaration", () => {
  test("says its id as face, strategy and topology", () => {
    expect(ClusterDeclaration.create(prescribedHomelab(), raw, cluster3mnw()).id()).toBe(
      "raw/homelab-3node/cluster_3m_nw",
    );
  });

  test("names all three surfaces when it is inspected", () => {
    const text = inspect(ClusterDeclaration.create(prescribedHomelab(), raw, quorum3m()));
    for (const part of ["raw", "homelab-3node", "quorum_3m"]) expect(text).toContain(part);
  });

  test("gives back what it was made of, frozen", () => {
    const strategy = prescribedHomelab();
    const declaration = ClusterDeclaration.create(strategy, raw, quorum3m());
    expect(declaration.strategy).toEqual(strategy);
    expect(declaration.face).toEqual(raw);
    expect(declaration.topology.name).toBe("quorum_3m");
    expect(Object.isFrozen(declaration.strategy.membership)).toBe(true);
  });

  test("does not change with the object that it was made of", () => {
    const strategy = structuredClone(prescribedHomelab()) as {
      -readonly [K in keyof FabricStrategy]: FabricStrategy[K];
    };
    const declaration = ClusterDeclaration.create(strategy, raw, quorum3m());
    strategy.name = "another";
    expect(declaration.id()).toBe("raw/homelab-3node/quorum_3m");
  });

  test.each([
    ["Quorum3M", quorum3m()],
    ["Cluster3MNW", cluster3mnw()],
    ["Pair with three nodes", pair({ minNodes: 3 })],
    ["MeshAllPeers with three nodes", meshAllPeers({ minNodes: 3 })],
    ["Phalanx with three nodes", phalanx({ minNodes: 3 })],
  ])("%s stands with three voters", (_name, topology) => {
    expect(ClusterDeclaration.create(prescribedHomelab(), raw, topology).topology).toBe(topology);
  });

  test("a one-minute election timeout is fine", () => {
    const slow = { ...prescribedHomelab(), consensus: { ...prescribedHomelab().consensus, electionTimeoutMs: 60_000 } };
    expect(codeOf(() => ClusterDeclaration.create(slow, raw, quorum3m()))).toBe("no error");
  });

  test("comes back from its canonical bytes, and two encodings are one", () => {
    for (const [strategy, topology] of [
      [prescribedHomelab(), cluster3mnw()],
      [prescribedSolo(), solo()],
      [prescribedDatacenter(), meshAllPeers({ minNodes: 5 })],
    ] as const) {
      const declaration = ClusterDeclaration.create(strategy, prescribedKubernetes("1.34"), topology);
      const copy = ClusterDeclaration.decode(declaration.encode(), topologyByName);
      expect(copy.toJSON()).toEqual(declaration.toJSON());
      expect(copy.encode()).toEqual(declaration.encode());
    }
  });

  test("keeps a fractional phi threshold through its bytes", () => {
    const strategy = { ...prescribedHomelab(), membership: { ...prescribedHomelab().membership, phiThreshold: 8.125 } };
    const bytes = ClusterDeclaration.create(strategy, raw, quorum3m()).encode();
    expect(ClusterDeclaration.decode(bytes, topologyByName).strategy.membership.phiThreshold).toBe(8.125);
  });
});

describe("an incoherent declaration is refused", () => {
  test("where the topology is smaller than the quorum, with its name and both numbers", () => {
    expect(() => ClusterDeclaration.create(prescribedHomelab(), raw, solo())).toThrow(
      expect.objectContaining({
        code: "TOPOLOGY_TOO_SMALL_FOR_QUORUM",
        message: "topology solo stands with 1 node, the strategy asks for 3 voters",
      }),
    );
    expect(codeOf(() => ClusterDeclaration.create(prescribedHomelab(), raw, phalanx({ minNodes: 2 })))).toBe(
      "TOPOLOGY_TOO_SMALL_FOR_QUORUM",
    );
  });

  test("where a face promises operator signatures that the strategy does not require", () => {
    const face: FabricFace = { name: "raw", kind: { protocol: "pure-raft", requiresOperatorSignature: true } };
    expect(codeOf(() => ClusterDeclaration.create(prescribedHomelab(), face, quorum3m()))).toBe(
      "FACE_SIGNATURE_PROMISE_UNMET",
    );
    const signed = { ...prescribedHomelab(), attestation: { sealIntervalMs: 1000, requireOperatorSignature: true } };
    expect(codeOf(() => ClusterDeclaration.create(signed, face, quorum3m()))).toBe("no error");
  });

  test("where a quorum of one stands under any other topology than Solo", () => {
    expect(codeOf(() => ClusterDeclaration.create(prescribedSolo(), raw, quorum3m()))).toBe(
      "CLUSTER_STANDALONE_TOPOLOGY",
    );
    expect(codeOf(() => ClusterDeclaration.create(prescribedSolo(), raw, solo()))).toBe("no error");
  });

  test("where the voters are even or the detector is outpaced", () => {
    const even = {
      ...prescribedHomelab(),
      consensus: { ...prescribedHomelab().consensus, protocol: "raft" as const, quorumSize: 4 },
    };
    expect(codeOf(() => ClusterDeclaration.create(even, raw, cluster3mnw()))).toBe("STRATEGY_EVEN_QUORUM");
    const outpaced = { ...prescribedHomelab(), reconciliationCadenceMs: 300 };
    expect(codeOf(() => ClusterDeclaration.create(outpaced, raw, cluster3mnw()))).toBe("STRATEGY_DETECTOR_OUTPACED");
  });

  test("where its bytes are damaged, of another version, or name an unknown topology", () => {
    const bytes = ClusterDeclaration.create(prescribedHomelab(), raw, cluster3mnw()).encode();
    expect(codeOf(() => ClusterDeclaration.decode(bytes.subarray(1), topologyByName))).toBe("FABRIC_INVALID_VALUE");
    expect(codeOf(() => ClusterDeclaration.decode(new Uint8Array([...bytes, 0]), topologyByName))).toBe(
      "FABRIC_INVALID_VALUE",
    );
    const strange = ClusterDeclaration.create(prescribedHomelab(), raw, { ...cluster3mnw(), name: "spiral" }).encode();
    expect(codeOf(() => ClusterDeclaration.decode(strange, topologyByName))).toBe("TOPOLOGY_UNKNOWN");
  });
});
