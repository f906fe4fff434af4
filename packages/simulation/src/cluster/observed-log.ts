import type { LogBase, LogBatch, LogStore, NodeId } from "@revoada/fabric";
import type { WalLogStore } from "@revoada/consensus-raft";
import type { Monitor } from "./monitor.ts";

/** The same log store, telling the monitor what is durable in it as soon as it is. */
export function observedLog(inner: WalLogStore, node: NodeId, monitor: Monitor): WalLogStore {
  const observed: Pick<LogStore, "open" | "append" | "reset"> = {
    async open() {
      const recovered = await inner.open();
      const terms: (readonly [number, number])[] = [];
      for (let index = recovered.base.index + 1; index <= recovered.lastIndex; index += 1) {
        terms.push([index, inner.term(index as never) ?? 0]);
      }
      monitor.logOpened(node, { hardState: recovered.hardState, baseIndex: recovered.base.index, terms });
      return recovered;
    },
    async append(batch: LogBatch) {
      await inner.append(batch);
      if (batch.hardState !== undefined) monitor.hardStateDurable(node, batch.hardState);
      if (batch.truncateFrom !== undefined) monitor.logTruncated(node, batch.truncateFrom);
      for (const { index, term } of batch.entries) monitor.logDurable(node, index, term);
    },
    async reset(base: LogBase, hardState) {
      await inner.reset(base, hardState);
      monitor.hardStateDurable(node, hardState);
      monitor.logReset(node, base.index);
    },
  };
  return new Proxy(inner, {
    get(target, name) {
      const value: unknown = Reflect.get(Object.hasOwn(observed, name) ? observed : target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
