import { createHash, type Hash } from "node:crypto";
import { crc32 } from "node:zlib";
import { isFabricError, type Clock, type Disk, type DiskFile, type LogBase } from "@revoada/fabric";
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
/** No chunk is larger, neither in a file nor on the wire. */
export const maxChunkBytes: number = 4 * 1024 * 1024;
/** What may wait in the page cache while a file grows. */
const bytesPerSync = 16 * 1024 * 1024;

/** Where the snapshot files of one group lie, and whose they are. */
export interface SnapshotPlace {
  readonly disk: Disk;
  /** Holds nothing but snapshot files of this group; its parents are made with it. */
  readonly snapshotDirectory: string;
  readonly groupId: Uint8Array;
}

/** What was not finished: of no use after a restart. */
const temporarySuffix = ".tmp";
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

/** What is read of a machine, or hashed, before other work gets its turn: heartbeats do not wait for a snapshot. */
const bytesPerTurn = 128 * 1024;
const sliceMs = 4;

/** A stream as it is, that lets the event loop turn whenever much came of it or time has passed. */
export async function* paced(chunks: AsyncIterable<Uint8Array>, clock: Clock): AsyncGenerator<Uint8Array> {
  let sinceMs = clock.monotonicMs();
  let bytes = 0;
  for await (const chunk of chunks) {
    yield chunk;
    bytes += chunk.length;
    if (bytes < bytesPerTurn && clock.monotonicMs() - sinceMs < sliceMs) continue;
    await new Promise<void>((resolve) => clock.nextTurn(resolve));
    sinceMs = clock.monotonicMs();
    bytes = 0;
  }
}

