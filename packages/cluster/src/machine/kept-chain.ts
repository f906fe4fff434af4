import type { ChainBase, ChainHead, ChainHop, ChainRecord, StoreReader, StoreTransaction } from "@revoada/fabric";
import { decodeCanonical, encodeCanonical, numberOfKey, orderedKey, textKey } from "../codec.ts";
import { trees } from "./trees.ts";

/*
 * What stands in the place of dropped blocks is kept among the machine's scalars and not in trees of its own: a cluster that drops nothing has the
 * same state, and the same snapshots, as one of before there was dropping.
 */
const keys = { base: textKey("base"), checkpoint: textKey("base-checkpoint"), dropped: textKey("dropped") } as const;
const hopPrefix = textKey("hop/");
const behindHops = textKey("hop0");

function hopKey(height: number): Uint8Array {
  return new Uint8Array([...hopPrefix, ...orderedKey(height)]);
}

/** The last block that was dropped; undefined where none was. */
export function baseHead(store: StoreReader): ChainHead | undefined {
  const bytes = store.get(trees.meta, keys.base);
  return bytes === undefined ? undefined : (decodeCanonical(bytes, "base") as ChainHead);
}

/** What stands in the place of the blocks that were dropped; undefined where none were. */
export function keptBase(store: StoreReader): ChainBase | undefined {
  const head = baseHead(store);
  const checkpoint = store.get(trees.meta, keys.checkpoint);
  if (head === undefined || checkpoint === undefined) return undefined;
  const hops = [...store.range(trees.meta, { start: hopPrefix, end: behindHops })].map(({ key, value }): ChainHop => ({
    height: numberOfKey(key.subarray(hopPrefix.length)),
    bytes: value,
  }));
  return { head, checkpoint, hops };
}

/** Puts a base in the place of the blocks up to it. `hops` are those above the base before. */
export function dropBlocks(transaction: StoreTransaction, base: ChainBase, command: Uint8Array): void {
  const { height, hash } = base.head;
  const end = orderedKey(height + 1);
  for (const tree of [trees.blocks, trees.seals, trees.cosignatures]) {
    for (const { key } of [...transaction.range(tree, { end })]) transaction.delete(tree, key);
  }
  for (const hop of base.hops) transaction.put(trees.meta, hopKey(hop.height), new Uint8Array(hop.bytes));
  transaction.put(trees.meta, keys.base, encodeCanonical({ height, hash }));
  transaction.put(trees.meta, keys.checkpoint, new Uint8Array(base.checkpoint));
  transaction.put(trees.meta, keys.dropped, new Uint8Array(command));
}

/** The parts of a chain as the store holds them, in order. */
export function chainParts(store: StoreReader): {
  readonly base?: { readonly hops: readonly Uint8Array[]; readonly checkpoint: Uint8Array };
  readonly blocks: Uint8Array[];
  readonly seals: Uint8Array[];
  readonly cosignatures: Uint8Array[];
} {
  const values = (tree: string): Uint8Array[] => [...store.range(tree)].map(({ value }) => value);
  const base = keptBase(store);
  return {
    ...(base === undefined ? {} : { base: { checkpoint: base.checkpoint, hops: base.hops.map(({ bytes }) => bytes) } }),
    blocks: values(trees.blocks),
    seals: values(trees.seals),
    cosignatures: values(trees.cosignatures),
  };
}

/** The blocks above a height up to another, each seal right behind the block that it covers, cosignatures behind that; read as they are asked for. */
export function* keptRecords(
  store: StoreReader,
  above: number,
  upTo: number,
  options: { readonly cosignatures: boolean },
): Generator<ChainRecord, void, undefined> {
  const range = { start: orderedKey(above + 1), end: orderedKey(upTo + 1) };
  for (const { key, value } of store.range(trees.blocks, range)) {
    yield { kind: "block", bytes: value };
    const seal = store.get(trees.seals, key);
    if (seal !== undefined) yield { kind: "seal", bytes: seal };
    const cosignature = options.cosignatures ? store.get(trees.cosignatures, key) : undefined;
    if (cosignature !== undefined) yield { kind: "cosignature", bytes: cosignature };
  }
}

/** How far somebody has the chain: up to a head, and by hops up to a height above it. */
export interface KnownUpTo {
  readonly height: number;
  /** Absent where hops have led nowhere yet. */
  readonly reached?: number | undefined;
}

/**
 * The chain from above what somebody has up to the sealed head, each seal right behind the block that it covers, read as it is asked for. Where blocks
 * above that were dropped, hops and the checkpoint stand in their place.
 */
export function* sealedRecords(
  store: StoreReader,
  known: KnownUpTo,
  sealedHeight: number,
): Generator<ChainRecord, void, undefined> {
  const base = (baseHead(store)?.height ?? 0) > known.height ? keptBase(store) : undefined;
  if (base !== undefined) {
    const { reached = 0 } = known;
    // Hops above the base are of no use with a checkpoint below them: whoever came that far elsewhere begins anew.
    const from = reached > base.head.height ? known.height : Math.max(known.height, reached);
    for (const { height, bytes } of base.hops) if (height > from) yield { kind: "hop", bytes };
    yield { kind: "checkpoint", bytes: base.checkpoint };
  }
  yield* keptRecords(store, base?.head.height ?? known.height, sealedHeight, { cosignatures: false });
}

/** The heights in a range that are sealed, the highest first. */
export function sealedHeights(store: StoreReader, above: number, upTo: number): readonly number[] {
  const range = { start: orderedKey(above + 1), end: orderedKey(upTo + 1) };
  return [...store.range(trees.seals, range)].map(({ key }) => numberOfKey(key)).toReversed();
}
