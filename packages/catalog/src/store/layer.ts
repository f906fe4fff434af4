import type { StoreRange, StoreReader } from "@revoada/fabric";
import { compareBytes } from "../core/bytes.ts";
import type { SortedEntry, SortedMap } from "../core/sorted-map.ts";

/** Changes of one tree on top of what lies below: null marks a deletion. */
export interface TreeChanges {
  /** True where nothing below shows through. */
  readonly cleared: boolean;
  readonly changes: SortedMap<Uint8Array | null>;
}

/** Changes of many trees, by name. Once it is in force it never changes. */
export interface Layer {
  get(tree: string): TreeChanges | undefined;
  keys(): Iterable<string>;
}

/** What lies below everything in a store that keeps all in memory. */
export const nothingBelow: StoreReader = {
  get: () => undefined,
  range: () => [],
  trees: () => [],
};

/** Reads layers, the newest first, over what is stored below them. Yields the bytes that are held, not copies. */
export class LayeredReader implements StoreReader {
  readonly #layers: readonly Layer[];
  readonly #base: StoreReader;

  constructor(layers: readonly Layer[], base: StoreReader) {
    this.#layers = layers;
    this.#base = base;
  }

  get(tree: string, key: Uint8Array): Uint8Array | undefined {
    for (const layer of this.#layers) {
      const changes = layer.get(tree);
      const found = changes?.changes.get(key);
      if (found !== undefined) return found ?? undefined;
      if (changes?.cleared === true) return undefined;
    }
    return this.#base.get(tree, key);
  }

  *range(tree: string, range: StoreRange = {}): Generator<SortedEntry<Uint8Array>, void, undefined> {
    const { start, end, limit = Number.POSITIVE_INFINITY } = range;
    const reverse = range.reverse === true;
    const sources: Iterator<SortedEntry<Uint8Array | null>>[] = [];
    let closed = false;
    for (const layer of this.#layers) {
      const changes = layer.get(tree);
      if (changes === undefined) continue;
      sources.push(changes.changes.entries({ start, end, reverse }));
      closed = changes.cleared;
      if (closed) break;
    }
    if (!closed) sources.push(this.#base.range(tree, { ...bounds(start, end), reverse })[Symbol.iterator]());
    let yielded = 0;
    if (limit <= 0) return;
    for (const entry of merge(sources, reverse)) {
      if (entry.value === null) continue;
      yield { key: entry.key, value: entry.value };
      if (++yielded >= limit) return;
    }
  }

  trees(): readonly string[] {
    const names = new Set(this.#base.trees());
    for (const layer of this.#layers) for (const name of layer.keys()) names.add(name);
    return [...names].filter((name) => this.range(name, { limit: 1 }).next().done !== true).toSorted();
  }
}

function bounds(start: Uint8Array | undefined, end: Uint8Array | undefined): StoreRange {
  return { ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }) };
}

/** Merges sorted sources; of equal keys the first source's counts. Closes all of them when it ends, however it ends. */
function* merge<V>(
  sources: readonly Iterator<SortedEntry<V>>[],
  reverse: boolean,
): Generator<SortedEntry<V>, void, undefined> {
  try {
    const heads = sources.map((source) => source.next());
    for (;;) {
      let least: SortedEntry<V> | undefined;
      for (const head of heads) {
        if (head.done === true) continue;
        if (least === undefined || isBefore(head.value.key, least.key, reverse)) least = head.value;
      }
      if (least === undefined) return;
      yield least;
      for (const [index, head] of heads.entries()) {
        if (head.done === true || compareBytes(head.value.key, least.key) !== 0) continue;
        heads[index] = (sources[index] as Iterator<SortedEntry<V>>).next();
      }
    }
  } finally {
    for (const source of sources) source.return?.();
  }
}

function isBefore(left: Uint8Array, right: Uint8Array, reverse: boolean): boolean {
  const order = compareBytes(left, right);
  return reverse ? order > 0 : order < 0;
}
