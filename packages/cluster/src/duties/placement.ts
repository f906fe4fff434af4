import type { Formation, NodeId, NodeRecord } from "@revoada/fabric";

/** `none`: it may not do duties. `keeps`: it goes on with those that it has and takes no singleton anew. `takes`: it may do all. */
export type DutyStanding = "none" | "keeps" | "takes";

/** What the committed formation lets a node do: active masters do duties, a cordoned one takes on nothing new. */
export function dutyStanding(record: NodeRecord | undefined): DutyStanding {
  if (record?.state !== "active" || record.role !== "master" || record.replica === "none") return "none";
  if (record.flags.includes("quarantined")) return "none";
  return record.flags.includes("cordoned") ? "keeps" : "takes";
}

/** FNV-1a, 32 bits: spreads duties over nodes, and proves nothing. */
function spread(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  // The last characters have to reach the high bits as well.
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/**
 * How many others go first where a singleton is free: 0 for the one that takes it at once. Each node comes to the same order by itself,
 * from the formation alone, and each duty has another order, so that they spread.
 */
export function dutyRank(formation: Formation, duty: string, self: NodeId): number {
  const candidates = [...formation.nodes]
    .filter(([, record]) => dutyStanding(record) === "takes")
    .map(([id]) => ({ id, weight: spread(`${duty}/${id}`) }))
    .toSorted((a, b) => b.weight - a.weight || (a.id < b.id ? -1 : 1));
  return Math.max(
    0,
    candidates.findIndex(({ id }) => id === self),
  );
}
