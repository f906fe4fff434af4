import type { Catalog, DutyCatalog } from "@revoada/fabric";
import type { Hold } from "./hold.ts";

/** The catalog as a duty may use it: what it writes as a singleton carries the fence of its hold. */
export function dutyCatalog(catalog: Catalog, duty: string, hold: Hold | undefined): DutyCatalog {
  const shared: Omit<DutyCatalog, "txn" | "compact"> = {
    revision: () => catalog.revision(),
    compactedRevision: () => catalog.compactedRevision(),
    get: (...input) => catalog.get(...input),
    range: (...input) => catalog.range(...input),
    watch: (...input) => catalog.watch(...input),
    counts: () => catalog.counts(),
  };
  if (hold === undefined)
    return {
      ...shared,
      txn: (...input) => catalog.txn(...input),
      compact: (...input) => catalog.compact(...input),
    };
  const fence = { duty, token: hold.token };
  return {
    ...shared,
    async txn(transaction, options) {
      hold.requireHeld();
      return catalog.txn({ ...transaction, fence }, options);
    },
    async compact(revision, options) {
      hold.requireHeld();
      return catalog.compact(revision, { ...options, fence });
    },
  };
}
