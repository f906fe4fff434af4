import { compareBytes } from "./bytes.ts";

/** Nodes may be changed in place only by the map whose token they bear; every other map copies them first. */
type Owner = object;

interface Leaf<V> {
  readonly leaf: true;
  readonly owner: Owner;
  readonly keys: Uint8Array[];
  readonly values: V[];
}

/** `keys[i]` is a lower bound of all keys under `children[i]`; the first one is never looked at. */
interface Branch<V> {
  readonly leaf: false;
  readonly owner: Owner;
  readonly keys: Uint8Array[];
  readonly children: Node<V>[];
}

type Node<V> = Leaf<V> | Branch<V>;

const maxKeys = 32;
const minKeys = maxKeys / 2;

export interface SortedEntry<V> {
  readonly key: Uint8Array;
  readonly value: V;
}

/** Bounds of a walk: `start` inclusive, `end` exclusive, whatever the direction. */
export interface SortedRange {
  readonly start?: Uint8Array | undefined;
  readonly end?: Uint8Array | undefined;
  readonly reverse?: boolean | undefined;
}

/**
 * An ordered map of byte keys: a B+ tree that is copied on write.
 *
 * `clone` costs nothing: both maps share their nodes and copy what they change. Keys and values are held as they are given and
 * must not be changed afterwards. A walk survives changes that are made while it goes on: it continues behind its last key.
 */
export class SortedMap<V> {
  #root: Node<V>;
  #owner: Owner = {};
  #size = 0;
  /** Counts changes, so that a walk notices them. */
  #changes = 0;

  constructor() {
    this.#root = { leaf: true, owner: this.#owner, keys: [], values: [] };
  }

  get size(): number {
    return this.#size;
  }

  clone(): SortedMap<V> {
    const copy = new SortedMap<V>();
    copy.#root = this.#root;
    copy.#size = this.#size;
    // From here on neither map owns the shared nodes.
    this.#owner = {};
    return copy;
  }

  get(key: Uint8Array): V | undefined {
    let node = this.#root;
    while (!node.leaf) node = node.children[childIndex(node.keys, key)] as Node<V>;
    const index = lowerBound(node.keys, key);
    const found = node.keys[index];
    return found !== undefined && compareBytes(found, key) === 0 ? node.values[index] : undefined;
  }

  /** Returns what was there before. */
  put(key: Uint8Array, value: V): V | undefined {
    this.#changes++;
    const before = this.#size;
    const replaced: { value?: V } = {};
    let root = this.#insert(this.#root, key, value, replaced);
    if (root.keys.length > maxKeys) {
      const right = split(root, this.#owner);
      root = {
        leaf: false,
        owner: this.#owner,
        keys: [root.keys[0] as Uint8Array, right.keys[0] as Uint8Array],
        children: [root, right],
      };
    }
    this.#root = root;
    return this.#size === before ? replaced.value : undefined;
  }

  delete(key: Uint8Array): boolean {
    if (this.get(key) === undefined) return false;
    this.#changes++;
    let root = this.#remove(this.#root, key);
    if (!root.leaf && root.children.length === 1) root = root.children[0] as Node<V>;
    this.#root = root;
    this.#size--;
    return true;
  }

  *entries(range: SortedRange = {}): Generator<SortedEntry<V>, void, undefined> {
    if (range.reverse === true) yield* this.#walkBack(range);
    else yield* this.#walk(range);
  }

  *#walk({ start, end }: SortedRange): Generator<SortedEntry<V>, void, undefined> {
    let from = start;
    let exclusive = false;
    for (;;) {
      const { leaf, next } = this.#seek(from);
      const changes = this.#changes;
      let index = from === undefined ? 0 : lowerBound(leaf.keys, from);
      let interrupted = false;
      for (; index < leaf.keys.length; index++) {
        const key = leaf.keys[index] as Uint8Array;
        if (exclusive && from !== undefined && compareBytes(key, from) === 0) continue;
        if (end !== undefined && compareBytes(key, end) >= 0) return;
        yield { key, value: leaf.values[index] as V };
        if (changes === this.#changes) continue;
        from = key;
        interrupted = true;
        break;
      }
      exclusive = interrupted;
      if (interrupted) continue;
      if (next === undefined) return;
      from = next;
    }
  }

  *#walkBack({ start, end }: SortedRange): Generator<SortedEntry<V>, void, undefined> {
    let below = end;
    for (;;) {
      const { leaf, lower } = this.#seekBelow(below);
      const changes = this.#changes;
      let next = lower;
      let interrupted = false;
      for (
        let index = (below === undefined ? leaf.keys.length : lowerBound(leaf.keys, below)) - 1;
        index >= 0;
        index--
      ) {
        const key = leaf.keys[index] as Uint8Array;
        if (start !== undefined && compareBytes(key, start) < 0) return;
        yield { key, value: leaf.values[index] as V };
        if (changes === this.#changes) continue;
        next = key;
        interrupted = true;
        break;
      }
      if (!interrupted && next === undefined) return;
      below = next;
    }
  }

  /** The leaf where `key` is or would be, and a lower bound of the leaf behind it. */
  #seek(key: Uint8Array | undefined): { readonly leaf: Leaf<V>; readonly next: Uint8Array | undefined } {
    let node = this.#root;
    let next: Uint8Array | undefined;
    while (!node.leaf) {
      const index: number = key === undefined ? 0 : childIndex(node.keys, key);
      next = node.keys[index + 1] ?? next;
      node = node.children[index] as Node<V>;
    }
    return { leaf: node, next };
  }

