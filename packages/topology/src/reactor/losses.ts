import { shortId, type Member, type NodeId, type NodeRecord } from "@revoada/fabric";
import type { PolicyContext } from "../policies/policy.ts";
import { concerns, isRestarting, memberKeys, storeOf, type Observation } from "./situation.ts";

/** Marks as failed every node that is known dead in the life that the formation knows, voters first. Replicas keep their seats. */
export function evictLost({ draft, observation, limits }: PolicyContext): void {
  const votersFirst = [...observation.formation.nodes].toSorted(
    ([, a], [, b]) => Number(b.replica === "voter") - Number(a.replica === "voter"),
  );
  for (const [id, record] of votersFirst) {
    const member = observation.view.members.get(id);
    // Whoever departs is on its way out already: it is let go as soon as it holds no seat, dead or alive.
    if (record.state === "failed" || record.state === "departing") continue;
    if (id === observation.leader || member === undefined || !concerns(member, record)) continue;
    if (hasOtherDisk(member, record)) {
      draft.decide({
        kind: "evict",
        transitions: [{ verb: "evict", node: id }],
        reason: `${shortId(id)} lives on another disk: the one that it replicated to is lost`,
        inputs: { node: id, evidence: "disk", generation: member.generation, incarnation: member.incarnation },
      });
    }
    if (member.status !== "dead" || isRestarting(member, limits)) continue;
    draft.decide({
      kind: "evict",
      transitions: [{ verb: "evict", node: id }],
      reason: `${shortId(id)} is dead (${member.evidence ?? "silent"} evidence)`,
      inputs: {
        node: id,
        evidence: member.evidence ?? "silent",
        generation: member.generation,
        incarnation: member.incarnation,
      },
    });
  }
}

/**
 * True for a node that was started anew with another disk while nobody led who could have noticed its death: what the formation knows
 * as its replica is gone. It is taken back with the disk that it has now.
 */
function hasOtherDisk(member: Member, record: NodeRecord): boolean {
  const storeId = storeOf(member);
  if (member.status !== "alive" || member.generation <= record.generation) return false;
  return storeId !== undefined && storeId !== record.storeId;
}

/** Notes who said good-bye: it gives its seat up once another can take it. */
export function departLeft({ draft, observation }: PolicyContext): void {
  for (const [id, record] of draft.formation.nodes) {
    const member = observation.view.members.get(id);
    if (member?.status !== "left" || record.state === "failed" || record.state === "departing") continue;
    if (id === observation.leader || !concerns(member, record)) continue;
    draft.decide({
      kind: "depart",
      transitions: [{ verb: "depart", node: id }],
      reason: `${shortId(id)} left`,
      inputs: { node: id, generation: member.generation },
    });
  }
}

/** Takes failed nodes back that live again: with a newer start, or a newer incarnation of the same one. */
export function readmit({ draft, observation }: PolicyContext): void {
  for (const [id, record] of observation.formation.nodes) {
    const member = observation.view.members.get(id);
    if (record.state !== "failed" || member?.status !== "alive") continue;
    const newer =
      member.generation > record.generation ||
      (member.generation === record.generation && member.incarnation > record.incarnation);
    const storeId = storeOf(member);
    if (!newer || storeId === undefined) continue;
    draft.decide({
      kind: "readmit",
      transitions: [{ verb: "admit", node: id, admission: admissionOf(id, observation, storeId) }],
      reason: `${shortId(id)} is back`,
      inputs: {
        node: id,
        generation: member.generation,
        incarnation: member.incarnation,
        sameStore: storeId === record.storeId,
      },
    });
  }
}

function admissionOf(id: NodeId, { view, formation }: Observation, storeId: ReturnType<typeof storeOf> & string) {
  const member = view.members.get(id);
  const record = formation.nodes.get(id);
  return {
    storeId,
    generation: member?.generation ?? 0,
    incarnation: member?.incarnation ?? 0,
    zone: boundedText(member?.keys.get(memberKeys.zone) ?? record?.zone ?? ""),
    version: boundedText(member?.keys.get(memberKeys.version) ?? record?.version ?? ""),
  };
}

/** What a node says of itself goes into the log and is signed there: printable and short, whatever it says. */
function boundedText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, "").slice(0, 64);
}
