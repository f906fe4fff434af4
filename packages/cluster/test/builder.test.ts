import { Cluster, type ClusterLayers } from "@revoada/cluster";
import { isFabricError, prescribedHomelab } from "@revoada/fabric";
import { cluster3mnw, solo } from "@revoada/topology";
import { expect, test } from "vitest";

/** Layers that fail the test as soon as any of them is called. */
function untouched(): ClusterLayers {
  return new Proxy({} as ClusterLayers, {
    get(_target, name) {
      throw new Error(`build() touched ${String(name)}`);
    },
  });
}

function messageOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (isFabricError(error)) return `${error.code} ${error.message}`;
    throw error;
  }
  return "no error";
}

test("the first missing of strategy, face, topology and layers is named", () => {
  const builder = Cluster.builder();
  expect(messageOf(() => builder.build())).toBe("CLUSTER_INCOMPLETE the cluster has no strategy");
  builder.strategy(prescribedHomelab());
  expect(messageOf(() => builder.build())).toBe("CLUSTER_INCOMPLETE the cluster has no face");
  builder.facePureRaft("raw");
  expect(messageOf(() => builder.build())).toBe("CLUSTER_INCOMPLETE the cluster has no topology");
  builder.topology(cluster3mnw());
  expect(messageOf(() => builder.build())).toBe("CLUSTER_INCOMPLETE the cluster has no layers");
});

test("incoherence surfaces through the builder", () => {
  const builder = Cluster.builder()
    .strategy(prescribedHomelab())
    .facePureRaft("raw")
    .topology(solo())
    .layers(untouched());
  expect(messageOf(() => builder.build())).toMatch(/^TOPOLOGY_TOO_SMALL_FOR_QUORUM/);
});

test("the prescribed Kubernetes face says 1.34 and certified", () => {
  const declaration = Cluster.builder()
    .strategy(prescribedHomelab())
    .faceKubernetesPrescribed()
    .topology(cluster3mnw())
    .declaration();
  expect(declaration.face.kind).toEqual({ protocol: "kubernetes", version: "1.34", certifiedCncf: true });
});

test("build() allocates nothing, and what is built is stopped", () => {
  const cluster = Cluster.builder()
    .strategy(prescribedHomelab())
    .facePureRaft("raw")
    .topology(cluster3mnw())
    .layers(untouched())
    .build();
  expect(cluster.isRunning()).toBe(false);
  expect(cluster.id()).toBe("raw/homelab-3node/cluster_3m_nw");
});

test("a stopped cluster says so to every verb and to shutdown", async () => {
  const cluster = Cluster.builder()
    .strategy(prescribedHomelab())
    .facePureRaft("raw")
    .topology(cluster3mnw())
    .layers(untouched())
    .build();
  const refused = expect.objectContaining({ code: "CLUSTER_NOT_STARTED" });
  await expect(cluster.shutdown()).rejects.toThrow(refused);
  await expect(cluster.apply({ format: "json", body: new Uint8Array() })).rejects.toThrow(refused);
  await expect(cluster.get({ kind: "Pod", name: "a" })).rejects.toThrow(refused);
  expect(() => cluster.health()).toThrow(refused);
});

test("a face that nobody registered is refused before anything is taken, naming those that are", async () => {
  const layers = {
    faces: [{ protocol: "pure-raft", create: () => expect.unreachable("created") }],
  } as unknown as ClusterLayers;
  const cluster = Cluster.builder()
    .strategy(prescribedHomelab())
    .faceKubernetesPrescribed()
    .topology(cluster3mnw())
    .layers(layers)
    .build();
  await expect(cluster.start()).rejects.toThrow(
    expect.objectContaining({
      code: "FACE_UNKNOWN_PROTOCOL",
      message: 'no face speaks "kubernetes" (registered: pure-raft)',
    }),
  );
  expect(cluster.isRunning()).toBe(false);
});

test("disposing a cluster that never started is safe", async () => {
  await using cluster = Cluster.builder()
    .strategy(prescribedHomelab())
    .facePureRaft("raw")
    .topology(cluster3mnw())
    .layers(untouched())
    .build();
  expect(cluster.isRunning()).toBe(false);
});
