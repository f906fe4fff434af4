import { replicasOf, shortId, type LogBatch, type NodeId } from "@revoada/fabric";
import { encodeCanonical } from "../codec.ts";
import { isAlone, OfflineLog, refusal, type OfflineOptions } from "./offline-log.ts";

/**
 * Works out how the only voter of a cluster passes its place on to its next key. There is nobody to agree while it starts anew, and nobody
 * who has to: it is the majority. The old key signs the new one, the shift and the seal over it; the log's configuration follows.
 *
 * Rejects with `CLUSTER_OFFLINE_REFUSED` where others vote: a node among others rotates its key while it runs. Resolves with undefined
 * where the log says already that the next key is the only voter.
 */
export async function planLoneRotation(options: OfflineOptions, successor: NodeId): Promise<LogBatch | undefined> {
  const { attestor, recovered, nowMs, clusterId } = options;
  const node = attestor.identity.id;
  const offline = await OfflineLog.open(options);
  const { formation, timeMs } = offline.state;
  const voters = replicasOf(formation, "voter");
  if (voters.length === 1 && voters[0] === successor) return undefined;
  if (voters.length !== 1 || voters[0] !== node)
    throw refusal(`${shortId(node)} is not the only voter: start it, and rotate its key while it runs`);
  if (!isAlone(offline.configuration, node))
    throw refusal(`the log of ${shortId(node)} still names others that vote: start it until the log has followed`);
  if (formation.operators !== undefined)
    throw refusal("an operator has to approve of a next key, and nobody can while the only voter is stopped");
  const signature = attestor.signSuccession(clusterId, successor);
  const transitions = [
    { verb: "succeed", node: successor, predecessor: node, signature },
    { verb: "inherit", node: successor },
  ] as const;
  const reason = `${shortId(node)}, the only voter, is followed by ${shortId(successor)}, its next key`;
  const command = attestor.signCommand({
    version: 1,
    clusterId,
    baseGeneration: formation.generation,
    transitions,
    reason,
    decisionHash: attestor.hash(encodeCanonical({ transitions, reason })),
    timeMs: Math.max(Math.floor(nowMs), timeMs),
    proposer: node,
    term: offline.term,
  });
  offline.addCommand("formation", command);
  const { head } = offline.state;
  // Its last seal: the one that follows it counts as a voter only because of it.
  offline.addCommand(
    "seal",
    attestor.encodeSeal({ head, leader: node, signatures: [attestor.signHead(clusterId, head)] }),
  );
  const { generation, nodes } = offline.state.formation;
  const learners = [...nodes]
    .filter(([, record]) => record.replica === "learner")
    .map(([id, { storeId }]) => ({ id, storeId }));
  offline.addConfiguration({ voters: [{ id: successor, storeId: recovered.storeId }], learners, generation });
  return offline.batch(successor);
}
