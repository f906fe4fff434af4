import { quorumSizeOf, shortId, type Formation, type NodeId, type NodeRecord, type Transition } from "@revoada/fabric";
import { giveRole } from "./draft.ts";
import { desiredShape, withLimited, type Pass } from "./pass.ts";
import { candidatesOf, unlimited } from "./situation.ts";
import { canGiveUpSeat, planVoters } from "./voters.ts";

/** True where any node is a master: the first shape stands, or stood. */
export function isFormed(formation: Formation): boolean {
  return [...formation.nodes.values()].some((record) => record.role === "master");
}

/** Forms the first shape once enough nodes are there: catches the voters up, then moves everybody in one command. */
export function formFirstShape({ draft, observation, topology, limits }: Pass): void {
  const candidates = candidatesOf(draft.formation, observation, limits);
  const eligible = unlimited(candidates);
  if (eligible.length < topology.minNodes) return;
  const assignment = withLimited(topology, candidates, topology.assign(eligible));
  const quorumSize = quorumSizeOf(observation.strategy);
  const voters = planVoters({ candidates, assignment, quorumSize, topology });
  // A topology that lets too few of them vote beside each other wants other nodes first.
  if (voters.length < quorumSize) return;
  const lagging = candidates.filter((candidate) => voters.includes(candidate.id) && !candidate.caughtUp);
  const inputs = { eligible: eligible.length, minNodes: topology.minNodes, voters: voters.length };
  if (lagging.length > 0) {
    const transitions = lagging
      .filter((candidate) => candidate.replica === "none")
      .map((candidate): Transition => ({ verb: "seat", node: candidate.id, replica: "learner" }));
    if (transitions.length === 0) return;
    draft.decide({
      kind: "catch-up",
      transitions,
      reason: `${lagging.length} nodes catch up for the first shape`,
      inputs,
    });
    return;
  }
  const transitions: Transition[] = [];
  for (const { id } of candidates) {
    const record = draft.record(id) as NodeRecord;
    const votes = voters.includes(id);
    const role = votes && assignment.get(id) !== "master" ? "arbiter" : assignment.get(id);
    if (role !== undefined) transitions.push(giveRole(id, record, role, votes ? "voter" : undefined));
  }
  draft.decide({
    kind: "form",
    transitions,
    reason: `${topology.name} is formed of ${candidates.length} nodes`,
    inputs,
  });
}

/** Gives and takes the roles that need no seat to move: workers to work, surplus holders to step back. */
export function fillRoles(pass: Pass): void {
  const { draft } = pass;
  const { candidates, assignment } = desiredShape(pass);
  for (const { id } of candidates) {
    const record = draft.record(id) as NodeRecord;
    const desired = assignment.get(id);
    const idleArbiter = record.role === "arbiter" && record.replica !== "voter";
    if (record.state === "active" && record.role === desired && !idleArbiter) continue;
    if (record.flags.length > 0) continue;
    if (record.state === "standby" && record.replica === "voter")
      returnToSeat(pass, id, record, desired === "master" ? "master" : "arbiter");
    else if (desired === "master") promoteBeyondQuorum(pass, id, record);
    else if (desired !== undefined && !idleArbiter && (record.state === "standby" || record.role === "bootstrap")) {
      draft.decide({
        kind: "assign",
        transitions: [giveRole(id, record, desired)],
        reason: `${shortId(id)} becomes ${desired}`,
        inputs: { node: id, role: desired },
      });
    } else if (record.state === "active" && (desired === undefined || record.role === "master" || idleArbiter)) {
      stepBack(pass, id, record);
    }
  }
}

/** A voter that came back before its seat was given away takes up its duty again. */
function returnToSeat({ draft }: Pass, id: NodeId, record: NodeRecord, role: "master" | "arbiter"): void {
  draft.decide({
    kind: "assign",
    transitions: [giveRole(id, record, role)],
    reason: `${shortId(id)} is back in its seat as ${role}`,
    inputs: { node: id, role },
  });
}

/** Masters beyond the voters replicate without a vote; a master that should vote gets its role together with its seat. */
function promoteBeyondQuorum({ draft, observation }: Pass, id: NodeId, record: NodeRecord): void {
  const voters = [...draft.formation.nodes.values()].filter((other) => other.replica === "voter").length;
  if (voters < quorumSizeOf(observation.strategy)) return;
  if (record.replica !== "learner" || (record.state === "active" && record.role === "arbiter")) return;
  draft.decide({
    kind: "assign",
    transitions: [giveRole(id, record, "master")],
    reason: `${shortId(id)} becomes master`,
    inputs: { node: id, role: "master" },
  });
}

/** One step towards standby for a holder that the shape no longer wants, unless its vote is needed. A leader hands over first. */
function stepBack({ draft, observation, limits }: Pass, id: NodeId, record: NodeRecord): void {
  if (observation.nowMs - record.lastShiftMs < limits.dampingMs) return;
  // One at a time: a node on its way back to standby is missing from the count that the shape is made for.
  if ([...draft.formation.nodes.values()].some((other) => other.state === "demoting")) return;
  if (record.replica === "voter" && !canGiveUpSeat(id, draft.formation, observation, limits)) return;
  if (record.role === "arbiter" && record.replica === "voter") return;
  draft.decide({
    kind: "step-back",
    transitions: [{ verb: "demote", node: id }],
    reason: `${shortId(id)} is one ${record.role ?? "holder"} too many`,
    inputs: { node: id, role: record.role ?? "" },
  });
}

/** Finishes what was begun: demoted nodes settle, departed ones are forgotten, and so are the failed after a long time. */
export function finishLeavers({ draft, observation, limits }: Pass): void {
  for (const [id, record] of draft.formation.nodes) {
    if (record.replica === "voter") continue;
    if (record.state === "demoting") {
      draft.decide({
        kind: "settle",
        transitions: [{ verb: "settle", node: id }],
        reason: `${shortId(id)} no longer votes`,
        inputs: { node: id },
      });
    }
    if (record.replica !== "none") continue;
    const stale = record.state === "failed" && observation.nowMs - record.lastShiftMs >= limits.forgetAfterMs;
    if (record.state !== "departing" && !stale) continue;
    draft.decide({
      kind: "forget",
      transitions: [{ verb: "forget", node: id }],
      reason: stale ? `${shortId(id)} has been gone for too long` : `${shortId(id)} has left`,
      inputs: { node: id, state: record.state },
    });
  }
}
