import { hashPair, hasherFor, type Hasher } from "./hash.ts";

/**
 * A tree of hashes over a map from 32-byte ids to values: a binary trie without nodes of one child, so that one map has exactly one tree,
 * whatever the order of the changes was. Nodes are never changed in place: a step shares what it leaves alone, and hashes are made when they are
 * asked for. A way down shows that an id is there, with its value, or that it is not: the way of an id that is absent ends at another.
 */
export type IdTree = Leaf | Branch | undefined;

interface Leaf {
  readonly id: Uint8Array;
  readonly value: Uint8Array;
  hash: Uint8Array | undefined;
}

interface Branch {
  /** The first bit, from the highest of byte 0, in which the ids on its two sides differ. */
  readonly bit: number;
  readonly left: Leaf | Branch;
  readonly right: Leaf | Branch;
  hash: Uint8Array | undefined;
}

/** One step of a way down: the bit that was looked at, and the hash on the other side. */
export interface WayStep {
  readonly bit: number;
  readonly beside: Uint8Array;
}

const idBits = 256;
const leafHasher = hasherFor("revoada/state-leaf/1");
/** A branch is hashed with a key for its bit: the bit is vouched for, and what is hashed fits into 64 bytes. */
const branchHashers = Array.from({ length: idBits }, (_, bit) => hasherFor(`revoada/state-branch/1/${bit}`));

function isBranch(node: Leaf | Branch): node is Branch {
  return "bit" in node;
}

function bitOf(id: Uint8Array, bit: number): number {
  return ((id[bit >> 3] as number) >> (7 - (bit & 7))) & 1;
}

/** The first bit in which two ids differ; 256 where they are the same. */
function firstDifference(left: Uint8Array, right: Uint8Array): number {
  for (let index = 0; index < 32; index += 1) {
    const difference = (left[index] as number) ^ (right[index] as number);
    if (difference !== 0) return index * 8 + Math.clz32(difference) - 24;
  }
  return idBits;
}

function nearest(tree: Leaf | Branch, id: Uint8Array): Leaf {
  let node = tree;
  while (isBranch(node)) node = bitOf(id, node.bit) === 0 ? node.left : node.right;
  return node;
}

/** The tree with a value for an id, in place of the one that it had. */
export function withId(tree: IdTree, id: Uint8Array, value: Uint8Array): IdTree {
  const leaf: Leaf = { id, value, hash: undefined };
  return tree === undefined ? leaf : placed(tree, leaf, firstDifference(id, nearest(tree, id).id));
}

function placed(node: Leaf | Branch, leaf: Leaf, difference: number): Leaf | Branch {
  if (isBranch(node) && node.bit < difference) {
    return bitOf(leaf.id, node.bit) === 0
      ? { ...node, left: placed(node.left, leaf, difference), hash: undefined }
      : { ...node, right: placed(node.right, leaf, difference), hash: undefined };
  }
  if (difference === idBits) return leaf;
  return bitOf(leaf.id, difference) === 0
    ? { bit: difference, left: leaf, right: node, hash: undefined }
    : { bit: difference, left: node, right: leaf, hash: undefined };
}

/** The tree without an id that it holds. */
export function withoutId(tree: IdTree, id: Uint8Array): IdTree {
  if (tree === undefined || !isBranch(tree)) return undefined;
  const isLeft = bitOf(id, tree.bit) === 0;
  const rest = withoutId(isLeft ? tree.left : tree.right, id);
  if (rest === undefined) return isLeft ? tree.right : tree.left;
  return isLeft ? { ...tree, left: rest, hash: undefined } : { ...tree, right: rest, hash: undefined };
}

/** The root of a tree; undefined for the empty one. */
export function treeRoot(tree: IdTree): Uint8Array | undefined {
  return tree === undefined ? undefined : hashOfNode(tree);
}

function hashOfNode(node: Leaf | Branch): Uint8Array {
  node.hash ??= isBranch(node)
    ? hashPair(branchHashers[node.bit] as Hasher, hashOfNode(node.left), hashOfNode(node.right))
    : leafHash(node.id, node.value);
  return node.hash;
}

function leafHash(id: Uint8Array, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(32 + value.length);
  bytes.set(id, 0);
  bytes.set(value, 32);
  return leafHasher.hash(bytes);
}

/** Where the way of an id leads: the leaf at its end, which is the id's own where it is there, and the steps from the root on. */
export function wayTo(
  tree: IdTree,
  id: Uint8Array,
): { readonly id: Uint8Array; readonly value: Uint8Array; readonly steps: readonly WayStep[] } | undefined {
  if (tree === undefined) return undefined;
  const steps: WayStep[] = [];
  let node = tree;
  while (isBranch(node)) {
    const isLeft = bitOf(id, node.bit) === 0;
    steps.push({ bit: node.bit, beside: hashOfNode(isLeft ? node.right : node.left) });
    node = isLeft ? node.left : node.right;
  }
  return { id: node.id, value: node.value, steps };
}

/**
 * The root that a way leads to; undefined where it is not the way of `id`: its bits do not rise, or the leaf at its end would stand
 * elsewhere. A leaf of another id at the end of the way shows that `id` is not in the tree.
 */
export function rootFromWay(
  id: Uint8Array,
  leaf: { readonly id: Uint8Array; readonly value: Uint8Array },
  steps: readonly WayStep[],
): Uint8Array | undefined {
  let before = -1;
  for (const { bit } of steps) {
    if (bit <= before || bit >= idBits) return undefined;
    if (bitOf(id, bit) !== bitOf(leaf.id, bit)) return undefined;
    before = bit;
  }
  return steps.reduceRight(
    (below, { bit, beside }) =>
      bitOf(id, bit) === 0
        ? hashPair(branchHashers[bit] as Hasher, below, beside)
        : hashPair(branchHashers[bit] as Hasher, beside, below),
    leafHash(leaf.id, leaf.value),
  );
}
