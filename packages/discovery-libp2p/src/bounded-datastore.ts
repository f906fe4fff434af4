import { MemoryDatastore } from "datastore-core/memory";
import type { Key } from "interface-datastore";
import { FabricError } from "@revoada/fabric";

/** What others have this node keep does not fit any more. */
class DatastoreFullError extends FabricError {
  constructor(limit: number) {
    super("DISCOVERY_STORE_FULL", `${limit} records of others are kept, no further one is taken`, { retryable: true });
  }
}

/** What libp2p keeps, most of it for others, in memory and in number at most `limit`. */
export class BoundedDatastore extends MemoryDatastore {
  readonly #limit: number;
  readonly #keys = new Set<string>();

  constructor(limit: number) {
    super();
    this.#limit = limit;
  }

  override put(key: Key, value: Uint8Array): Key | Promise<Key> {
    const name = key.toString();
    if (!this.#keys.has(name) && this.#keys.size >= this.#limit) throw new DatastoreFullError(this.#limit);
    this.#keys.add(name);
    return super.put(key, value);
  }

  override delete(key: Key): void | Promise<void> {
    this.#keys.delete(key.toString());
    return super.delete(key);
  }
}
