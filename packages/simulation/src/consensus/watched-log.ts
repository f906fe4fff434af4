import type { LogBase, LogBatch, LogIndex, HardState, NodeId } from "@revoada/fabric";
import type { WalLogStore } from "@revoada/consensus-raft";
import type { ConsensusMonitor } from "./monitor.ts";

/** The same log store, telling the monitor what is durable in it as soon as it is. */
export function watchedLog(inner: WalLogStore, node: NodeId, monitor: ConsensusMonitor): WalLogStore {
  const watched: Partial<WalLogStore> = {
    async open() {
      const found = await inner.open();
      monitor.logOpened(node, found, (index) => inner.term(index as LogIndex));
      return found;
    },
    async append(batch: LogBatch) {
      monitor.appendBegins(node, batch);
      await inner.append(batch);
      monitor.appendEnds(node, batch);
    },
    async compact(base: LogBase) {
      await inner.compact(base);
      monitor.compacted(node, base);
    },
    async reset(base: LogBase, hardState: HardState) {
      monitor.resetBegins(node);
      await inner.reset(base, hardState);
      monitor.resetEnds(node, base, hardState);
    },
    async markRefilled() {
      await inner.markRefilled();
      monitor.refilled(node);
    },
  };
  return new Proxy(inner, {
    get(target, name) {
      const own = Reflect.get(watched, name) as unknown;
      if (own !== undefined) return own;
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}
