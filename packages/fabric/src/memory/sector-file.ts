import type { Random } from "../seams/clock.ts";

/** Bytes that are kept together; a page is a whole number of sectors. */
const pageBytes = 4096;

/** What a sector survives as: sectors are written whole or not at all, pages need not be. */
export const sectorBytes = 512;

const sectorsPerPage = pageBytes / sectorBytes;
const wholePage = 2 ** sectorsPerPage - 1;

interface DirtyPage {
  readonly bytes: Uint8Array;
  /** One bit per sector that was written here. */
  sectors: number;
}

/** Writes between two syncs. Every page is a full copy, so reading needs the topmost layer that has it only. */
interface Layer {
  readonly pages: Map<number, DirtyPage>;
  /** A sync of it failed: it can be read until the power goes, and no later sync makes it durable. */
  abandoned: boolean;
  size: number;
}

/** What becomes of that which no sync has covered. */
export type CrashOutcome = "nothing-lost" | "unsynced-lost" | "random";

/**
 * The contents of one file: what is durable, and in layers above it what only the page cache knows.
 *
 * Pages of zeros take no memory, so that preallocated files are cheap.
 */
export class SectorFile {
  #durable: Map<number, Uint8Array> = new Map();
  #durableSize = 0;
  #layers: Layer[] = [{ pages: new Map(), abandoned: false, size: 0 }];
  get size(): number {
    return this.#top().size;
  }

  read(offset: number, length: number): Uint8Array {
    const end = Math.min(this.size, offset + length);
    const result = new Uint8Array(Math.max(0, end - offset));
    for (let at = offset; at < end;) {
      const page = Math.floor(at / pageBytes);
      const within = at - page * pageBytes;
      const count = Math.min(pageBytes - within, end - at);
      const bytes = this.#page(page);
      if (bytes !== undefined) result.set(bytes.subarray(within, within + count), at - offset);
      at += count;
    }
    return result;
  }

  write(offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.length;
    for (let at = offset; at < end;) {
      const page = Math.floor(at / pageBytes);
      const within = at - page * pageBytes;
      const count = Math.min(pageBytes - within, end - at);
      const dirty = this.#dirty(page);
      dirty.bytes.set(bytes.subarray(at - offset, at - offset + count), within);
      dirty.sectors |= sectorMask(within, count);
      at += count;
    }
    this.#top().size = Math.max(this.size, end);
  }

  /** Cuts or extends with zeros. */
  resize(size: number): void {
    const before = this.size;
    if (size < before) this.#zero(size, before);
    this.#top().size = size;
  }

