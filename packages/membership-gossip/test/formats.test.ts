import { expect, test } from "vitest";
import { toHex } from "../src/core/bytes.ts";
import { encodeFrame } from "../src/core/frames.ts";
import { encodeRecord, encodeVerdict } from "../src/core/items.ts";
import { clusterId, identityOf } from "./identities.ts";

const alice = identityOf(0).id;
const bob = identityOf(1).id;

// These bytes are on the wire between versions: a change here is a change of format and needs a new version number.
test("a record of format 1 has these bytes", () => {
  const payload = encodeRecord(clusterId, {
    id: alice,
    generation: 1_767_225_600,
    incarnation: 2,
    version: 7,
    status: "alive",
    notAfterMs: 1_767_312_000_000,
    addresses: ["10.0.0.1:7000"],
    keys: new Map([
      ["zone", "b"],
      ["version", "0.1.0"],
    ]),
    pages: [5],
  });
  expect(toHex(payload)).toMatchInlineSnapshot(
    `"8c757265766f6164612f676f737369702f7265636f7264015820c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c15820b1f804dabc68274c1233995c5a9119b56935bcdd83b7de07ec726dcedc4e9ce71a6955b9000207001b0000019b7c010400816d31302e302e302e313a3730303082826776657273696f6e65302e312e3082647a6f6e6561628105"`,
  );
});

test("a verdict of format 1 has these bytes", () => {
  const payload = encodeVerdict(clusterId, {
    observer: alice,
    observerGeneration: 1_767_225_600,
    sequence: 3,
    subject: bob,
    generation: 1_767_225_601,
    incarnation: 0,
    opinion: "closed",
  });
  expect(toHex(payload)).toMatchInlineSnapshot(
    `"8a767265766f6164612f676f737369702f76657264696374015820c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c15820b1f804dabc68274c1233995c5a9119b56935bcdd83b7de07ec726dcedc4e9ce71a6955b9000358206a0f6a283a8e4e86d2a3d60ef9e37ec33f2ab6071a30e0a477735128e7571eb01a6955b9010004"`,
  );
});

test("a beat of format 1 has these bytes", () => {
  expect(
    toHex(encodeFrame(clusterId, { type: "beat", generation: 1_767_225_600, incarnation: 0, sequence: 9 })),
  ).toMatchInlineSnapshot(`"86015820c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1051a6955b9000009"`);
});
