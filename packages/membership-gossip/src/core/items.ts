import { encode } from "cborg";
import type { Address, ClusterId, NodeId } from "@revoada/fabric";
import { fromHex, utf8Length } from "./bytes.ts";
import { limits } from "./limits.ts";
import { Refusal } from "./refusal.ts";
import { asBytes, asCounter, asList, asNodeId, asText, asTuple, decodeStrictly } from "./shape.ts";

/** Exact bytes as their origin signed them. They are relayed as they came: nothing is encoded again to be verified. */
export interface SignedItem {
  readonly payload: Uint8Array;
  /** ed25519 over `payload`, 64 bytes. */
  readonly signature: Uint8Array;
}

/**
 * What a node says of itself, but for its further pages: the head, which holds the first page of its keys.
 *
 * Head and pages are signed one by one, so that a key that changes often does not take all others with it. Each version of
 * either is whole: an absent key is a deleted key.
 */
export interface GossipRecord {
  readonly id: NodeId;
  readonly generation: number;
  readonly incarnation: number;
  readonly version: number;
  readonly status: "alive" | "left";
  /** Wall-clock time after which nobody takes this record in any more. */
  readonly notAfterMs: number;
  readonly addresses: readonly Address[];
  /** The keys of the first page. */
  readonly keys: ReadonlyMap<string, string>;
  /** The versions of the further pages: that of page 1 first. */
  readonly pages: readonly number[];
}

/** Further keys of a node. It counts only where the head names exactly its version. */
export interface Page {
  readonly id: NodeId;
  readonly generation: number;
  /** From 1 on; the first page, 0, lies in the head. */
  readonly number: number;
  /** The version of the head that it came with. */
  readonly version: number;
  readonly keys: ReadonlyMap<string, string>;
}

/**
 * What an observer says of a subject. `none` takes back; `heard` vouches for a subject that others accuse; `suspect` is silence
 * beyond the threshold; `silent` is a suspect past `suspicionMs`; `closed` is a closed connection and a refused redial.
 */
export type Opinion = "none" | "heard" | "suspect" | "silent" | "closed";

const opinions: readonly Opinion[] = ["none", "heard", "suspect", "silent", "closed"];

/** One observer's signed opinion of one subject at one (generation, incarnation). */
export interface Verdict {
  readonly observer: NodeId;
  readonly observerGeneration: number;
  /** Orders the opinions of one observer in one of its generations. */
  readonly sequence: number;
  readonly subject: NodeId;
  readonly generation: number;
  readonly incarnation: number;
  readonly opinion: Opinion;
}

export type Item =
  | { readonly kind: "record"; readonly record: GossipRecord }
  | { readonly kind: "page"; readonly page: Page }
  | { readonly kind: "verdict"; readonly verdict: Verdict };

const recordDomain = "revoada/gossip/record";
const pageDomain = "revoada/gossip/page";
const verdictDomain = "revoada/gossip/verdict";
const formatVersion = 1;

export const keyPattern: RegExp = /^[a-z0-9.-]{1,64}$/;

function sorted(keys: ReadonlyMap<string, string>): (readonly [string, string])[] {
  return [...keys].sort(([left], [right]) => (left < right ? -1 : 1));
}

/** The bytes of a head that the owner signs. Deterministic: arrays only, keys sorted. */
export function encodeRecord(clusterId: ClusterId, record: GossipRecord): Uint8Array {
  return encode([
    recordDomain,
    formatVersion,
    fromHex(clusterId),
    fromHex(record.id),
    record.generation,
    record.incarnation,
    record.version,
    record.status === "left" ? 1 : 0,
    record.notAfterMs,
    [...record.addresses],
    sorted(record.keys),
    [...record.pages],
  ]);
}

/** The bytes of a further page that the owner signs. */
export function encodePage(clusterId: ClusterId, page: Page): Uint8Array {
  return encode([
    pageDomain,
    formatVersion,
    fromHex(clusterId),
    fromHex(page.id),
    page.generation,
    page.number,
    page.version,
    sorted(page.keys),
  ]);
}

/** The bytes that the observer signs. */
export function encodeVerdict(clusterId: ClusterId, verdict: Verdict): Uint8Array {
  return encode([
    verdictDomain,
    formatVersion,
    fromHex(clusterId),
    fromHex(verdict.observer),
    verdict.observerGeneration,
    verdict.sequence,
    fromHex(verdict.subject),
    verdict.generation,
    verdict.incarnation,
    opinions.indexOf(verdict.opinion),
  ]);
}

function checkHeader(fields: readonly unknown[], clusterId: ClusterId): void {
  if (fields[1] !== formatVersion) throw new Refusal("version", "an item of a format that is not known here");
  const cluster = asBytes(fields[2], 32);
  const own = fromHex(clusterId);
  if (cluster.some((byte, index) => byte !== own[index])) throw new Refusal("cluster", "an item of another cluster");
}

