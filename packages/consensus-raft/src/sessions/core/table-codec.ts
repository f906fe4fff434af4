import { FabricError, isFabricError } from "@revoada/fabric";
import { RaftBadSnapshotError } from "../../errors.ts";
import { ByteReader, counterBytes, viewOf, writeCounter } from "./bytes.ts";
import { checkSessionLimits, type SessionLimits } from "./limits.ts";
import type { SessionPicture, SessionRecord, Slot } from "./table.ts";

/*
 * The table in a snapshot, before the machine's own bytes:
 *   magic "RVDASESS" · version u32 · maxSessions · maxInFlight · maxResultBytes · maxBytes · count u32
 *   then per session, the longest idle first: length u32 · record
 * A record, in a snapshot and in an annex: version u8 · id · lastIndex · acknowledged · count u32
 *   then per result, in order: sequence · index · term · length u32 (0xffffffff where it is not kept) · bytes
 * Counters are 8 bytes, everything is big-endian. Equal tables have equal bytes.
 */
const magic = new TextEncoder().encode("RVDASESS");
const sectionVersion = 1;
const recordVersion = 1;
const notKept = 0xffff_ffff;
const recordPrefixBytes = 1 + 3 * counterBytes + 4;
const slotPrefixBytes = 3 * counterBytes + 4;
const nothing = new Uint8Array(0);

/** Bytes of the section before its first record. */
export const sectionPrefixBytes: number = magic.length + 4 + 4 * counterBytes + 4;

export function encodeSessionLimits(limits: SessionLimits): Uint8Array {
  const bytes = new Uint8Array(4 * counterBytes);
  const view = viewOf(bytes);
  [limits.maxSessions, limits.maxInFlight, limits.maxResultBytes, limits.maxBytes].forEach((value, at) =>
    writeCounter(view, at * counterBytes, value),
  );
  return bytes;
}

function readLimits(reader: ByteReader): SessionLimits {
  const [maxSessions, maxInFlight] = [reader.counter(), reader.counter()];
  return checkSessionLimits(
    { maxSessions, maxInFlight, maxResultBytes: reader.counter(), maxBytes: reader.counter() },
    "limits",
  );
}

/** Decodes limits that stood in an annex. Throws `RAFT_BAD_SNAPSHOT`. */
export function decodeSessionLimits(bytes: Uint8Array): SessionLimits {
  return believed(() => {
    const reader = new ByteReader(bytes, "session limits");
    const limits = readLimits(reader);
    reader.finish();
    return limits;
  });
}

export function encodeSessionRecord(record: SessionRecord): Uint8Array {
  let length = recordPrefixBytes;
  for (const slot of record.slots) length += slotPrefixBytes + slot.result.length;
  const bytes = new Uint8Array(length);
  const view = viewOf(bytes);
  bytes[0] = recordVersion;
  [record.id, record.lastIndex, record.acknowledged].forEach((value, at) =>
    writeCounter(view, 1 + at * counterBytes, value),
  );
  view.setUint32(recordPrefixBytes - 4, record.slots.length);
  let offset = recordPrefixBytes;
  for (const slot of record.slots) {
    [slot.sequence, slot.index, slot.term].forEach((value, at) =>
      writeCounter(view, offset + at * counterBytes, value),
    );
    view.setUint32(offset + 3 * counterBytes, slot.state === "kept" ? slot.result.length : notKept);
    bytes.set(slot.result, offset + slotPrefixBytes);
    offset += slotPrefixBytes + slot.result.length;
  }
  return bytes;
}

/** Decodes and checks one session. Throws `RAFT_BAD_SNAPSHOT`. */
export function decodeSessionRecord(bytes: Uint8Array): SessionRecord {
  return believed(() => {
    const reader = new ByteReader(bytes, "a session");
    const version = reader.byte();
    if (version !== recordVersion) throw new RaftBadSnapshotError(`a session of version ${version}`);
    const [id, lastIndex, acknowledged] = [reader.counter(), reader.counter(), reader.counter()];
    const count = reader.uint32();
    const slots: Slot[] = [];
    let before = acknowledged;
    for (let at = 0; at < count; at += 1) {
      const slot = readSlot(reader, id);
      if (slot.sequence <= before || slot.index > lastIndex)
        throw new RaftBadSnapshotError(`sequence ${slot.sequence} of session ${id} after ${before}`);
      before = slot.sequence;
      slots.push(slot);
    }
    reader.finish();
    if (id === 0 || lastIndex < id) throw new RaftBadSnapshotError(`session ${id} was last used at ${lastIndex}`);
    return { id, lastIndex, acknowledged, slots };
  });
}

function readSlot(reader: ByteReader, session: number): Slot {
  const [sequence, index, term] = [reader.counter(), reader.counter(), reader.counter()];
  const length = reader.uint32();
  const identity = { session, sequence, index, term };
  if (length === notKept) return { ...identity, state: "not-kept", result: nothing };
  return { ...identity, state: "kept", result: reader.take(length).slice() };
}

/** The section's pieces, one by one: nothing is encoded before it is asked for. */
export function* encodeSection(picture: SessionPicture): Generator<Uint8Array> {
  const { limits, sessions } = picture;
  const prefix = new Uint8Array(sectionPrefixBytes);
  const view = viewOf(prefix);
  prefix.set(magic);
  view.setUint32(magic.length, sectionVersion);
  prefix.set(encodeSessionLimits(limits), magic.length + 4);
  view.setUint32(sectionPrefixBytes - 4, sessions.length);
  yield prefix;
  for (const session of sessions) {
    const record = encodeSessionRecord(session);
    const framed = new Uint8Array(4 + record.length);
    viewOf(framed).setUint32(0, record.length);
    framed.set(record, 4);
    yield framed;
  }
}

/** Decodes what stands before the first record. Throws `RAFT_BAD_SNAPSHOT`. */
export function decodeSectionPrefix(bytes: Uint8Array): { readonly limits: SessionLimits; readonly count: number } {
  return believed(() => {
    const reader = new ByteReader(bytes, "the session section");
    const found = reader.take(magic.length);
    if (!magic.every((byte, at) => found[at] === byte))
      throw new RaftBadSnapshotError("there is no session table: it was taken by a group without sessions");
    const version = reader.uint32();
    if (version !== sectionVersion) throw new RaftBadSnapshotError(`a session table of version ${version}`);
    const limits = readLimits(reader);
    const count = reader.uint32();
    reader.finish();
    if (count > limits.maxSessions)
      throw new RaftBadSnapshotError(`${count} sessions, at most ${limits.maxSessions} are allowed`);
    return { limits, count };
  });
}

/** No record can be longer than this under `limits`. */
export function longestRecord(limits: SessionLimits): number {
  return recordPrefixBytes + limits.maxBytes;
}

/** Puts records together again. Throws `RAFT_BAD_SNAPSHOT` where they are not in order of their last use. */
export function pictureOf(limits: SessionLimits, sessions: readonly SessionRecord[]): SessionPicture {
  let before = 0;
  for (const { id, lastIndex } of sessions) {
    // One entry uses one session: no two were last used by the same one.
    if (lastIndex <= before)
      throw new RaftBadSnapshotError(`session ${id} was last used at ${lastIndex}, after ${before}`);
    before = lastIndex;
  }
  return { limits, sessions };
}

/** Whatever is wrong with stored bytes is wrong with the snapshot. */
function believed<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (isFabricError(error, "RAFT_BAD_SNAPSHOT")) throw error;
    if (error instanceof FabricError) throw new RaftBadSnapshotError(error.message);
    throw error;
  }
}
