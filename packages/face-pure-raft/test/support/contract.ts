import type { Face, ResourceRef } from "@revoada/fabric";
import type { ContractTime, FaceFixture, SampleResource } from "@revoada/fabric/contract/face";
import { defaultFormats } from "@revoada/format";
import { bytesOf } from "./fixtures.ts";
import type { MemoryCatalog } from "./memory-catalog.ts";

/** A fixture of the contract around a face over a catalog, wherever the two are. */
export function faceFixture(parts: {
  readonly time: ContractTime;
  readonly face: Face;
  readonly catalog: MemoryCatalog;
  readonly native?: boolean;
  readonly dispose?: () => Promise<void>;
}): FaceFixture {
  const { time, face, catalog, native = false, dispose } = parts;
  const sample = (name: string, variant: number): SampleResource => {
    const ref: ResourceRef = { group: "revoada.test", kind: "Sample", name, namespace: "here" };
    const value = { labels: { variant: String(variant) }, data: [1, 2, variant] };
    if (native) return { ref, body: defaultFormats().get("native").encode([{ ref, value }]) };
    const { group, kind, namespace } = ref;
    return { ref, body: bytesOf(JSON.stringify({ group, kind, name, namespace, ...value })) };
  };
  return {
    time,
    face,
    sample,
    bundle: (samples) => Buffer.concat(samples.flatMap(({ body }) => (native ? [body] : [body, bytesOf("\n---\n")]))),
    selector: { group: "revoada.test", kind: "Sample", namespace: "here" },
    malformed: bytesOf("{ kind: Sample, name: [}"),
    compact: () => catalog.compact(catalog.revision()),
    async [Symbol.asyncDispose]() {
      await face[Symbol.asyncDispose]();
      await dispose?.();
    },
  };
}
