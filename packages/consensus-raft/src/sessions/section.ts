import { RaftBadSnapshotError } from "../errors.ts";
import { viewOf } from "./core/bytes.ts";
import {
  decodeSectionPrefix,
  decodeSessionRecord,
  encodeSection,
  longestRecord,
  pictureOf,
  sectionPrefixBytes,
} from "./core/table-codec.ts";
import type { SessionPicture, SessionRecord } from "./core/table.ts";

/** Small pieces travel together. */
const pieceBytes = 64 * 1024;

/** The table, then the machine's own bytes. */
export async function* withSection(
  picture: SessionPicture,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let bytes = 0;
  for (const piece of encodeSection(picture)) {
    held.push(piece);
    bytes += piece.length;
    if (bytes < pieceBytes) continue;
    yield Buffer.concat(held);
    held = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(held);
  yield* chunks;
}

/** Takes the table off the front. What follows it is the machine's. Rejects with `RAFT_BAD_SNAPSHOT`. */
export async function readSection(
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ readonly picture: SessionPicture; readonly rest: AsyncIterable<Uint8Array> }> {
  const source = new ChunkReader(chunks);
  try {
    return { picture: await readTable(source), rest: source.rest() };
  } catch (error) {
    await source.end();
    throw error;
  }
}

async function readTable(source: ChunkReader): Promise<SessionPicture> {
  const { limits, count } = decodeSectionPrefix(await source.take(sectionPrefixBytes));
  const longest = longestRecord(limits);
  const sessions: SessionRecord[] = [];
  for (let at = 0; at < count; at += 1) {
    const length = viewOf(await source.take(4)).getUint32(0);
    if (length > longest) throw new RaftBadSnapshotError(`a session of ${length} bytes, at most ${longest}`);
    sessions.push(decodeSessionRecord(await source.take(length)));
  }
  return pictureOf(limits, sessions);
}

/** Reads a stream of chunks in lengths that do not follow theirs. */
class ChunkReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  async take(length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [this.#held];
    let bytes = this.#held.length;
    while (bytes < length) {
      const next = await this.#chunks.next();
      if (next.done === true) throw new RaftBadSnapshotError("the session table ends early");
      parts.push(next.value);
      bytes += next.value.length;
    }
    const all = parts.length === 1 ? this.#held : Buffer.concat(parts);
    this.#held = all.subarray(length);
    return all.subarray(0, length);
  }

  async *rest(): AsyncGenerator<Uint8Array> {
    try {
      if (this.#held.length > 0) yield this.#held;
      for (let next = await this.#chunks.next(); next.done !== true; next = await this.#chunks.next()) yield next.value;
    } finally {
      await this.end();
    }
  }

  /** Whoever stops reading early lets go of what the stream holds open. */
  async end(): Promise<void> {
    await this.#chunks.return?.();
  }
}
