import { blake3 } from "@noble/hashes/blake3.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { type ContentHash, type ContentStore, FabricError } from "@revoada/fabric";

/** Ways in which the reference can be broken on purpose. */
export type ContentDefect =
  | "names blobs by their length"
  | "yields whole blobs"
  | "trusts its peers"
  | "asks the first holder only"
  | "collects what is pinned"
  | "counts a pin twice taken away"
  | "collects what is being read"
  | "keeps what was aborted"
  | "ends an aborted read in order"
  | "calls a missing blob corrupt"
  | "serves after its end"
  | "says that it has everything";

const chunkBytes = 256 * 1024;

/** The stores of a fixture: what peers can be asked for. */
export type Swarm = Set<MemoryContentStore>;

/** The smallest store that keeps the contract: blobs in a map, peers in a set. */
export class MemoryContentStore implements ContentStore {
  readonly #swarm: Swarm;
  readonly #defect: ContentDefect | undefined;
  readonly #blobs = new Map<ContentHash, Uint8Array>();
  readonly #holds = new Map<ContentHash, number>();

  constructor(swarm: Swarm, defect?: ContentDefect) {
    this.#swarm = swarm;
    this.#defect = defect;
    swarm.add(this);
  }

  async put(chunks: AsyncIterable<Uint8Array>, { signal }: { readonly signal: AbortSignal }): Promise<ContentHash> {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) {
      parts.push(chunk.slice());
      if (this.#defect === "keeps what was aborted") this.#keep(joined(parts));
      signal.throwIfAborted();
    }
    return this.#keep(joined(parts));
  }

  async has(hash: ContentHash): Promise<boolean> {
    return this.#blobs.has(hash) || this.#defect === "says that it has everything";
  }

  async *read(hash: ContentHash, { signal }: { readonly signal: AbortSignal }): AsyncGenerator<Uint8Array> {
    const release = this.#defect === "collects what is being read" ? () => {} : this.#hold(hash);
    try {
      const blob = this.#blobs.get(hash) ?? this.#fetch(hash);
      const size = this.#defect === "yields whole blobs" ? Math.max(1, blob.length) : chunkBytes;
      for (let offset = 0; offset < blob.length; offset += size) {
        if (signal.aborted && this.#defect === "ends an aborted read in order") return;
        signal.throwIfAborted();
        yield blob.slice(offset, offset + size);
      }
    } finally {
      release();
    }
  }

  pin(hash: ContentHash): () => void {
    const release = this.#hold(hash);
    let taken = false;
    return () => {
      if (taken && this.#defect !== "counts a pin twice taken away") return;
      taken = true;
      release();
    };
  }

  async collect(): Promise<number> {
    let dropped = 0;
    for (const hash of [...this.#blobs.keys()]) {
      if ((this.#holds.get(hash) ?? 0) > 0 && this.#defect !== "collects what is pinned") continue;
      this.#blobs.delete(hash);
      dropped += 1;
    }
    return dropped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#defect !== "serves after its end") this.#swarm.delete(this);
  }

  corrupt(): void {
    for (const [hash, blob] of this.#blobs)
      this.#blobs.set(
        hash,
        blob.map((byte, index) => (index > blob.length / 2 ? byte ^ 1 : byte)),
      );
  }

  serve(hash: ContentHash): Uint8Array | undefined {
    return this.#blobs.get(hash);
  }

  #fetch(hash: ContentHash): Uint8Array {
    const served = [...this.#swarm].flatMap((peer) => (peer === this ? [] : (peer.serve(hash) ?? [])));
    const asked = this.#defect === "asks the first holder only" ? served.slice(0, 1) : served;
    const good = asked.find((blob) => this.#defect === "trusts its peers" || nameOf(blob) === hash);
    if (good !== undefined) return good;
    const missing = served.length === 0 && this.#defect !== "calls a missing blob corrupt";
    throw new FabricError(missing ? "CONTENT_NOT_FOUND" : "CONTENT_CORRUPT", `no whole copy of ${hash}`);
  }

  #keep(blob: Uint8Array): ContentHash {
    const hash =
      this.#defect === "names blobs by their length"
        ? (blob.length.toString(16).padStart(64, "0") as ContentHash)
        : nameOf(blob);
    this.#blobs.set(hash, blob);
    return hash;
  }

  #hold(hash: ContentHash): () => void {
    this.#holds.set(hash, (this.#holds.get(hash) ?? 0) + 1);
    return () => void this.#holds.set(hash, (this.#holds.get(hash) ?? 0) - 1);
  }
}

const names = new WeakMap<Uint8Array, ContentHash>();

/** Blobs never change once they are made, so a name is computed once. */
function nameOf(blob: Uint8Array): ContentHash {
  const name = names.get(blob) ?? (bytesToHex(blake3(blob)) as ContentHash);
  names.set(blob, name);
  return name;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
