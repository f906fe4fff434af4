import type { LogEntry, NodeId, StoreId } from "@revoada/fabric";
import { Encoder } from "cbor-x";
import { expect, test } from "vitest";
import type { Message } from "../src/core/types.ts";
import { encodeEntries, EntriesEncoder } from "../src/wire/entries.ts";
import { decodeMessages, encodeMessages } from "../src/wire/messages.ts";

const group = Uint8Array.of(7, 7);
const [from, to] = ["1", "2"].map((digit) => digit.repeat(64) as NodeId) as [NodeId, NodeId];
const [fromStore, toStore] = ["a", "b"].map((digit) => digit.repeat(32) as StoreId) as [StoreId, StoreId];
const cbor = new Encoder({ useRecords: false, variableMapSize: true, tagUint8Array: false });

function append(count: number, payloadBytes: number): Message {
  const entries = Array.from({ length: count }, (_, at): LogEntry => {
    const payload = new Uint8Array(payloadBytes).fill(at);
    return { index: at + 10, term: 3, kind: "command", payload } as unknown as LogEntry;
  });
  return { from, fromStore, to, toStore, type: "append", term: 3, prevIndex: 9, prevTerm: 3, commit: 8, entries };
}

const heartbeat: Message = {
  from,
  fromStore,
  to,
  toStore,
  type: "heartbeat",
  term: 3,
  round: 5,
  commit: 8,
  repairIndex: 0,
};

/** What a frame is, said by the encoder alone: version, group, stores, then a tuple for each message. */
function plainFrame(messages: readonly Message[]): Uint8Array {
  const tuples = messages.map((message) =>
    message.type === "append"
      ? [2, 3, message.prevIndex, message.prevTerm, message.commit, encodeEntries(message.entries)]
      : [4, 3, 5, 8, 0],
  );
  return cbor.encode([1, group, fromStore, toStore, tuples]);
}

// Sizes on both sides of each form that the length of a block or a list can take.
for (const [name, messages] of [
  ["no entry", [append(0, 0)]],
  ["one small entry", [append(1, 10)]],
  ["a small block and one of two length bytes", [append(1, 2), append(8, 20), append(120, 300)]],
  ["a block of four length bytes", [append(300, 300), heartbeat]],
  ["many messages", [append(120, 300), ...Array.from({ length: 300 }, () => heartbeat)]],
  ["thirty messages", [...Array.from({ length: 30 }, () => heartbeat), append(120, 300)]],
] as const) {
  test(`a frame with ${name} is what the encoder makes of the whole, and is read back as it was`, () => {
    const frame = encodeMessages(group, fromStore, toStore, messages, new EntriesEncoder());
    expect(Buffer.compare(frame, plainFrame(messages))).toBe(0);
    expect(decodeMessages(frame, group, from, to)).toEqual(messages);
  });
}
