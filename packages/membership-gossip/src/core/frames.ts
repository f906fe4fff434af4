import { encode } from "cborg";
import type { ClusterId } from "@revoada/fabric";
import { readBeat } from "./beat-frame.ts";
import { fromHex, toHex } from "./bytes.ts";
import type { SignedItem } from "./items.ts";
import { limits } from "./limits.ts";
import { Refusal } from "./refusal.ts";
import { asBytes, asBytesUpTo, asCounter, asList, asTuple, decodeStrictly } from "./shape.ts";
import { tagBytes } from "./tags.ts";

/** What a node holds of one subject, in about 28 bytes. */
export interface DigestEntry {
  /** The first 8 bytes of the subject's id, in hex. */
  readonly prefix: string;
  readonly generation: number;
  readonly incarnation: number;
  readonly version: number;
  /** Names exactly what is held: the head, its pages, and what observers say. */
  readonly tag: Uint8Array;
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

function encodeItems(items: readonly SignedItem[]): unknown[] {
  return items.map((item) => [item.payload, item.signature]);
}

function body(frame: Frame): unknown[] {
  switch (frame.type) {
    case "open":
      return [frame.buckets, encodeItems(frame.items)];
    case "digest":
      return [
        [...frame.complete],
        frame.entries.map((e) => [fromHex(e.prefix), e.generation, e.incarnation, e.version, e.tag]),
        frame.graves.map((g) => [fromHex(g.prefix), g.generation, g.incarnation]),
        encodeItems(frame.items),
      ];
    case "exchange":
      return [encodeItems(frame.items), frame.wants.map(({ prefix, pages }) => [fromHex(prefix), [...pages]])];
    case "news":
    case "word":
      return [encodeItems(frame.items)];
    case "beat":
      return [frame.generation, frame.incarnation, frame.sequence];
    case "watch":
      return [];
  }
}

let lastCluster: { readonly id: ClusterId; readonly bytes: Uint8Array } = {
  id: "" as ClusterId,
  bytes: new Uint8Array(0),
};

/** A process speaks for one cluster mostly, and each frame bears its id. */
function bytesOf(clusterId: ClusterId): Uint8Array {
  if (lastCluster.id !== clusterId) lastCluster = { id: clusterId, bytes: fromHex(clusterId) };
  return lastCluster.bytes;
}

/** One frame as bytes: version, cluster, kind, body. */
export function encodeFrame(clusterId: ClusterId, frame: Frame): Uint8Array {
  return encode([frameVersion, bytesOf(clusterId), kinds[frame.type], ...body(frame)]);
}

function decodeItems(value: unknown): readonly SignedItem[] {
  return asList(value, limits.itemsPerFrameMax).map((raw) => {
    const [payload, signature] = asTuple(raw, 2);
    return { payload: asBytesUpTo(payload, limits.recordMaxBytes), signature: asBytes(signature, 64) };
  });
}

function decodeEntries(value: unknown): readonly DigestEntry[] {
  return asList(value, limits.digestEntriesMax).map((raw) => {
    const [prefix, generation, incarnation, version, tag] = asTuple(raw, 5);
    return {
      prefix: asPrefix(prefix),
      generation: asCounter(generation),
      incarnation: asCounter(incarnation),
      version: asCounter(version),
      tag: asBytes(tag, tagBytes),
    };
  });
}

function decodeGraves(value: unknown): readonly GraveEntry[] {
  return asList(value, limits.digestEntriesMax).map((raw) => {
    const [prefix, generation, incarnation] = asTuple(raw, 3);
    return { prefix: asPrefix(prefix), generation: asCounter(generation), incarnation: asCounter(incarnation) };
  });
}

function asPrefix(value: unknown): string {
  return toHex(asBytes(value, 8));
}

function decodeWants(value: unknown): readonly Wish[] {
  let named = 0;
  return asList(value, limits.wantsMax).map((raw) => {
    const [prefix, pages] = asTuple(raw, 2);
    const numbers = asList(pages, limits.pagesMax).map(asCounter);
    named += numbers.length;
    if (named > limits.wantedPagesMax) throw new Refusal("oversize", `${named} pages are asked for`);
    return { prefix: asPrefix(prefix), pages: numbers };
  });
}

function decodeBuckets(value: unknown): readonly number[] {
  return asList(value, limits.bucketCount).map((raw) => {
    const bucket = asCounter(raw);
    if (bucket >= limits.bucketCount) throw new Refusal("malformed", "no such bucket");
    return bucket;
  });
}

function decodeBody(kind: unknown, fields: readonly unknown[]): Frame {
  switch (kind) {
    case kinds.open: {
      const [buckets, items] = asTuple(fields, 2);
      return { type: "open", buckets: asBytes(buckets, limits.bucketCount * tagBytes), items: decodeItems(items) };
    }
    case kinds.digest: {
      const [complete, entries, graves, items] = asTuple(fields, 4);
      return {
        type: "digest",
        complete: decodeBuckets(complete),
        entries: decodeEntries(entries),
        graves: decodeGraves(graves),
        items: decodeItems(items),
      };
    }
    case kinds.exchange: {
      const [items, wants] = asTuple(fields, 2);
      return { type: "exchange", items: decodeItems(items), wants: decodeWants(wants) };
    }
    case kinds.news:
      return { type: "news", items: decodeItems(asTuple(fields, 1)[0]) };
    case kinds.word:
      return { type: "word", items: decodeItems(asTuple(fields, 1)[0]) };
    case kinds.beat: {
      const [generation, incarnation, sequence] = asTuple(fields, 3);
      return {
        type: "beat",
        generation: asCounter(generation),
        incarnation: asCounter(incarnation),
        sequence: asCounter(sequence),
      };
    }
    case kinds.watch:
      asTuple(fields, 0);
      return { type: "watch" };
    default:
      throw new Refusal("malformed", "an unknown kind of frame");
  }
}

/** Reads hostile bytes: bounds first, then shape. Throws {@link Refusal}. */
export function decodeFrame(bytes: Uint8Array, clusterId: ClusterId): Frame {
  const own = bytesOf(clusterId);
  const beat = readBeat(bytes, own, frameVersion, kinds.beat);
  if (beat !== undefined) return beat;
  const [version, cluster, kind, ...fields] = decodeStrictly(bytes, limits.frameMaxBytes);
  if (version !== frameVersion) throw new Refusal("version", "a frame of a format that is not known here");
  if (asBytes(cluster, 32).some((byte, index) => byte !== own[index]))
    throw new Refusal("cluster", "a frame of another cluster");
  return decodeBody(kind, fields);
}
