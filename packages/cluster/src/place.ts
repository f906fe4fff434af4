import type { ConsensusStatus, Formation } from "@revoada/fabric";

/**
 * True where a node has a place in the log, by the log itself and by the newest formation that it can prove: a log that was cut off before
 * its seat was given away still believes in it.
 */
export function hasPlace(
  { id, role }: Pick<ConsensusStatus, "id" | "role">,
  { nodes }: Pick<Formation, "nodes">,
): boolean {
  return role !== "outsider" && nodes.get(id)?.replica !== "none";
}
