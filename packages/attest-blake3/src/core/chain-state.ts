import type { ChainHead, ChainState, Declared, Formation, Hash, NodeId, NodeRecord } from "@revoada/fabric";
import { replicasOf } from "@revoada/fabric";
import type { CanonicalValue } from "./canonical.ts";
import { encodeCanonical } from "./canonical.ts";
import { domainOf } from "./fields.ts";
import { hashBytes, hashOf, idBytes } from "./hash.ts";
import type { IdTree } from "./id-tree.ts";
import { treeRoot, withId, withoutId } from "./id-tree.ts";

/** A state as it is committed to by the last block of each command, and the trees that its roots are of. */
export interface CommittedState {
  /** The state record: what is small, in clear; what may be large, by its root. Its hash stands in the block. */
  readonly record: Uint8Array;
  readonly root: Hash;
  readonly nodes: IdTree;
  readonly tombstones: IdTree;
}

/** Commits to one state after another; what did not change between them is not hashed again. */
export interface StateCommitter {
  commit(state: ChainState): CommittedState;
}

const none = new Uint8Array(0);

/** The canonical bytes of a node's record, as a leaf of the tree of nodes holds them. */
export function encodeNodeRecord(record: NodeRecord): Uint8Array {
  // Each field by its name: one that is added and not committed to would not compile.
  const fields: Record<keyof NodeRecord, CanonicalValue> = {
    state: record.state,
    role: record.role ?? null,
    replica: record.replica,
    storeId: idBytes(record.storeId, 16),
    generation: record.generation,
    incarnation: record.incarnation,
    zone: record.zone,
    version: record.version,
    flags: [...record.flags],
    lastShiftMs: record.lastShiftMs,
    limitedTo: record.limitedTo ?? null,
    succeeds: record.succeeds === undefined ? null : idBytes(record.succeeds, 32),
  };
  return encodeCanonical(Object.values(fields));
}

/** What is declared, and what a switch would go back to. */
export function encodeDeclared({ declaration, pending }: Declared): Uint8Array {
  return encodeCanonical([declaration, ...(pending === undefined ? [] : [pending.previous, pending.withinMs])]);
}

export function encodeRecoveries(recoveries: readonly ChainHead[]): Uint8Array {
  return encodeCanonical(recoveries.map(({ height, hash }) => [height, idBytes(hash, 32)]));
}

type Operators = NonNullable<Formation["operators"]>;

/** Operator keys in force and the generation that each came with, in the order of the keys. */
export function encodeOperators(operators: Operators): Uint8Array {
  const sorted = [...operators].toSorted(([left], [right]) => (left < right ? -1 : 1));
  return encodeCanonical(sorted.map(([id, since]) => [idBytes(id, 32), since]));
}

/** Makes the trees of a formation from those of another one, by what differs between the two. */
function nodesAfter(tree: IdTree, before: Formation | undefined, after: Formation): IdTree {
  let next = tree;
  for (const [id, record] of after.nodes) {
    if (before?.nodes.get(id) !== record) next = withId(next, idBytes(id, 32), encodeNodeRecord(record));
  }
  for (const id of before?.nodes.keys() ?? []) {
    if (!after.nodes.has(id)) next = withoutId(next, idBytes(id, 32));
  }
  return next;
}

function tombstonesAfter(tree: IdTree, before: Formation | undefined, after: Formation): IdTree {
  if (before?.tombstones === after.tombstones) return tree;
  let next = tree;
  for (const id of after.tombstones) {
    if (before?.tombstones.has(id) !== true) next = withId(next, idBytes(id, 32), none);
  }
  for (const id of before?.tombstones ?? []) {
    if (!after.tombstones.has(id)) next = withoutId(next, idBytes(id, 32));
  }
  return next;
}

/** A committer that remembers the last state. */
export function stateCommitter(): StateCommitter {
  let last: { readonly formation: Formation; readonly nodes: IdTree; readonly tombstones: IdTree } | undefined;
  const hashOfLast = <T>(encode: (value: T) => Uint8Array): ((value: T) => Uint8Array) => {
    let known: { readonly value: T; readonly hash: Uint8Array } | undefined;
    return (value) => {
      if (known?.value !== value) known = { value, hash: hashBytes(encode(value)) };
      return known.hash;
    };
  };
  const declaredHash = hashOfLast(encodeDeclared);
  const operatorsHash = hashOfLast(encodeOperators);
  const recoveriesHash = hashOfLast(encodeRecoveries);
  return {
    commit({ formation, timeMs, recoveries }: ChainState): CommittedState {
      const nodes = nodesAfter(last?.nodes, last?.formation, formation);
      const tombstones = tombstonesAfter(last?.tombstones, last?.formation, formation);
      last = { formation, nodes, tombstones };
      const parts: Record<keyof Formation, CanonicalValue> = {
        generation: formation.generation,
        nodes: treeRoot(nodes) ?? null,
        tombstones: treeRoot(tombstones) ?? null,
        declared: formation.declared === undefined ? null : declaredHash(formation.declared),
        operators: formation.operators === undefined ? null : operatorsHash(formation.operators),
      };
      const voters = replicasOf(formation, "voter").map((id) => idBytes(id, 32));
      const record = encodeCanonical([
        domainOf("state"),
        timeMs,
        ...Object.values(parts),
        recoveriesHash(recoveries),
        voters,
      ]);
      return { record, root: hashOf(record), nodes, tombstones };
    },
  };
}

/** A state record, decoded: what it says in clear, and the roots that the rest is judged by. */
export interface StateFields {
  readonly timeMs: number;
  readonly generation: number;
  readonly nodesRoot: Hash | undefined;
  readonly tombstonesRoot: Hash | undefined;
  readonly declaredHash: Hash | undefined;
  readonly operatorsHash: Hash | undefined;
  readonly recoveriesHash: Hash;
  /** Who seals once this state is sealed. */
  readonly voters: readonly NodeId[];
}