  /** Begins a sync: what is written from here on is not covered by it. The result commits or abandons it. */
  beginSync(): { commit(): void; fail(): void } {
    const covered = this.#top();
    this.#layers.push({ pages: new Map(), abandoned: false, size: covered.size });
    return {
      commit: () => this.#commitThrough(covered),
      fail: () => {
        for (const layer of this.#layers.slice(0, this.#layers.indexOf(covered) + 1)) layer.abandoned = true;
      },
    };
  }

  /** Flips bits of one byte as it is stored, everywhere that it is kept. */
  corrupt(offset: number, mask: number): void {
    const page = Math.floor(offset / pageBytes);
    const durable = this.#durable.get(page) ?? new Uint8Array(pageBytes);
    this.#durable.set(page, durable);
    for (const bytes of [durable, ...this.#layers.flatMap((layer) => layer.pages.get(page)?.bytes ?? [])]) {
      const place = offset - page * pageBytes;
      bytes[place] = (bytes[place] as number) ^ mask;
    }
  }

  /** A copy of this file as a crash would leave it. */
  afterCrash(outcome: CrashOutcome, random: Random): SectorFile {
    const left = new SectorFile();
    left.#durable = new Map([...this.#durable].map(([page, bytes]) => [page, bytes.slice()]));
    left.#durableSize = this.#durableSize;
    if (outcome !== "unsynced-lost") {
      for (const layer of this.#layers) left.#keepSome(layer, outcome, random);
    }
    left.#zeroDurable(left.#durableSize);
    left.#layers = [{ pages: new Map(), abandoned: false, size: left.#durableSize }];
    return left;
  }

  #keepSome(layer: Layer, outcome: CrashOutcome, random: Random): void {
    const isKept = (): boolean => outcome === "nothing-lost" || random.float() < 0.5;
    for (const page of [...layer.pages.keys()].toSorted((left, right) => left - right)) {
      const dirty = layer.pages.get(page) as DirtyPage;
      let kept = 0;
      for (let sector = 0; sector < sectorsPerPage; sector += 1) {
        if ((dirty.sectors & (1 << sector)) !== 0 && isKept()) kept |= 1 << sector;
      }
      this.#merge(page, kept === wholePage ? dirty.bytes.slice() : dirty.bytes, kept);
    }
    // The new size is metadata: it may be durable without the bytes that it promises, which then are zeros.
    if (isKept()) this.#setDurableSize(layer.size);
  }

  #commitThrough(covered: Layer): void {
    const end = this.#layers.indexOf(covered);
    // A later sync may have committed this layer already.
    if (end < 0) return;
    const abandoned: Layer[] = [];
    for (const layer of this.#layers.slice(0, end + 1)) {
      if (layer.abandoned) {
        abandoned.push(layer);
        continue;
      }
      for (const [page, dirty] of layer.pages) {
        // An abandoned layer stays for reading, and must not hide what is committed above it.
        for (const { pages } of abandoned) {
          const held = pages.get(page);
          if (held !== undefined) copySectors(dirty.bytes, held.bytes, dirty.sectors);
        }
        this.#merge(page, dirty.bytes, dirty.sectors);
      }
      this.#setDurableSize(layer.size);
      // Nor may its size come back, and cut off what was committed behind it.
      for (const held of abandoned) held.size = layer.size;
    }
    this.#layers = [...abandoned, ...this.#layers.slice(end + 1)];
  }

  /** Takes over `bytes` where all of its sectors count. */
  #merge(page: number, bytes: Uint8Array, sectors: number): void {
    if (sectors === 0) return;
    if (sectors === wholePage) {
      this.#durable.set(page, bytes);
      return;
    }
    const durable = this.#durable.get(page) ?? new Uint8Array(pageBytes);
    this.#durable.set(page, durable);
    copySectors(bytes, durable, sectors);
  }

  #setDurableSize(size: number): void {
    if (size < this.#durableSize) this.#zeroDurable(size);
    this.#durableSize = size;
  }

  /** What lies beyond the end reads as zeros once the file grows again. */
  #zeroDurable(size: number): void {
    const cut = Math.floor(size / pageBytes);
    for (const page of this.#durable.keys()) if (page > cut) this.#durable.delete(page);
    this.#durable.get(cut)?.fill(0, size - cut * pageBytes);
  }

  #zero(from: number, to: number): void {
    for (let page = Math.floor(from / pageBytes); page * pageBytes < to; page += 1) {
      if (this.#page(page) === undefined) continue;
      const within = Math.max(0, from - page * pageBytes);
      const dirty = this.#dirty(page);
      dirty.bytes.fill(0, within);
      dirty.sectors |= sectorMask(within, pageBytes - within);
    }
  }

  #top(): Layer {
    return this.#layers.at(-1) as Layer;
  }

  #page(page: number): Uint8Array | undefined {
    for (let level = this.#layers.length - 1; level >= 0; level -= 1) {
      const dirty = this.#layers[level]?.pages.get(page);
      if (dirty !== undefined) return dirty.bytes;
    }
    return this.#durable.get(page);
  }

  #dirty(page: number): DirtyPage {
    const { pages } = this.#top();
    const held = pages.get(page);
    if (held !== undefined) return held;
    const made = { bytes: this.#page(page)?.slice() ?? new Uint8Array(pageBytes), sectors: 0 };
    pages.set(page, made);
    return made;
  }
}

function sectorMask(within: number, count: number): number {
  const first = Math.floor(within / sectorBytes);
  const last = Math.floor((within + count - 1) / sectorBytes);
  return (2 ** (last + 1) - 1) & ~(2 ** first - 1);
}

function copySectors(from: Uint8Array, to: Uint8Array, sectors: number): void {
  for (let sector = 0; sector < sectorsPerPage; sector += 1) {
    if ((sectors & (1 << sector)) === 0) continue;
    const start = sector * sectorBytes;
    to.set(from.subarray(start, start + sectorBytes), start);
  }
}
