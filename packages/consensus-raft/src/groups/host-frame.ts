import type { Protocol } from "@revoada/fabric";
import { RaftBadFrameError } from "../errors.ts";
import { encodeFrameValue, frameVersion, maxGroupBytes, openFrame, TupleReader } from "../wire/cbor.ts";
import { storeOf } from "../wire/messages.ts";
import { maxClaims, type ClaimChange } from "./claims.ts";

/** Frames between hosts: what any number of groups have to say to one peer. */
export const groupsProtocol: Protocol = { name: "/revoada/raft-groups/1", channel: "consensus" };

/** A frame is closed once it carries this much; what is larger travels alone. */
export const hostFrameBytes: number = 1024 * 1024;

/** More frames of groups than a host puts into one of its own. */
export const maxFramesPerHostFrame = 4096;

const noGroup = new Uint8Array(0);

/** The protocol under which a host offers for all of its groups what a lone replica offers for itself. */
export function hostProtocol(protocol: Protocol): Protocol {
  return { name: protocol.name.replace("/revoada/raft", "/revoada/raft-groups"), channel: protocol.channel };
}

/** "I am alive": with what this host claims, as far as the other side is not known to hold it. */
export interface Beat {
  readonly seq: number;
  /** The version of the set of claims with `changes` applied to what stood at `base`; 0 is the empty set. */
  readonly version: number;
  readonly base: number;
  readonly changes: readonly ClaimChange[];
}

/** The answer to a beat. */
export interface BeatAnswer {
  /** The life of the host that had sent it. */
  readonly epoch: string;
  readonly seq: number;
  /** The version of its claims that is held here. */
  readonly version: number;
  /** Those among them that do not agree with what is so here. */
  readonly refused: readonly string[];
}

/** What hosts say to each other for themselves. */
export interface HostWord {
  /** One life of a host: what was said in an earlier one counts no more. */
  readonly epoch: string;
  readonly beat: Beat | undefined;
  readonly answer: BeatAnswer | undefined;
}

export interface HostFrame {
  readonly word: HostWord | undefined;
  readonly frames: readonly Uint8Array[];
}

/** Bytes of an epoch; in hexadecimal where it is compared. */
export const epochBytes = 8;

function changeTuple({ groupId, claim }: ClaimChange): readonly unknown[] {
  return claim === undefined ? [groupId] : [groupId, claim.term, claim.toStore];
}

function wordTuple({ epoch, beat, answer }: HostWord): readonly unknown[] {
  return [
    Buffer.from(epoch, "hex"),
    beat === undefined ? [] : [beat.seq, beat.version, beat.base, beat.changes.map(changeTuple)],
    answer === undefined
      ? []
      : [
          Buffer.from(answer.epoch, "hex"),
          answer.seq,
          answer.version,
          answer.refused.map((key) => Buffer.from(key, "hex")),
        ],
  ];
}

/** Encodes frames of groups, and what the host says for itself, as one. */
export function encodeHostFrame({ word, frames }: HostFrame): Uint8Array {
  return encodeFrameValue([frameVersion, noGroup, word === undefined ? [] : wordTuple(word), frames]);
}

function changeOf(tuple: unknown): ClaimChange {
  const reader = new TupleReader(tuple, "a claim");
  const groupId = reader.bytes(maxGroupBytes);
  const key = groupKey(groupId);
  if ((tuple as readonly unknown[]).length === 1) return { key, groupId, claim: undefined };
  const claim = { groupId, term: reader.counter(), toStore: storeOf(reader.text(32)) };
  reader.finish();
  return { key, groupId, claim };
}

function beatOf(tuple: readonly unknown[]): Beat | undefined {
  if (tuple.length === 0) return undefined;
  const reader = new TupleReader(tuple, "a beat");
  const beat = {
    seq: reader.counter(),
    version: reader.counter(),
    base: reader.counter(),
    changes: reader.list(maxClaims).map(changeOf),
  };
  reader.finish();
  if (beat.base > beat.version) throw new RaftBadFrameError(`a beat of version ${beat.version} on ${beat.base}`);
  return beat;
}

function epochOf(reader: TupleReader): string {
  const bytes = reader.bytes(epochBytes);
  if (bytes.length !== epochBytes) throw new RaftBadFrameError(`an epoch of ${bytes.length} bytes`);
  return groupKey(bytes);
}

function answerOf(tuple: readonly unknown[]): BeatAnswer | undefined {
  if (tuple.length === 0) return undefined;
  const reader = new TupleReader(tuple, "the answer to a beat");
  const epoch = epochOf(reader);
  const seq = reader.counter();
  const version = reader.counter();
  const refused = reader.list(maxClaims).map((groupId) => {
    if (groupId instanceof Uint8Array && groupId.length <= maxGroupBytes) return groupKey(groupId);
    throw new RaftBadFrameError("a refused claim without a group");
  });
  reader.finish();
  return { epoch, seq, version, refused };
}

function wordOf(tuple: readonly unknown[]): HostWord | undefined {
  if (tuple.length === 0) return undefined;
  const reader = new TupleReader(tuple, "the word of a host");
  const epoch = epochOf(reader);
  const beat = beatOf(reader.list(4));
  const answer = answerOf(reader.list(4));
  reader.finish();
  return { epoch, beat, answer };
}

/** Decodes and checks a frame of another host. What is in it has to be checked by whom it is for. Throws `RAFT_BAD_FRAME`. */
export function decodeHostFrame(bytes: Uint8Array): HostFrame {
  const reader = openFrame(bytes, noGroup, "a frame of a host");
  const word = wordOf(reader.list(3));
  const frames = reader.list(maxFramesPerHostFrame);
  reader.finish();
  for (const frame of frames) {
    if (!(frame instanceof Uint8Array)) throw new RaftBadFrameError("a frame in a frame of a host is not bytes");
  }
  return { word, frames: frames as readonly Uint8Array[] };
}

const arrayHeader = 0x80;
const bytesHeader = 0x40;
const shortest = 24;

/**
 * The group that a frame bears, without decoding the rest: every frame is a CBOR array of fewer than 24 elements, and the first
 * two are the version and the group. Whoever takes the frame checks all of it. Throws `RAFT_BAD_FRAME`.
 */
export function groupOf(frame: Uint8Array): Uint8Array {
  const [array = 0, version = 0, header = 0, long = 0] = frame;
  if (array < arrayHeader || array >= arrayHeader + shortest || version !== frameVersion)
    throw new RaftBadFrameError(`a frame that begins with ${array}, ${version}`);
  const isLong = header === bytesHeader + shortest;
  const length = isLong ? long : header - bytesHeader;
  const start = isLong ? 4 : 3;
  if (length < 0 || (!isLong && length >= shortest) || length > maxGroupBytes || start + length > frame.length)
    throw new RaftBadFrameError("a frame without a group");
  return frame.subarray(start, start + length);
}

/** A group id as it is used to look groups up, and in paths and labels. */
export function groupKey(groupId: Uint8Array): string {
  return Buffer.from(groupId.buffer, groupId.byteOffset, groupId.byteLength).toString("hex");
}
