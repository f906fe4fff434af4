import type { ClusterId } from "@revoada/fabric";
import { fromHex } from "./bytes.ts";
import { FrameReader, FrameWriter } from "./frame-bytes.ts";
import type { ItemSpan } from "./item-memory.ts";
import type { SignedItem } from "./items.ts";
import { limits } from "./limits.ts";
import { Refusal } from "./refusal.ts";
import { tagBytes } from "./tags.ts";

/** What a node holds of one subject, in about 28 bytes. */
export interface DigestEntry {
  /** The first 8 bytes of the subject's id, in hex. */
  readonly prefix: string;
  readonly generation: number;
  readonly incarnation: number;
  readonly version: number;
  /** Name exactly what is held, in 64 bits: the head, its pages, and what observers say. */
  readonly tagHigh: number;
  readonly tagLow: number;
}

/** Up to where a subject is buried at the sender: nothing at or below is taken in there. */
export interface GraveEntry {
  readonly prefix: string;
  readonly generation: number;
  readonly incarnation: number;
}

/** What a node asks for. */
export interface Wish {
  readonly prefix: string;
  /** Pages that are missing; none where everything is asked for. */
  readonly pages: readonly number[];
}

/** Requests, answers and one-way messages of `/revoada/gossip/1`. */
export type Frame =
  /** Opens a round: fingerprints of all that the sender holds, by bucket, and its news. Answered by `digest`. */
  | { readonly type: "open"; readonly buckets: Uint8Array; readonly items: readonly SignedItem[] }
  /** Lists what the answerer holds in the buckets that differ. A bucket not in `complete` is listed in part. */
  | {
      readonly type: "digest";
      readonly complete: readonly number[];
      readonly entries: readonly DigestEntry[];
      readonly graves: readonly GraveEntry[];
      readonly items: readonly SignedItem[];
    }
  /** Hands over what the other lacks and asks for what the sender lacks. Answered by `news`. */
  | { readonly type: "exchange"; readonly items: readonly SignedItem[]; readonly wants: readonly Wish[] }
  | { readonly type: "news"; readonly items: readonly SignedItem[] }
  /** What one observer says to the others and to the subject, and what nobody else needs to know yet. One way. */
  | { readonly type: "word"; readonly items: readonly SignedItem[] }
  /** A sign of life, one way and direct. */
  | { readonly type: "beat"; readonly generation: number; readonly incarnation: number; readonly sequence: number }
  /** Asks the receiver to send its signs of life here. */
  | { readonly type: "watch" };

const frameVersion = 1;
const kinds = { open: 1, digest: 2, exchange: 3, news: 4, beat: 5, watch: 6, word: 7 } as const;
/** How many fields follow version, cluster and kind. */
const arity = { open: 2, digest: 4, exchange: 2, news: 1, beat: 3, watch: 0, word: 1 } as const;
const types: ReadonlyMap<number, Frame["type"]> = new Map(
  (Object.keys(kinds) as Frame["type"][]).map((type) => [kinds[type], type]),
);

let lastCluster: { readonly id: ClusterId; readonly bytes: Uint8Array } = {
  id: "" as ClusterId,
  bytes: new Uint8Array(0),
};

/** A process speaks for one cluster mostly, and each frame bears its id. */
function bytesOf(clusterId: ClusterId): Uint8Array {
  if (lastCluster.id !== clusterId) lastCluster = { id: clusterId, bytes: fromHex(clusterId) };
  return lastCluster.bytes;
}

// --- writing ------------------------------------------------------------------------------------------------------------

function writeItems(to: FrameWriter, items: readonly SignedItem[]): void {
  to.list(items.length);
  for (const { payload, signature } of items) {
    to.list(2);
    to.bytes(payload);
    to.bytes(signature);
  }
}

function writeDigest(to: FrameWriter, frame: Extract<Frame, { type: "digest" }>): void {
  to.list(frame.complete.length);
  for (const bucket of frame.complete) to.counter(bucket);
  to.list(frame.entries.length);
  for (const { prefix, generation, incarnation, version, tagHigh, tagLow } of frame.entries) {
    to.list(5);
    to.prefix(prefix);
    to.counter(generation);
    to.counter(incarnation);
    to.counter(version);
    to.eight(tagHigh, tagLow);
  }
  to.list(frame.graves.length);
  for (const { prefix, generation, incarnation } of frame.graves) {
    to.list(3);
    to.prefix(prefix);
    to.counter(generation);
    to.counter(incarnation);
  }
  writeItems(to, frame.items);
}

function writeWants(to: FrameWriter, wants: readonly Wish[]): void {
  to.list(wants.length);
  for (const { prefix, pages } of wants) {
    to.list(2);
    to.prefix(prefix);
    to.list(pages.length);
    for (const page of pages) to.counter(page);
  }
}

