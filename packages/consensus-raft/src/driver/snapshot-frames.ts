import { parseStoreId, type LogBase, type Protocol, type StoreId } from "@revoada/fabric";
import { encodeFrameValue, frameVersion, openFrame, type TupleReader } from "../wire/cbor.ts";
import { baseOf, configurationBytes, maxChunkBytes } from "./snapshot-files.ts";

/** Chunks travel beside heartbeats, never before them. */
export const snapshotProtocol: Protocol = { name: "/revoada/raft-snapshot/1", channel: "bulk" };

/*
 * A request: version, group, step, transfer id, then
 *   begin   the sender's store, the receiver's, term, index and term of the base, its configuration (empty: none), bytes of a chunk
 *   chunk   offset, CRC-32 of the bytes, the bytes
 *   end     length, SHA-256 of all the bytes
 * An answer: version, group, bytes that were taken (while installing: that the machine has read), phase.
 */
const steps = ["begin", "chunk", "end"] as const;
const phases = ["receiving", "installing", "done"] as const;
const maxIdLength = 64;
/** A configuration stands in the header of the file as well, and that is bounded. */
const maxConfigurationBytes = 512 * 1024;

/** One step of a transfer. Steps may be repeated: what was taken already is only acknowledged again. */
export type SnapshotRequest =
  | {
      readonly step: "begin";
      readonly id: string;
      readonly fromStore: StoreId;
      readonly toStore: string;
      readonly term: number;
      readonly base: LogBase;
      readonly chunkBytes: number;
    }
  | {
      readonly step: "chunk";
      readonly id: string;
      readonly offset: number;
      readonly sum: number;
      readonly bytes: Uint8Array;
    }
  | { readonly step: "end"; readonly id: string; readonly length: number; readonly digest: Uint8Array };

export interface SnapshotAnswer {
  readonly offset: number;
  readonly phase: (typeof phases)[number];
}

export function encodeRequest(groupId: Uint8Array, request: SnapshotRequest): Uint8Array {
  const head = [frameVersion, groupId, steps.indexOf(request.step), request.id];
  switch (request.step) {
    case "begin": {
      const { fromStore, toStore, term, base, chunkBytes } = request;
      const place = [base.index, base.term, configurationBytes(base), chunkBytes];
      return encodeFrameValue([...head, fromStore, toStore, term, ...place]);
    }
    case "chunk":
      return encodeFrameValue([...head, request.offset, request.sum, request.bytes]);
    case "end":
      return encodeFrameValue([...head, request.length, request.digest]);
  }
}

/** Throws `RAFT_BAD_FRAME`, `FABRIC_INVALID_VALUE`. */
export function decodeRequest(groupId: Uint8Array, payload: Uint8Array): SnapshotRequest {
  const reader = openFrame(payload, groupId, "a snapshot request");
  const step = reader.oneOf(steps);
  const request = decodeStep(step, reader.text(maxIdLength), reader);
  reader.finish();
  return request;
}

function decodeStep(step: (typeof steps)[number], id: string, reader: TupleReader): SnapshotRequest {
  switch (step) {
    case "begin": {
      const fromStore = parseStoreId(reader.text(32));
      const toStore = reader.text(32);
      const term = reader.counter();
      const base = baseOf(reader.counter(), reader.counter(), reader.bytes(maxConfigurationBytes));
      return { step, id, fromStore, toStore, term, base, chunkBytes: reader.counter() };
    }
    case "chunk":
      return { step, id, offset: reader.counter(), sum: reader.counter(), bytes: reader.bytes(maxChunkBytes) };
    case "end":
      return { step, id, length: reader.counter(), digest: reader.bytes(32) };
  }
}

export function encodeAnswer(groupId: Uint8Array, { offset, phase }: SnapshotAnswer): Uint8Array {
  return encodeFrameValue([frameVersion, groupId, offset, phases.indexOf(phase)]);
}

/** Throws `RAFT_BAD_FRAME`. */
export function decodeAnswer(groupId: Uint8Array, payload: Uint8Array): SnapshotAnswer {
  const reader = openFrame(payload, groupId, "a snapshot answer");
  const answer = { offset: reader.counter(), phase: reader.oneOf(phases) };
  reader.finish();
  return answer;
}
