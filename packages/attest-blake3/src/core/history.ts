import type { Hash } from "@revoada/fabric";
import { InvariantError } from "@revoada/fabric";
import { hashPair, hexOf, idBytes, hasherFor } from "./hash.ts";

/**
 * The Merkle tree over a chain's blocks, in the shape of RFC 9162 §2.1: a leaf is the hash of a block, genesis first, and a tree over
 * n leaves splits at the largest power of two below n. Leaves are hashes without a key and inner nodes have one, so that none is ever taken for
 * the other. What has to be kept in order to go on is the peaks: the roots of the whole trees that the leaves fill, the largest
 * first, one for each bit that is set in the number of leaves.
 */
const nodeHasher = hasherFor("revoada/history-node/1");

function over(left: Hash, right: Hash): Hash {
  return hexOf(hashPair(nodeHasher, idBytes(left, 32), idBytes(right, 32)));
}

/** The peaks after one more leaf; `size` is how many leaves there were. */
export function appendLeaf(peaks: readonly Hash[], size: number, leaf: Hash): readonly Hash[] {
  const next = [...peaks];
  if (size % 2 === 0) {
    next.push(leaf);
    return next;
  }
  let carried = idBytes(leaf, 32);
  for (let rest = size; rest % 2 === 1; rest = (rest - 1) / 2)
    carried = hashPair(nodeHasher, idBytes(next.pop() as Hash, 32), carried);
  next.push(hexOf(carried));
  return next;
}

/** How many peaks a tree of this many leaves has. */
export function peakCount(size: number): number {
  let count = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2;
  return count;
}

/** The root over the peaks of at least one leaf. */
export function historyRoot(peaks: readonly Hash[]): Hash {
  const last = peaks[peaks.length - 1] as Hash;
  if (peaks.length === 1) return last;
  const rest = peaks.slice(0, -1);
  return hexOf(rest.reduceRight((right, left) => hashPair(nodeHasher, idBytes(left, 32), right), idBytes(last, 32)));
}

/** The leaves of a tree of which the first ones may not be known: of those, the peaks are. */
export interface KnownLeaves {
  /** How many leaves are known by their peaks only. */
  readonly base: number;
  /** The peaks over these, the largest first. */
  readonly peaks: readonly Hash[];
  /** The leaves from there on. */
  readonly leaves: readonly Hash[];
}

/**
 * The hashes beside the way from leaf `index` up to the root over the first `size` leaves, the lowest first (RFC 9162 §2.1.3.1). The leaf must be one of
 * those that are known: whatever lies beside its way and below the base is one of the peaks then.
 */
export function inclusionPath(known: KnownLeaves, size: number, index: number): readonly Hash[] {
  const path: Hash[] = [];
  let [start, end] = [0, size];
  const spans: (readonly [number, number])[] = [];
  while (end - start > 1) {
    const split = start + splitOf(end - start);
    if (index < split) {
      spans.push([split, end]);
      end = split;
    } else {
      spans.push([start, split]);
      start = split;
    }
  }
  for (const [from, to] of spans.toReversed()) path.push(rootOf(known, from, to));
  return path;
}

function rootOf(known: KnownLeaves, start: number, end: number): Hash {
  const { base, leaves } = known;
  if (end <= base) return peakAt(known, start, end);
  if (start < base) {
    const split = start + splitOf(end - start);
    return over(rootOf(known, start, split), rootOf(known, split, end));
  }
  let peaks: readonly Hash[] = [];
  for (let index = start; index < end; index += 1)
    peaks = appendLeaf(peaks, index - start, leaves[index - base] as Hash);
  return historyRoot(peaks);
}

/** The peak over exactly these leaves. */
function peakAt({ base, peaks }: KnownLeaves, start: number, end: number): Hash {
  let at = 0;
  for (const peak of peaks) {
    const width = splitOf(base - at + 1);
    if (at === start && at + width === end) return peak;
    at += width;
  }
  throw new InvariantError(`leaves ${start} to ${end} are not under one peak of ${base}`);
}

/** The largest power of two below `size`. */
function splitOf(size: number): number {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}

/** The root that a leaf and the hashes beside its way lead to; undefined where their number does not fit (RFC 9162 §2.1.3.2). */
export function rootFromPath(leaf: Hash, index: number, size: number, path: readonly Hash[]): Hash | undefined {
  if (index >= size) return undefined;
  let [position, last] = [index, size - 1];
  let root = leaf;
  for (const beside of path) {
    if (last === 0) return undefined;
    if (position % 2 === 1 || position === last) {
      root = over(beside, root);
      while (position % 2 === 0 && position !== 0) {
        position = Math.floor(position / 2);
        last = Math.floor(last / 2);
      }
    } else {
      root = over(root, beside);
    }
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 ? root : undefined;
}