function writeBody(to: FrameWriter, frame: Frame): void {
  switch (frame.type) {
    case "open":
      to.bytes(frame.buckets);
      writeItems(to, frame.items);
      return;
    case "digest":
      writeDigest(to, frame);
      return;
    case "exchange":
      writeItems(to, frame.items);
      writeWants(to, frame.wants);
      return;
    case "news":
    case "word":
      writeItems(to, frame.items);
      return;
    case "beat":
      to.counter(frame.generation);
      to.counter(frame.incarnation);
      to.counter(frame.sequence);
      return;
    case "watch":
  }
}

const writer = new FrameWriter();

/** One frame as bytes, in CBOR: version, cluster, kind, body. */
export function encodeFrame(clusterId: ClusterId, frame: Frame): Uint8Array {
  writer.list(3 + arity[frame.type]);
  writer.counter(frameVersion);
  writer.bytes(bytesOf(clusterId));
  writer.counter(kinds[frame.type]);
  writeBody(writer, frame);
  return writer.take();
}

// --- reading ------------------------------------------------------------------------------------------------------------

/** Finds an item by the bytes of a frame, where it is known already; `ItemMemory` is one. */
export interface KnownItems {
  find(frame: Uint8Array, span: ItemSpan): SignedItem | undefined;
}

/** A frame on its way to being read. */
interface Source {
  readonly bytes: Uint8Array;
  readonly from: FrameReader;
  readonly known: KnownItems | undefined;
}

function readItems({ bytes, from, known }: Source): readonly SignedItem[] {
  return from.listOf(limits.itemsPerFrameMax, () => {
    from.tuple(2);
    const payloadAt = from.skipBytesUpTo(limits.recordMaxBytes);
    const payloadEnd = from.position;
    const signatureAt = from.skipBytes(64);
    return (
      known?.find(bytes, { payloadAt, payloadEnd, signatureAt }) ?? {
        payload: from.copyOf(payloadAt, payloadEnd),
        signature: from.copyOf(signatureAt, signatureAt + 64),
      }
    );
  });
}

function readEntries(from: FrameReader): readonly DigestEntry[] {
  return from.listOf(limits.digestEntriesMax, () => {
    from.tuple(5);
    const prefix = from.prefix();
    const [generation, incarnation, version] = [from.counter(), from.counter(), from.counter()];
    from.eight();
    return { prefix, generation, incarnation, version, tagHigh: from.int32(), tagLow: from.int32() };
  });
}

function readGraves(from: FrameReader): readonly GraveEntry[] {
  return from.listOf(limits.digestEntriesMax, () => {
    from.tuple(3);
    return { prefix: from.prefix(), generation: from.counter(), incarnation: from.counter() };
  });
}

function readWants(from: FrameReader): readonly Wish[] {
  let named = 0;
  return from.listOf(limits.wantsMax, () => {
    from.tuple(2);
    const prefix = from.prefix();
    const pages = from.listOf(limits.pagesMax, () => from.counter());
    named += pages.length;
    if (named > limits.wantedPagesMax) throw new Refusal("oversize", `${named} pages are asked for`);
    return { prefix, pages };
  });
}

function readBuckets(from: FrameReader): readonly number[] {
  return from.listOf(limits.bucketCount, () => {
    const bucket = from.counter();
    if (bucket >= limits.bucketCount) throw new Refusal("malformed", "no such bucket");
    return bucket;
  });
}

function readBody(type: Frame["type"], source: Source): Frame {
  const { from } = source;
  switch (type) {
    case "open":
      return { type, buckets: from.bytes(limits.bucketCount * tagBytes), items: readItems(source) };
    case "digest":
      return {
        type,
        complete: readBuckets(from),
        entries: readEntries(from),
        graves: readGraves(from),
        items: readItems(source),
      };
    case "exchange":
      return { type, items: readItems(source), wants: readWants(from) };
    case "news":
    case "word":
      return { type, items: readItems(source) };
    case "beat":
      return { type, generation: from.counter(), incarnation: from.counter(), sequence: from.counter() };
    case "watch":
      return { type };
  }
}

/** Reads hostile bytes: bounds first, then shape. Items that are `known` come as they are known. Throws {@link Refusal}. */
export function decodeFrame(bytes: Uint8Array, clusterId: ClusterId, known?: KnownItems): Frame {
  if (bytes.length > limits.frameMaxBytes)
    throw new Refusal("oversize", `${bytes.length} bytes where ${limits.frameMaxBytes} are allowed`);
  const from = new FrameReader(bytes);
  const fields = from.list(Number.MAX_SAFE_INTEGER);
  if (from.counter() !== frameVersion) throw new Refusal("version", "a frame of a format that is not known here");
  if (!from.same(bytesOf(clusterId))) throw new Refusal("cluster", "a frame of another cluster");
  const type = types.get(from.counter());
  if (type === undefined) throw new Refusal("malformed", "an unknown kind of frame");
  if (fields !== 3 + arity[type]) throw new Refusal("malformed", `a list of ${fields} for ${type}`);
  const frame = readBody(type, { bytes, from, known });
  from.finish();
  return frame;
}