  /** The last leaf that can hold a key below `bound`, and a lower bound of it where there is a leaf before it. */
  #seekBelow(bound: Uint8Array | undefined): { readonly leaf: Leaf<V>; readonly lower: Uint8Array | undefined } {
    let node = this.#root;
    let lower: Uint8Array | undefined;
    while (!node.leaf) {
      const index: number =
        bound === undefined ? node.keys.length - 1 : Math.max(lowerBound(node.keys, bound, 1) - 1, 0);
      if (index > 0) lower = node.keys[index];
      node = node.children[index] as Node<V>;
    }
    return { leaf: node, lower };
  }

  #insert(from: Node<V>, key: Uint8Array, value: V, replaced: { value?: V }): Node<V> {
    const node = this.#own(from);
    if (node.leaf) {
      const index = lowerBound(node.keys, key);
      const found = node.keys[index];
      if (found !== undefined && compareBytes(found, key) === 0) {
        replaced.value = node.values[index] as V;
        node.values[index] = value;
      } else {
        node.keys.splice(index, 0, key);
        node.values.splice(index, 0, value);
        this.#size++;
      }
      return node;
    }
    const index = childIndex(node.keys, key);
    const child = this.#insert(node.children[index] as Node<V>, key, value, replaced);
    node.children[index] = child;
    if (child.keys.length > maxKeys) {
      const right = split(child, this.#owner);
      node.keys.splice(index + 1, 0, right.keys[0] as Uint8Array);
      node.children.splice(index + 1, 0, right);
    }
    return node;
  }

  #remove(from: Node<V>, key: Uint8Array): Node<V> {
    const node = this.#own(from);
    if (node.leaf) {
      const index = lowerBound(node.keys, key);
      node.keys.splice(index, 1);
      node.values.splice(index, 1);
      return node;
    }
    const index = childIndex(node.keys, key);
    const child = this.#remove(node.children[index] as Node<V>, key);
    node.children[index] = child;
    if (child.keys.length < minKeys) this.#balance(node, index);
    return node;
  }

  /** Merges a child that has become small with a neighbour, or shares the neighbour's keys with it. */
  #balance(parent: Branch<V>, index: number): void {
    const at = index > 0 ? index - 1 : 0;
    const left = this.#own(parent.children[at] as Node<V>);
    const right = this.#own(parent.children[at + 1] as Node<V>);
    parent.children[at] = left;
    // The first key of a branch is no bound by itself; the parent's is.
    if (!right.leaf) right.keys[0] = parent.keys[at + 1] as Uint8Array;
    moveAll(right, left);
    if (left.keys.length <= maxKeys) {
      parent.keys.splice(at + 1, 1);
      parent.children.splice(at + 1, 1);
      return;
    }
    const rest = split(left, this.#owner);
    parent.keys[at + 1] = rest.keys[0] as Uint8Array;
    parent.children[at + 1] = rest;
  }

  #own(node: Node<V>): Node<V> {
    const owner = this.#owner;
    if (node.owner === owner) return node;
    if (node.leaf) return { leaf: true, owner, keys: node.keys.slice(), values: node.values.slice() };
    return { leaf: false, owner, keys: node.keys.slice(), children: node.children.slice() };
  }
}

/** The first index, from `from` on, whose key is not below `key`. */
function lowerBound(keys: readonly Uint8Array[], key: Uint8Array, from = 0): number {
  let low = from;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(keys[middle] as Uint8Array, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The last child whose lower bound is not above `key`; the first where there is none. */
function childIndex(keys: readonly Uint8Array[], key: Uint8Array): number {
  let low = 1;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(keys[middle] as Uint8Array, key) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Cuts the upper half off. */
function split<V>(node: Node<V>, owner: Owner): Node<V> {
  const at = node.keys.length >>> 1;
  if (node.leaf) return { leaf: true, owner, keys: node.keys.splice(at), values: node.values.splice(at) };
  return { leaf: false, owner, keys: node.keys.splice(at), children: node.children.splice(at) };
}

function moveAll<V>(from: Node<V>, to: Node<V>): void {
  to.keys.push(...from.keys);
  if (to.leaf && from.leaf) to.values.push(...from.values);
  else if (!to.leaf && !from.leaf) to.children.push(...from.children);
}
