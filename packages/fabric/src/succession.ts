import type { Formation, NodeRecord, Transition } from "./formation.ts";
import { shortId, type Generation, type NodeId } from "./ids.ts";
import { IllegalTransitionError, notFrom } from "./transition-errors.ts";

/** The formation after a step, one generation higher, with tombstones for those who left it for ever. */
export function nextFormation(
  { generation, tombstones, ...lasting }: Formation,
  nodes: ReadonlyMap<NodeId, NodeRecord>,
  buried: readonly NodeId[],
): Formation {
  return {
    ...lasting,
    generation: (generation + 1) as Generation,
    nodes,
    tombstones: buried.length === 0 ? tombstones : new Set([...tombstones, ...buried]),
  };
}

/** Whoever was removed stays away, and who approves of shifts takes no part in them. */
export function refuseTombstone(formation: Formation, transition: Transition): void {
  if (formation.tombstones.has(transition.node))
    throw new IllegalTransitionError(transition, "it was removed for ever");
  if (formation.operators?.has(transition.node) === true)
    throw new IllegalTransitionError(transition, "it is an operator's key");
}

/** The keys that wait for a node's place: one at most. */
export function successorsOf(formation: Formation, node: NodeId): readonly NodeId[] {
  return [...formation.nodes].filter(([, record]) => record.succeeds === node).map(([id]) => id);
}

/** The next key of a node: over the same disk, so it replicates where its predecessor does, and never votes beside it. */
export function successor(
  formation: Formation,
  transition: Extract<Transition, { verb: "succeed" }>,
  current: NodeRecord | undefined,
): NodeRecord {
  refuseTombstone(formation, transition);
  const { predecessor } = transition;
  if (current !== undefined) {
    if (current.succeeds === predecessor) return current;
    throw new IllegalTransitionError(transition, "it is in the formation already");
  }
  const before = formation.nodes.get(predecessor);
  const whose = shortId(predecessor);
  if (before === undefined) throw new IllegalTransitionError(transition, `${whose} is not in the formation`);
  if (before.succeeds !== undefined)
    throw new IllegalTransitionError(transition, `${whose} still waits for its own place`);
  if (successorsOf(formation, predecessor).length > 0)
    throw new IllegalTransitionError(transition, `${whose} has another successor`);
  if (before.state === "departing" || before.state === "failed")
    throw new IllegalTransitionError(transition, `the state of ${whose} is ${before.state}`);
  if (before.flags.includes("quarantined")) throw new IllegalTransitionError(transition, `${whose} is quarantined`);
  const replica = before.replica === "none" ? "none" : "learner";
  const { role: _role, ...facts } = before;
  return { ...facts, state: "standby", replica, incarnation: 0, succeeds: predecessor };
}

/** One step for both: there is no formation in which two keys have the seat, and none in which nobody has. */
export function inherited(
  formation: Formation,
  transition: Extract<Transition, { verb: "inherit" }>,
  timeMs: number,
): Formation {
  const { node } = transition;
  const current = formation.nodes.get(node);
  if (current === undefined) throw new IllegalTransitionError(transition, "the node is not in the formation");
  const { succeeds, ...heir } = current;
  const before = succeeds === undefined ? undefined : formation.nodes.get(succeeds);
  if (succeeds === undefined || before === undefined)
    throw new IllegalTransitionError(transition, "it succeeds nobody");
  if (current.state !== "standby") throw notFrom(transition, current);
  const nodes = new Map(formation.nodes);
  nodes.delete(succeeds);
  nodes.set(node, {
    ...heir,
    // The predecessor may have been taken for dead meanwhile, as it was bound to fall silent; the one that came in its place lives.
    state: before.state === "failed" ? "standby" : before.state,
    ...(before.role === undefined ? {} : { role: before.role }),
    replica: before.replica === "none" ? heir.replica : before.replica,
    flags: [...new Set([...before.flags, ...heir.flags])].toSorted(),
    lastShiftMs: timeMs,
  });
  return nextFormation(formation, nodes, [succeeds]);
}

/** What is left is one voter and master, whatever it was before; all others are gone for ever. */
export function recovered(
  formation: Formation,
  transition: Extract<Transition, { verb: "recover" }>,
  timeMs: number,
): Formation {
  const current = formation.nodes.get(transition.node);
  if (current === undefined) throw new IllegalTransitionError(transition, "the node is not in the formation");
  if (current.replica === "none") throw new IllegalTransitionError(transition, "it holds no copy of the log");
  const isAlone = formation.nodes.size === 1 && current.replica === "voter" && current.role === "master";
  if (isAlone && current.state === "active" && current.flags.length === 0) return formation;
  const { limitedTo: _limitedTo, succeeds: _succeeds, ...facts } = current;
  const survivor: NodeRecord = {
    ...facts,
    state: "active",
    role: "master",
    replica: "voter",
    flags: [],
    lastShiftMs: timeMs,
  };
  const lost = [...formation.nodes.keys()].filter((id) => id !== transition.node);
  return nextFormation(formation, new Map([[transition.node, survivor]]), lost);
}