/** Cuts a stream of bytes into pieces of `size`, the last one shorter. */
async function* rechunk(chunks: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
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

/**
 * A snapshot file that is being written, and read at any place that has been. It has no name that counts before `finish` and
 * `promote`.
 */
export class SnapshotFile {
  readonly base: LogBase;
  readonly chunkBytes: number;
  readonly #place: SnapshotPlace;
  readonly #file: DiskFile;
  readonly #hash: Hash = createHash("sha256");
  readonly #start: number;
  #path: string;
  #offset: number;
  #payloadBytes = 0;
  #unsyncedBytes = 0;
  #digest: Uint8Array | undefined;
  #open = true;

  private constructor(
    place: SnapshotPlace,
    file: DiskFile,
    path: string,
    base: LogBase,
    chunkBytes: number,
    start: number,
  ) {
    this.#place = place;
    this.#file = file;
    this.#path = path;
    this.base = base;
    this.chunkBytes = chunkBytes;
    this.#start = start;
    this.#offset = start;
  }

  /** Begins a file of chunks of `chunkBytes`, of which only the last one may be shorter. */
  static async create(
    place: SnapshotPlace,
    temporaryName: string,
    base: LogBase,
    chunkBytes: number,
  ): Promise<SnapshotFile> {
    const { disk, snapshotDirectory, groupId } = place;
    const path = `${snapshotDirectory}/${temporaryName}${temporarySuffix}`;
    await disk.makeDirectory(snapshotDirectory);
    await disk.remove(path);
    const file = await disk.open(path, { create: true });
    const header = encodeFrameValue([frameVersion, groupId, base.index, base.term, configurationBytes(base)]);
    const prefix = Buffer.alloc(prefixBytes);
    magic.copy(prefix);
    prefix.writeUInt32BE(header.length, magic.length);
    prefix.writeUInt32BE(crc32(header), magic.length + 4);
    const made = new SnapshotFile(place, file, path, base, chunkBytes, prefixBytes + header.length);
    try {
      await file.write(0, [prefix, header]);
    } catch (error) {
      await made.discard();
      throw error;
    }
    return made;
  }

  get path(): string {
    return this.#path;
  }

  /** Bytes of the machine's state that were written. */
  get length(): number {
    return this.#payloadBytes;
  }

  /** The SHA-256 of the machine's bytes, once all of them are there. */
  get digest(): Uint8Array | undefined {
    return this.#digest;
  }

  /** Writes everything that a machine gives, in turns. */
  async fill(chunks: AsyncIterable<Uint8Array>, clock: Clock, grown: () => void): Promise<void> {
    for await (const chunk of rechunk(paced(chunks, clock), this.chunkBytes)) {
      await this.append(chunk);
      grown();
    }
  }

  async append(chunk: Uint8Array): Promise<void> {
    if (chunk.length === 0 || chunk.length > this.chunkBytes || this.#payloadBytes % this.chunkBytes !== 0)
      throw new RaftBadSnapshotError(`a chunk of ${chunk.length} bytes at ${this.#payloadBytes}`);
    const frame = Buffer.alloc(frameBytes);
    frame.writeUInt32BE(chunk.length, 0);
    frame.writeUInt32BE(crc32(chunk), 4);
    await this.#file.write(this.#offset, [frame, chunk]);
    this.#hash.update(chunk);
    this.#offset += frameBytes + chunk.length;
    this.#payloadBytes += chunk.length;
    this.#unsyncedBytes += chunk.length;
    // Little by little: a disk that has to take all of it at once keeps the log waiting.
    if (this.#unsyncedBytes < bytesPerSync) return;
    this.#unsyncedBytes = 0;
    await this.#file.datasync();
  }

  /** Reads back the chunk that begins at `offset` of the machine's bytes, checked. Throws `RAFT_BAD_SNAPSHOT`. */
  async read(offset: number): Promise<Uint8Array> {
    if (offset % this.chunkBytes !== 0 || offset >= this.#payloadBytes)
      throw new RaftBadSnapshotError(`no chunk of ${this.#path} begins at ${offset}`);
    const at = this.#start + (offset / this.chunkBytes) * (frameBytes + this.chunkBytes);
    const length = Math.min(this.chunkBytes, this.#payloadBytes - offset);
    const bytes = await readExactly(this.#file, at, frameBytes + length, this.#path);
    const chunk = bytes.subarray(frameBytes);
    if (bytes.readUInt32BE(0) !== length || bytes.readUInt32BE(4) !== crc32(chunk))
      throw new RaftBadSnapshotError(`the chunk of ${this.#path} at ${at} fails its check`);
    return chunk;
  }

  /** Makes the file whole and durable and returns the hash of its contents. */
  async finish(): Promise<Uint8Array> {
    const digest = this.#hash.digest();
    await this.#file.write(this.#offset, [Buffer.alloc(frameBytes), digest]);
    await this.#file.datasync();
    this.#digest = digest;
    return digest;
  }

  /** Gives the finished file its name, durably. */
  async promote(): Promise<string> {
    const { disk, snapshotDirectory } = this.#place;
    const name = nameOf(this.#place, this.base);
    await disk.rename(this.#path, name);
    this.#path = name;
    await disk.syncDirectory(snapshotDirectory);
    // The names of the directory and of its parents may be as new as the file's.
    const steps = snapshotDirectory.split("/");
    for (let depth = steps.length - 1; depth >= 0; depth -= 1)
      await disk.syncDirectory(steps.slice(0, depth).join("/"));
    return name;
  }

  /** Ends a file that is not needed. One that gets its name meanwhile keeps it: the log may already begin behind it. */
  async discard(): Promise<void> {
    const path = this.#path;
    await this.close();
    await this.#place.disk.remove(path);
  }

  async close(): Promise<void> {
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
      if (length > maxChunkBytes) throw new RaftBadSnapshotError(`${path} has a chunk of ${length} bytes at ${offset}`);
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

/** The newest snapshot file that passes its check. */
export interface FoundSnapshot {
  readonly base: LogBase;
  readonly path: string;
}

/** Looks through all snapshot files, the newest first. Those that fail are named, and left as they are. */
export async function latestSnapshot(
  place: SnapshotPlace,
): Promise<{ readonly found?: FoundSnapshot; readonly bad: readonly string[] }> {
  const bad: string[] = [];
  for (const name of (await finishedSnapshots(place)).toReversed()) {
    const path = `${place.snapshotDirectory}/${name}`;
    try {
      return { found: { base: await verifySnapshot(place, path), path }, bad };
    } catch (error) {
      if (!isFabricError(error, "RAFT_BAD_SNAPSHOT", "RAFT_BAD_FRAME", "FABRIC_INVALID_VALUE")) throw error;
      bad.push(path);
    }
  }
  return { bad };
}

async function finishedSnapshots({ disk, snapshotDirectory }: SnapshotPlace): Promise<readonly string[]> {
  return (await disk.list(snapshotDirectory)).filter((name) => namePattern.test(name)).toSorted();
}

/** Removes what interrupted writers and transfers left. */
export async function removeUnfinished({ disk, snapshotDirectory }: SnapshotPlace): Promise<void> {
  for (const name of await disk.list(snapshotDirectory))
    if (name.endsWith(temporarySuffix)) await disk.remove(`${snapshotDirectory}/${name}`);
}

/**
 * Removes the finished files that are of no use: those of before `firstIndex`, from which the log does not lead on, and all but the
 * newest two. The second newest stands in for one that turns out to be damaged.
 */
export async function removeOldSnapshots(place: SnapshotPlace, firstIndex: number): Promise<void> {
  const names = await finishedSnapshots(place);
  for (const [at, name] of names.entries()) {
    const index = Number(namePattern.exec(name)?.[1]);
    const newest = at === names.length - 1;
    if (!newest && (at < names.length - 2 || index < firstIndex - 1))
      await place.disk.remove(`${place.snapshotDirectory}/${name}`);
  }
}
