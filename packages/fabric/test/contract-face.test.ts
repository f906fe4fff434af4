import { faceContract, type FaceFixture, virtualTime } from "@revoada/fabric/contract/face";
import { virtualClock } from "@revoada/fabric/memory";
import { describe, test } from "vitest";
import { expectFailures } from "./references/defects.ts";
import { MemoryCatalog } from "./references/memory-catalog.ts";
import { type FaceDefect, MemoryFace } from "./references/memory-face.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

async function fixture(defect?: FaceDefect, hasLeases = true): Promise<FaceFixture> {
  const clock = virtualClock();
  const catalog = new MemoryCatalog(undefined, hasLeases ? clock : undefined);
  const face = new MemoryFace(catalog, defect);
  return {
    time: virtualTime(clock),
    face,
    sample: (name, variant) => ({
      ref: { kind: "Thing", name, namespace: "kit" },
      body: encoder.encode(JSON.stringify({ kind: "Thing", name, namespace: "kit", variant })),
    }),
    bundle: (samples) => encoder.encode(`[${samples.map(({ body }) => decoder.decode(body)).join(",")}]`),
    selector: { kind: "Thing" },
    malformed: encoder.encode('{"kind": 12}'),
    compact: () => catalog.compact(catalog.revision()),
    [Symbol.asyncDispose]: () => face.shutdown(),
  };
}

describe("a face in memory", () => {
  for (const { name, run } of faceContract(() => fixture())) test(name, run);
});

describe("a face without leases in memory", () => {
  for (const { name, run } of faceContract(() => fixture(undefined, false))) test(name, run);
});

const defects: Readonly<Record<FaceDefect, readonly string[]>> = {
  "serves before its start": ["a face that was only made does not run", "start brings it to running"],
  "says created always": ["applying creates, applying another content updates"],
  "writes what is unchanged": ["an application that changes nothing is no event"],
  "adds a byte to bodies": ["a native body comes back byte for byte"],
  "ignores ifRevision": ["ifRevision lets the holder of the newest write"],
  "applies documents one by one": ["a body of several resources is applied in order"],
  "takes any format": ["a format that the face does not speak"],
  "takes malformed bodies": ["a body that cannot be read is FORMAT_INVALID"],
  "deletes what is not there": ["a resource that is not there is FACE_RESOURCE_NOT_FOUND"],
  "reads what is not there": ["a resource that is not there is FACE_RESOURCE_NOT_FOUND"],
  "lists everything": ["a list holds what the selector matches"],
  "pages over the present": ["pages of a list show one revision"],
  "takes any page token": ["a page token that nobody gave"],
  "begins watches empty": ["a watch begins with what is there as added"],
  "calls every change added": ["a watch begins with what is there as added", "a watch from a revision"],
  "is silent about gaps": ["a gap in history is a reset"],
  "watches on after its end": ["a watch that is aborted ends"],
  "counts no subscribers": ["resources and subscribers are counted"],
  "hides the age of stale reads": ["a stale read says how old it is"],
  "applies without the lease": ["what was applied with a lease says so"],
  "hides leases": ["what was applied with a lease says so"],
  "calls another lease unchanged": ["another lease is a change"],
  "ignores fences": ["a fence lets the holder of a duty write"],
  "skips the fence of what is unchanged": ["a fence lets the holder of a duty write"],
  "ignores pages of leases": ["leases and what is attached to one come in pages"],
  "renews ended leases": ["a lease is told, renewed and listed"],
  "has no formats": ["the manifest says which face it is"],
};

describe("a face that is broken on purpose is found out: it", () => {
  for (const [defect, fails] of Object.entries(defects)) {
    test(defect, () =>
      expectFailures(
        faceContract(() => fixture(defect as FaceDefect)),
        fails,
      ),
    );
  }
});
