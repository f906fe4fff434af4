import type { WalLogStore } from "@revoada/consensus-raft";
import type { LogStore, RecoveredLog } from "@revoada/fabric";

/** A log that was opened before consensus was there to open it, with what was found in it. */
export interface OpenedLog {
  readonly store: WalLogStore;
  readonly recovered: RecoveredLog;
}

/** The log store of an opened log: opening it again gives what was found, without reading everything a second time. */
export function openedLogStore({ store, recovered }: OpenedLog): WalLogStore {
  const opened: LogStore & Pick<WalLogStore, "markRefilled"> = {
    open: () => Promise.resolve(recovered),
    append: (batch) => store.append(batch),
    read: (from, to, maxBytes) => store.read(from, to, maxBytes),
    term: (index) => store.term(index),
    compact: (base) => store.compact(base),
    reset: (base, hardState) => store.reset(base, hardState),
    close: () => store.close(),
    markRefilled: () => store.markRefilled(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
  return Object.defineProperty(opened, "faults", { get: () => store.faults }) as WalLogStore;
}
