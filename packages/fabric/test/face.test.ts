import { isFabricError, parseFace, prescribedKubernetes } from "@revoada/fabric";
import { expect, test } from "vitest";

test.each([
  { name: "k", kind: { protocol: "kubernetes", version: "1.34", certifiedCncf: true } },
  { name: "n", kind: { protocol: "nomad", version: "1.9.3" } },
  { name: "s", kind: { protocol: "systemd", userUnits: false } },
  { name: "r", kind: { protocol: "pure-raft" } },
  { name: "b", kind: { protocol: "bare-metal-supervisor", requiresOperatorSignature: true } },
  { name: "e", kind: { protocol: "etcd", version: "3.6" } },
  { name: "mine", kind: { protocol: "x-docker-compose", anything: [1, 2] } },
])("the face %o is taken as it is", (face) => {
  expect(parseFace(face, "face")).toEqual(face);
});

test.each([
  [{ name: "k", kind: { protocol: "compose" } }, "face.kind.protocol"],
  [{ name: "k", kind: { protocol: "x-" } }, "face.kind.protocol"],
  [{ name: "k", kind: { protocol: "nomad", version: "latest" } }, "face.kind.version"],
  [{ name: "k", kind: { protocol: "kubernetes", version: "1.34" } }, "face.kind.certifiedCncf"],
  [{ name: "k", kind: { protocol: "pure-raft", extra: 1 } }, "face.kind.extra"],
  [{ name: "../k", kind: { protocol: "pure-raft" } }, "face.name"],
  [
    { name: "k", kind: { protocol: "pure-raft", requiresOperatorSignature: "yes" } },
    "face.kind.requiresOperatorSignature",
  ],
])("the face %o is refused at %s", (face, path) => {
  try {
    parseFace(face, "face");
  } catch (error) {
    expect(isFabricError(error, "FABRIC_INVALID_VALUE")).toBe(true);
    expect((error as Error).message).toContain(path);
    return;
  }
  expect.unreachable("it was taken");
});

test("the prescribed Kubernetes face says its version and that it is certified", () => {
  expect(prescribedKubernetes("1.34")).toEqual({
    name: "kubernetes-1.34",
    kind: { protocol: "kubernetes", version: "1.34", certifiedCncf: true },
  });
});
