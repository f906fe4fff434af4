import { loadOrCreateIdentity } from "@revoada/attest-blake3";
import { planLoneRotation } from "@revoada/cluster";
import { isFabricError, type NodeId } from "@revoada/fabric";
import { openStoppedNode } from "./stopped-node.ts";

/**
 * Rotates the key of a stopped node that is the only voter of its cluster. Whatever a crash leaves half done is finished by doing it
 * again. Rejects with `CLUSTER_OFFLINE_REFUSED` where others vote.
 */
export async function rotateLoneVoter(directory: string): Promise<{ readonly from: NodeId; readonly to: NodeId }> {
  await using node = await openStoppedNode(directory);
  const { data, file, offline, log } = node;
  const next = await loadOrCreateIdentity(data.paths.nextKey);
  const to = next.identity.id;
  try {
    const batch = await planLoneRotation(offline, to);
    if (batch !== undefined) await log.append(batch);
  } catch (error) {
    if (next.created && isFabricError(error, "CLUSTER_OFFLINE_REFUSED")) await data.dropNextKey();
    throw error;
  }
  // The log names the next key already: from here on the old one can do nothing any more.
  await data.writeNode({ ...file, node: to });
  await data.adoptNextKey();
  return { from: file.node, to };
}
