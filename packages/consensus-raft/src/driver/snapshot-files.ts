import { createHash, type Hash } from "node:crypto";
import { crc32 } from "node:zlib";
import { isFabricError, type Disk, type DiskFile, type LogBase } from "@revoada/fabric";
import { decodeConfiguration, encodeConfiguration } from "../core/configuration-codec.ts";
import { asIndex, asTerm } from "../core/types.ts";
import { RaftBadSnapshotError } from "../errors.ts";
import { encodeFrameValue, frameVersion, openFrame } from "../wire/cbor.ts";

/*
 * A snapshot file: magic "RVDASNAP" · header length u32 · header CRC u32 · header (CBOR: version, group, index, term, configuration),
 * then chunks (length u32 · CRC u32 · bytes), then a chunk of length 0 whose CRC field is 0, then the SHA-256 of all chunk bytes.
 */
const magic = Buffer.from("RVDASNAP");
const prefixBytes = magic.length + 8;
const frameBytes = 8;
const hashBytes = 32;
const maxHeaderBytes = 1024 * 1024;
/** Larger chunks of a machine are split; what is read back is no larger either. */
const maxFileChunkBytes: number = 4 * 1024 * 1024;

/** Where the snapshot files of one group lie, and whose they are. */
export interface SnapshotPlace {
  readonly disk: Disk;
  /** Holds nothing but snapshot files of this group; its parents are made with it. */
  readonly snapshotDirectory: string;
  readonly groupId: Uint8Array;
}

const namePattern = /^(\d{16})-(\d{16})\.snap$/;

function nameOf(place: SnapshotPlace, base: LogBase): string {
  return `${place.snapshotDirectory}/${String(base.index).padStart(16, "0")}-${String(base.term).padStart(16, "0")}.snap`;
}

/** Bytes of a configuration that may be missing: none. */
export function configurationBytes(base: LogBase): Uint8Array {
  return base.configuration === undefined ? new Uint8Array(0) : encodeConfiguration(base.configuration);
}

/** A base from its untrusted parts. Throws `FABRIC_INVALID_VALUE`. */
export function baseOf(index: number, term: number, configuration: Uint8Array): LogBase {
  const position = { index: asIndex(index), term: asTerm(term) };
  return configuration.length === 0 ? position : { ...position, configuration: decodeConfiguration(configuration) };
}

/** Cuts a stream of bytes into pieces of `size`, the last one shorter. */
export async function* rechunk(chunks: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    let rest = chunk;
    while (bytes + rest.length >= size) {
      const take = size - bytes;
      yield Buffer.concat([...held, rest.subarray(0, take)]);
      held = [];
      bytes = 0;
      rest = rest.subarray(take);
    }
    if (rest.length === 0) continue;
    held.push(rest);
    bytes += rest.length;
  }
  if (bytes > 0) yield Buffer.concat(held);
}

/** A snapshot file being written. It has no name that counts before `finish` and `promote`. */
export class SnapshotWriter {
  readonly base: LogBase;
  readonly path: string;
  readonly #place: SnapshotPlace;
  readonly #file: DiskFile;
  readonly #hash: Hash = createHash("sha256");
  #offset: number;
  #payloadBytes = 0;
  #open = true;

  private constructor(place: SnapshotPlace, file: DiskFile, path: string, base: LogBase, offset: number) {
    this.#place = place;
    this.#file = file;
    this.path = path;
    this.base = base;
    this.#offset = offset;
  }

  static async create(place: SnapshotPlace, temporaryName: string, base: LogBase): Promise<SnapshotWriter> {
    const { disk, snapshotDirectory, groupId } = place;
    const path = `${snapshotDirectory}/${temporaryName}`;
    await disk.makeDirectory(snapshotDirectory);
    await disk.remove(path);
    const file = await disk.open(path, { create: true });
    const header = encodeFrameValue([frameVersion, groupId, base.index, base.term, configurationBytes(base)]);
    const prefix = Buffer.alloc(prefixBytes);
    magic.copy(prefix);
    prefix.writeUInt32BE(header.length, magic.length);
    prefix.writeUInt32BE(crc32(header), magic.length + 4);
    await file.write(0, [prefix, header]);
    return new SnapshotWriter(place, file, path, base, prefixBytes + header.length);
  }

  /** Bytes of the machine's state that were written. */
  get length(): number {
    return this.#payloadBytes;
  }

