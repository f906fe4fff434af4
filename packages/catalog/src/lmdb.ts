/**
 * The durable store of the one machine, over LMDB.
 *
 * @packageDocumentation
 */
export { lmdbStore, type LmdbStoreOptions } from "./store/lmdb-store.ts";
