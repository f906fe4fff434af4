import type { AppliedEntry, Consensus, MachineStore, NodeId, StateMachine } from "@revoada/fabric";
import type { ClusterMachine } from "@revoada/cluster";
import { hashEveryEntries, type Monitor } from "./monitor.ts";

/** Trees whose content is a replica's own and not replicated. */
const localTrees = new Set(["machine/position"]);

interface Watch {
  readonly node: NodeId;
  readonly store: MachineStore;
  readonly monitor: Monitor;
}

/** The same consensus, with a machine whose every step the monitor sees. */
export function observedMachine(
  inner: Consensus<Uint8Array, Uint8Array>,
  watch: Watch,
): Consensus<Uint8Array, Uint8Array> {
  return new Proxy(inner, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name === "start") {
        return (machine: StateMachine<Uint8Array, Uint8Array>) =>
          target.start(observed(machine as ClusterMachine, target, watch));
      }
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function observed(
  machine: ClusterMachine,
  consensus: Consensus<Uint8Array, Uint8Array>,
  watch: Watch,
): StateMachine<Uint8Array, Uint8Array> {
  const { node, store, monitor } = watch;
  const applySlice = (entries: readonly AppliedEntry<Uint8Array>[]): readonly (Uint8Array | undefined)[] => {
    monitor.applying(node, entries, consensus.status());
    const results = machine.apply(entries);
    const formation = machine.formation.state?.formation;
    if (formation !== undefined) monitor.observeFormation(formation);
    const last = entries.at(-1)?.index ?? 0;
    if (last % hashEveryEntries === 0)
      monitor.observeState(
        node,
        last,
        store,
        store.trees().filter((tree) => !localTrees.has(tree)),
      );
    return results;
  };
  return {
    durable: machine.durable,
    position: () => machine.position(),
    flushedIndex: () => machine.flushedIndex(),
    flush: () => machine.flush(),
    apply(entries) {
      const results: (Uint8Array | undefined)[] = [];
      for (let start = 0; start < entries.length;) {
        const first = entries[start]?.index ?? 0;
        // Up to and including the next index at which states are compared.
        const end = start + ((hashEveryEntries - (first % hashEveryEntries)) % hashEveryEntries) + 1;
        results.push(...applySlice(entries.slice(start, end)));
        start = end;
      }
      return results;
    },
    snapshot: () => machine.snapshot(),
    restore: (position, chunks) => machine.restore(position, chunks),
  };
}
