import { type NodeId, parseStoreId, type StoreId } from "@revoada/fabric";
import type { Message, MessageBody, RepairState } from "../core/types.ts";
import { RaftBadFrameError } from "../errors.ts";
import {
  encodeFrameOfTuples,
  encodeFrameValue,
  frameVersion,
  openFrame,
  TupleReader,
  type TupleWithBytes,
} from "./cbor.ts";
import { decodeEntries, type EntriesEncoder } from "./entries.ts";

const tags = [
  "vote-request",
  "vote-response",
  "append",
  "append-response",
  "heartbeat",
  "heartbeat-response",
  "timeout-now",
] as const satisfies readonly MessageBody["type"][];
const repairStates: readonly RepairState[] = ["sound", "corrupt", "refilled"];

/** More messages than a sender puts into one frame. */
export const maxMessagesPerFrame = 1024;

/** From this size on, entries are not put through an encoder whose buffer would grow to four times their size around them. */
const largeBytes = 32 * 1024;

function carriesMuch(message: Message): boolean {
  if (message.type !== "append") return false;
  let bytes = 0;
  for (const entry of message.entries) {
    bytes += entry.payload.length;
    if (bytes >= largeBytes) return true;
  }
  return false;
}

function tupleOf(message: Message, encoder: EntriesEncoder): TupleWithBytes {
  const head = [tags.indexOf(message.type), message.term];
  if (message.type !== "append") return [[...head, ...fieldsOf(message)], undefined];
  return [[...head, message.prevIndex, message.prevTerm, message.commit], encoder.encode(message.entries)];
}

function fieldsOf(message: Exclude<Message, { readonly type: "append" }>): readonly unknown[] {
  switch (message.type) {
    case "vote-request":
      return [message.pre, message.transfer, message.lastIndex, message.lastTerm];
    case "vote-response":
      return [message.pre, message.granted];
    case "append-response":
      return [
        message.success,
        message.index,
        message.hintIndex,
        message.hintTerm,
        repairStates.indexOf(message.repair),
      ];
    case "heartbeat":
      return [message.round, message.commit, message.repairIndex];
    case "heartbeat-response":
      return [message.round, repairStates.indexOf(message.repair)];
    case "timeout-now":
      return [];
  }
}

/** Encodes messages from one store to one other. */
export function encodeMessages(
  groupId: Uint8Array,
  fromStore: StoreId,
  toStore: StoreId,
  messages: readonly Message[],
  encoder: EntriesEncoder,
): Uint8Array {
  const head = [frameVersion, groupId, fromStore, toStore];
  const tuples = messages.map((message) => tupleOf(message, encoder));
  if (messages.some(carriesMuch)) return encodeFrameOfTuples(head, tuples);
  const whole = tuples.map(([fields, bytes]) => (bytes === undefined ? fields : [...fields, bytes]));
  return encodeFrameValue([...head, whole]);
}

function bodyOf(reader: TupleReader, type: (typeof tags)[number]): MessageBody {
  switch (type) {
    case "vote-request":
      return {
        type,
        pre: reader.boolean(),
        transfer: reader.boolean(),
        lastIndex: reader.counter(),
        lastTerm: reader.counter(),
      };
    case "vote-response":
      return { type, pre: reader.boolean(), granted: reader.boolean() };
    case "append": {
      const prevIndex = reader.counter();
      const prevTerm = reader.counter();
      const commit = reader.counter();
      return { type, prevIndex, prevTerm, commit, entries: decodeEntries(reader.bytes(), prevIndex) };
    }
    case "append-response":
      return {
        type,
        success: reader.boolean(),
        index: reader.counter(),
        hintIndex: reader.counter(),
        hintTerm: reader.counter(),
        repair: reader.oneOf(repairStates),
      };
    case "heartbeat":
      return { type, round: reader.counter(), commit: reader.counter(), repairIndex: reader.counter() };
    case "heartbeat-response":
      return { type, round: reader.counter(), repair: reader.oneOf(repairStates) };
    case "timeout-now":
      return { type };
  }
}

/** Entries of one append come from one log: their terms never fall, and none is of a term to come. */
function checkTerms(body: MessageBody, term: number): void {
  if (body.type !== "append") return;
  let before = body.prevTerm;
  for (const entry of body.entries) {
    if (entry.term < before || entry.term > term)
      throw new RaftBadFrameError(`entry ${entry.index} has term ${entry.term} after ${before}`);
    before = entry.term;
  }
  if (before > term || !Number.isSafeInteger(body.prevIndex + body.entries.length)) {
    throw new RaftBadFrameError(`an append of term ${term} follows term ${before}`);
  }
}

/** A store id of a peer's frame. Throws `RAFT_BAD_FRAME`. */
export function storeOf(text: string): StoreId {
  try {
    return parseStoreId(text);
  } catch {
    throw new RaftBadFrameError("a store id is malformed");
  }
}

/** Decodes and checks a frame that `from` has sent to `to`. Throws `RAFT_BAD_FRAME`. */
export function decodeMessages(bytes: Uint8Array, groupId: Uint8Array, from: NodeId, to: NodeId): readonly Message[] {
  const frame = openFrame(bytes, groupId, "a frame");
  const fromStore = storeOf(frame.text(32));
  const toStore = storeOf(frame.text(32));
  const tuples = frame.list(maxMessagesPerFrame);
  frame.finish();
  return tuples.map((tuple) => {
    const reader = new TupleReader(tuple, "a message");
    const type = reader.oneOf(tags);
    const term = reader.counter();
    const body = bodyOf(reader, type);
    reader.finish();
    checkTerms(body, term);
    return { from, fromStore, to, toStore, term, ...body };
  });
}