  async append(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; at += maxFileChunkBytes) {
      const piece = chunk.subarray(at, at + maxFileChunkBytes);
      const frame = Buffer.alloc(frameBytes);
      frame.writeUInt32BE(piece.length, 0);
      frame.writeUInt32BE(crc32(piece), 4);
      await this.#file.write(this.#offset, [frame, piece]);
      this.#hash.update(piece);
      this.#offset += frameBytes + piece.length;
      this.#payloadBytes += piece.length;
    }
  }

  /** Makes the file durable and returns the hash of its contents. */
  async finish(): Promise<Uint8Array> {
    const digest = this.#hash.digest();
    await this.#file.write(this.#offset, [Buffer.alloc(frameBytes), digest]);
    await this.#file.datasync();
    await this.#close();
    return digest;
  }

  /** Gives the finished file its name, durably. */
  async promote(): Promise<string> {
    const { disk, snapshotDirectory } = this.#place;
    const name = nameOf(this.#place, this.base);
    await disk.rename(this.path, name);
    await disk.syncDirectory(snapshotDirectory);
    // The names of the directory and of its parents may be as new as the file's.
    const steps = snapshotDirectory.split("/");
    for (let depth = steps.length - 1; depth >= 0; depth -= 1)
      await disk.syncDirectory(steps.slice(0, depth).join("/"));
    return name;
  }

  async discard(): Promise<void> {
    await this.#close();
    await this.#place.disk.remove(this.path);
  }

  async #close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#file.close();
  }
}

async function readExactly(file: DiskFile, offset: number, length: number, path: string): Promise<Buffer> {
  const bytes = await file.read(offset, length);
  if (bytes.length !== length) throw new RaftBadSnapshotError(`${path} ends at ${offset + bytes.length}`);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

async function readHeader(
  file: DiskFile,
  path: string,
  groupId: Uint8Array,
): Promise<{ readonly base: LogBase; readonly offset: number }> {
  const prefix = await readExactly(file, 0, prefixBytes, path);
  if (!prefix.subarray(0, magic.length).equals(magic)) throw new RaftBadSnapshotError(`${path} is not a snapshot`);
  const length = prefix.readUInt32BE(magic.length);
  if (length > maxHeaderBytes) throw new RaftBadSnapshotError(`${path} has a header of ${length} bytes`);
  const header = await readExactly(file, prefixBytes, length, path);
  if (crc32(header) !== prefix.readUInt32BE(magic.length + 4))
    throw new RaftBadSnapshotError(`the header of ${path} fails its check`);
  const reader = openFrame(header, groupId, path);
  const base = baseOf(reader.counter(), reader.counter(), reader.bytes());
  reader.finish();
  return { base, offset: prefixBytes + length };
}

/** Reads the machine's bytes of a snapshot file, checking each chunk, and at the end all of them. Throws `RAFT_BAD_SNAPSHOT`. */
export async function* readSnapshot({ disk, groupId }: SnapshotPlace, path: string): AsyncGenerator<Uint8Array> {
  const file = await disk.open(path);
  try {
    let { offset } = await readHeader(file, path, groupId);
    const hash = createHash("sha256");
    for (;;) {
      const frame = await readExactly(file, offset, frameBytes, path);
      const length = frame.readUInt32BE(0);
      if (length > maxFileChunkBytes)
        throw new RaftBadSnapshotError(`${path} has a chunk of ${length} bytes at ${offset}`);
      offset += frameBytes;
      if (length === 0) break;
      const chunk = await readExactly(file, offset, length, path);
      if (crc32(chunk) !== frame.readUInt32BE(4))
        throw new RaftBadSnapshotError(`the chunk of ${path} at ${offset} fails its check`);
      hash.update(chunk);
      offset += length;
      yield chunk;
    }
    const digest = await readExactly(file, offset, hashBytes, path);
    if (!hash.digest().equals(digest)) throw new RaftBadSnapshotError(`${path} fails its check as a whole`);
  } finally {
    await file.close();
  }
}

/** The base that a snapshot file claims, after its whole content has been checked. Throws `RAFT_BAD_SNAPSHOT`. */
async function verifySnapshot(place: SnapshotPlace, path: string): Promise<LogBase> {
  for await (const chunk of readSnapshot(place, path)) void chunk;
  const file = await place.disk.open(path);
  try {
    return (await readHeader(file, path, place.groupId)).base;
  } finally {
    await file.close();
  }
}

/** The newest snapshot file that passes its check, or undefined. Files that fail are reported and left as they are. */
export async function latestSnapshot(
  place: SnapshotPlace,
  onBad: (path: string, error: unknown) => void,
): Promise<{ readonly base: LogBase; readonly path: string } | undefined> {
  const names = (await place.disk.list(place.snapshotDirectory)).filter((name) => namePattern.test(name)).toSorted();
  for (const name of names.toReversed()) {
    const path = `${place.snapshotDirectory}/${name}`;
    try {
      return { base: await verifySnapshot(place, path), path };
    } catch (error) {
      if (!isFabricError(error, "RAFT_BAD_SNAPSHOT", "RAFT_BAD_FRAME", "FABRIC_INVALID_VALUE")) throw error;
      onBad(path, error);
    }
  }
  return undefined;
}

/** Removes every snapshot file but `keep`, and what an interrupted transfer left. */
export async function removeSnapshotsExcept(place: SnapshotPlace, keep: string | undefined): Promise<void> {
  const { disk, snapshotDirectory } = place;
  for (const name of await disk.list(snapshotDirectory)) {
    const path = `${snapshotDirectory}/${name}`;
    if (path !== keep) await disk.remove(path);
  }
}
