import type { ApplyContext, Clock, ClusterId, Leadership, Logger, LogIndex, MachineStore, Term } from "@revoada/fabric";
import { systemClock } from "@revoada/fabric/node";
import { catalog, type CatalogFront } from "./catalog.ts";
import { LeaseNotLeaderError } from "./errors.ts";
import { catalogMachine } from "./machine.ts";
import { memoryStore } from "./store/memory-store.ts";
import type { WatchLimits } from "./watch-hub.ts";

/** How a catalog without a cluster is made. */
export interface LocalCatalogOptions {
  /** In memory unless told; it stays the caller's to close. */
  readonly store?: MachineStore;
  readonly clock?: Clock;
  /** Asked at each write; a function that says false makes it read-only. */
  readonly writable?: () => boolean;
  readonly watch?: WatchLimits;
  readonly logger?: Logger;
}

/** Stands for the cluster that there is none. */
const noCluster = "0".repeat(64) as ClusterId;

const onlyTerm = 1 as Term;

/** One process leads always, and nobody has to be asked. */
const alone: Leadership = {
  term: () => onlyTerm,
  onChange: () => () => undefined,
  confirm: async () => onlyTerm,
  ask: async () => {
    throw new LeaseNotLeaderError();
  },
};

/**
 * Makes a catalog of one process with no log: each command is applied at once. For tests, examples and tools.
 *
 * @example
 * ```ts
 * using catalog = localCatalog();
 * await catalog.txn({ compare: [], then: [{ type: "put", key, value }], else: [] });
 * ```
 */
export function localCatalog(options: LocalCatalogOptions = {}): CatalogFront {
  const machine = catalogMachine();
  const store = options.store ?? memoryStore();
  machine.restored(store);
  let index = 0;
  return catalog({
    machine,
    store,
    clock: options.clock ?? systemClock(),
    leadership: alone,
    readBarrier: async () => {},
    propose: async (command, { signal }) => {
      signal?.throwIfAborted();
      const context: ApplyContext = {
        clusterId: noCluster,
        index: ++index as LogIndex,
        term: onlyTerm,
        timeMs: 0,
        writable: options.writable?.() ?? true,
      };
      const result = store.transact((transaction) => machine.apply(transaction, command, context));
      machine.committed();
      if (store.durable) await store.flush();
      return result;
    },
    ...(options.watch === undefined ? {} : { watch: options.watch }),
    ...(options.logger === undefined ? {} : { logger: options.logger }),
  });
}
