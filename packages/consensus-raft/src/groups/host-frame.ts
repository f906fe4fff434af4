import type { Protocol } from "@revoada/fabric";
import { RaftBadFrameError } from "../errors.ts";
import { encodeFrameValue, frameVersion, maxGroupBytes, openFrame } from "../wire/cbor.ts";

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

/** Encodes frames of groups as one. */
export function encodeHostFrame(frames: readonly Uint8Array[]): Uint8Array {
  return encodeFrameValue([frameVersion, noGroup, frames]);
}

/** Decodes and checks a frame of another host. What is in it has to be checked by whom it is for. Throws `RAFT_BAD_FRAME`. */
export function decodeHostFrame(bytes: Uint8Array): readonly Uint8Array[] {
  const reader = openFrame(bytes, noGroup, "a frame of a host");
  const frames = reader.list(maxFramesPerHostFrame);
  reader.finish();
  for (const frame of frames) {
    if (!(frame instanceof Uint8Array)) throw new RaftBadFrameError("a frame in a frame of a host is not bytes");
  }
  return frames as readonly Uint8Array[];
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
