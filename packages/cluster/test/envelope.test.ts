import { commandCodec, commandKinds, openEnvelope, sealEnvelope, type CommandKind } from "@revoada/cluster";
import { expect, test } from "vitest";

test.each(Object.entries(commandKinds))("a %s command is version 1 and kind %i on the wire", (kind, number) => {
  const bytes = sealEnvelope(kind as CommandKind, Uint8Array.of(7, 8));
  expect([...bytes]).toEqual([1, number, 7, 8]);
  expect(openEnvelope(bytes)).toEqual({ kind, body: Uint8Array.of(7, 8) });
});

test.each([[[]], [[1]], [[2, 1, 0]], [[1, 99, 0]]])(
  "the bytes %j are of a newer version and stop the replica",
  (bytes) => {
    const newer = expect.objectContaining({ code: "RAFT_NEWER_COMMAND" });
    expect(() => openEnvelope(Uint8Array.from(bytes))).toThrow(newer);
    // The log asks the codec before it takes what another node hands it: such a command gets into no log.
    expect(() => commandCodec.decodeCommand(Uint8Array.from(bytes))).toThrow(newer);
  },
);
