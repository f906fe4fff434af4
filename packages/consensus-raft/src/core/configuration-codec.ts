import type { Configuration, NodeId, ReplicaId, StoreId } from "@revoada/fabric";
import { InvalidValueError, parseGeneration } from "@revoada/fabric";
import { checkConfiguration, maxReplicas } from "./configuration.ts";

/*
 * The payload of a configuration entry, deterministic and read for as long as logs live:
 * version u8 = 1 · flags u8 (1 = joint) · generation u64 · counts u16 × 3 (voters, outgoing, learners) · replicas, each 32 + 16 bytes.
 */
const version = 1;
const jointFlag = 1;
const headerBytes = 2 + 8 + 6;
const idBytes = 32;
const storeBytes = 16;
const replicaBytes = idBytes + storeBytes;

function writeHex(hex: string, target: Uint8Array, offset: number): void {
  for (let at = 0; at < hex.length; at += 2) target[offset + at / 2] = Number.parseInt(hex.slice(at, at + 2), 16);
}

function readHex(bytes: Uint8Array, offset: number, length: number): string {
  let hex = "";
  for (let at = offset; at < offset + length; at += 1) hex += (bytes[at] as number).toString(16).padStart(2, "0");
  return hex;
}

/** Encodes a configuration as the payload of its log entry. */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const lists = [configuration.voters, configuration.outgoing ?? [], configuration.learners];
  const total = lists.reduce((sum, list) => sum + list.length, 0);
  const bytes = new Uint8Array(headerBytes + total * replicaBytes);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, version);
  view.setUint8(1, configuration.outgoing === undefined ? 0 : jointFlag);
  view.setBigUint64(2, BigInt(configuration.generation));
  let offset = headerBytes;
  lists.forEach((list, position) => {
    view.setUint16(10 + position * 2, list.length);
    for (const replica of list) {
      writeHex(replica.id, bytes, offset);
      writeHex(replica.storeId, bytes, offset + idBytes);
      offset += replicaBytes;
    }
  });
  return bytes;
}

/** Decodes and checks the payload of a configuration entry. Throws `FABRIC_INVALID_VALUE`. */
export function decodeConfiguration(bytes: Uint8Array): Configuration {
  const path = "configuration";
  if (bytes.length < headerBytes || bytes[0] !== version || (bytes[1] as number) > jointFlag) {
    throw new InvalidValueError(path, bytes, `a configuration of version ${version}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const generation = parseGeneration(Number(view.getBigUint64(2)), `${path}.generation`);
  const counts = [view.getUint16(10), view.getUint16(12), view.getUint16(14)] as const;
  const total = counts[0] + counts[1] + counts[2];
  if (total > 3 * maxReplicas || bytes.length !== headerBytes + total * replicaBytes) {
    throw new InvalidValueError(path, bytes, `${headerBytes + total * replicaBytes} bytes`);
  }
  let offset = headerBytes;
  const lists = counts.map((count) => {
    const list: ReplicaId[] = [];
    for (let at = 0; at < count; at += 1, offset += replicaBytes) {
      list.push({
        id: readHex(bytes, offset, idBytes) as NodeId,
        storeId: readHex(bytes, offset + idBytes, storeBytes) as StoreId,
      });
    }
    return list;
  });
  const [voters = [], outgoing = [], learners = []] = lists;
  const joint = bytes[1] === jointFlag;
  return checkConfiguration(
    joint ? { voters, outgoing, learners, generation } : { voters, learners, generation },
    path,
  );
}
