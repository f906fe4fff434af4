import { entryBytes } from "./items.ts";
import { limits } from "./limits.ts";

/** Which key of the local node lies on which page, and which pages have to be signed again. */
export class KeyPages {
  readonly #values = new Map<string, string>();
  readonly #pageOf = new Map<string, number>();
  readonly #bytes: number[] = [0];
  readonly #dirty = new Set<number>();
  #totalBytes = 0;

  get(key: string): string | undefined {
    return this.#values.get(key);
  }

  get size(): number {
    return this.#values.size;
  }

  /** Pages in use, the first included. */
  get count(): number {
    return this.#bytes.length;
  }

  /** What all keys and values would take if `key` said `value`. */
  bytesWith(key: string, value: string): number {
    const before = this.#values.get(key);
    return this.#totalBytes + entryBytes(key, value) - (before === undefined ? 0 : entryBytes(key, before));
  }

  /**
   * Puts a value where its key lies already, or where there is room: a key that grows out of its page moves to another one.
   *
   * Pages never run out: one is opened only where every other holds more than `pageMaxBytes` less the largest entry, which is
   * 442 bytes, and all of them together hold at most `factsMaxBytes`.
   */
  set(key: string, value: string): void {
    const before = this.#values.get(key);
    const bytes = entryBytes(key, value);
    this.#totalBytes = this.bytesWith(key, value);
    const home = this.#pageOf.get(key);
    if (home !== undefined && before !== undefined) {
      this.#bytes[home] = (this.#bytes[home] ?? 0) - entryBytes(key, before);
      this.#dirty.add(home);
    }
    const fits = (page: number): boolean => (this.#bytes[page] ?? 0) + bytes <= limits.pageMaxBytes;
    let page = home !== undefined && fits(home) ? home : this.#bytes.findIndex((_, index) => fits(index));
    if (page < 0) page = this.#bytes.push(0) - 1;
    this.#bytes[page] = (this.#bytes[page] ?? 0) + bytes;
    this.#values.set(key, value);
    this.#pageOf.set(key, page);
    this.#dirty.add(page);
  }

  /** The keys of one page. */
  page(number: number): ReadonlyMap<string, string> {
    const keys = new Map<string, string>();
    for (const [key, page] of this.#pageOf) if (page === number) keys.set(key, this.#values.get(key) ?? "");
    return keys;
  }

  /** Every page has to be signed again: the generation that they carry is another one. */
  touchAll(): void {
    for (let page = 1; page < this.count; page++) this.#dirty.add(page);
  }

  /** The further pages that differ from what was signed last, in order. */
  takeChanged(): readonly number[] {
    const changed = [...this.#dirty].filter((page) => page > 0).sort((left, right) => left - right);
    this.#dirty.clear();
    return changed;
  }
}