function decodeKeys(value: unknown): ReadonlyMap<string, string> {
  const keys = new Map<string, string>();
  let previous = "";
  for (const pair of asList(value, limits.keysMax)) {
    const [rawKey, rawValue] = asTuple(pair, 2);
    const key = asText(rawKey, limits.keyMaxLength);
    const text = asText(rawValue, limits.valueMaxBytes);
    if (!keyPattern.test(key) || key <= previous) throw new Refusal("malformed", "keys out of order or alphabet");
    if (utf8Length(text) > limits.valueMaxBytes) throw new Refusal("oversize", "a value beyond its quota");
    previous = key;
    keys.set(key, text);
  }
  return keys;
}

function decodeAddresses(value: unknown): readonly Address[] {
  return asList(value, limits.addressesMax).map((address) => asText(address, limits.addressMaxLength));
}

function decodeRecord(fields: readonly unknown[]): GossipRecord {
  asTuple(fields, 12);
  const status = asCounter(fields[7]);
  if (status > 1) throw new Refusal("malformed", "an unknown status");
  return {
    id: asNodeId(fields[3]),
    generation: asCounter(fields[4]),
    incarnation: asCounter(fields[5]),
    version: asCounter(fields[6]),
    status: status === 1 ? "left" : "alive",
    notAfterMs: asCounter(fields[8]),
    addresses: decodeAddresses(fields[9]),
    keys: decodeKeys(fields[10]),
    pages: asList(fields[11], limits.pagesMax - 1).map(asCounter),
  };
}

function decodePage(fields: readonly unknown[]): Page {
  asTuple(fields, 8);
  const number = asCounter(fields[5]);
  if (number < 1 || number >= limits.pagesMax) throw new Refusal("malformed", `no page ${number}`);
  return {
    id: asNodeId(fields[3]),
    generation: asCounter(fields[4]),
    number,
    version: asCounter(fields[6]),
    keys: decodeKeys(fields[7]),
  };
}

function decodeVerdict(fields: readonly unknown[]): Verdict {
  asTuple(fields, 10);
  const opinion = opinions[asCounter(fields[9])];
  if (opinion === undefined) throw new Refusal("malformed", "an unknown opinion");
  return {
    observer: asNodeId(fields[3]),
    observerGeneration: asCounter(fields[4]),
    sequence: asCounter(fields[5]),
    subject: asNodeId(fields[6]),
    generation: asCounter(fields[7]),
    incarnation: asCounter(fields[8]),
    opinion,
  };
}

/** Reads signed bytes without believing them: the signature is checked by whoever is about to use the content. Throws {@link Refusal}. */
export function decodeItem(payload: Uint8Array, clusterId: ClusterId): Item {
  const fields = decodeStrictly(payload, limits.recordMaxBytes);
  if (fields[0] === recordDomain) {
    checkHeader(fields, clusterId);
    return { kind: "record", record: decodeRecord(fields) };
  }
  if (fields[0] === pageDomain) {
    checkHeader(fields, clusterId);
    if (payload.length > limits.pageItemMaxBytes) throw new Refusal("oversize", "a page beyond its quota");
    return { kind: "page", page: decodePage(fields) };
  }
  if (fields[0] === verdictDomain) {
    checkHeader(fields, clusterId);
    if (payload.length > limits.verdictMaxBytes) throw new Refusal("oversize", "a verdict beyond its quota");
    return { kind: "verdict", verdict: decodeVerdict(fields) };
  }
  throw new Refusal("malformed", "neither a record nor a page nor a verdict");
}

/** Order of what one node says of itself: generation, then incarnation, then version. */
export function compareRecords(
  left: Pick<GossipRecord, "generation" | "incarnation" | "version">,
  right: Pick<GossipRecord, "generation" | "incarnation" | "version">,
): number {
  return left.generation - right.generation || left.incarnation - right.incarnation || left.version - right.version;
}

/** Order of what one observer says of one subject. */
export function compareVerdicts(left: Verdict, right: Verdict): number {
  return left.observerGeneration - right.observerGeneration || left.sequence - right.sequence;
}

/** True where the opinion speaks against its subject. */
export function accuses(opinion: Opinion): boolean {
  return opinion === "suspect" || opinion === "silent" || opinion === "closed";
}

/** Names what an item is about: a newer one under the same name replaces an older one. */
export function subjectKey(item: GossipRecord | Page | Verdict): string {
  if ("observer" in item) return `${item.subject}/${item.observer}`;
  return "number" in item ? `${item.id}/${item.number}` : item.id;
}

/** What a key and its value take in a page: two texts of at most 3 bytes of head, in a list of 1. */
export function entryBytes(key: string, value: string): number {
  const textBytes = (length: number): number => length + (length < 24 ? 1 : length < 256 ? 2 : 3);
  return 1 + textBytes(utf8Length(key)) + textBytes(utf8Length(value));
}

/** True where a view would show no difference. */
export function sayTheSame(left: GossipRecord, right: GossipRecord): boolean {
  if (left.generation !== right.generation || left.incarnation !== right.incarnation || left.status !== right.status)
    return false;
  if (left.keys.size !== right.keys.size || left.addresses.length !== right.addresses.length) return false;
  if (left.addresses.some((address, index) => address !== right.addresses[index])) return false;
  for (const [key, value] of left.keys) if (right.keys.get(key) !== value) return false;
  return true;
}
