import {
  replicasOf,
  shortId,
  type Configuration,
  type Formation,
  type Generation,
  type LogBatch,
  type NodeId,
} from "@revoada/fabric";
import { encodeCanonical } from "../codec.ts";
import { isAlone, OfflineLog, refusal, type OfflineOptions } from "./offline-log.ts";

/** What going on alone would mean, worked out and not done. */
export interface RecoveryPlan {
  readonly node: NodeId;
  /** The formation as it stands at the end of this node's log. */
  readonly formation: Formation;
  /** The log's configuration there: who could agree without this act. */
  readonly configuration: Configuration;
  /** Who voted. */
  readonly voters: readonly NodeId[];
  /** Everybody who is given up, and must never come back as what they were. */
  readonly lost: readonly NodeId[];
  /** The end of the log that is gone on from. */
  readonly lastIndex: number;
  /** The last entry that this node knew to be committed: what lies between may have been refused elsewhere. */
  readonly commitIndex: number;
  /** For the end of this node's log, as one batch. */
  readonly batch: LogBatch;
}

/**
 * Works out how a node goes on alone after a majority of the voters was lost for good: a configuration that holds it alone, and a signed
 * command, so that the chain says for ever what happened. All that its log holds is kept, known to be committed or not.
 *
 * It is safe only where those who are lost never come back with their disks: they could go on without this node, and there would be
 * two clusters of one name. Rejects with `CLUSTER_OFFLINE_REFUSED`.
 */
export async function planRecovery(options: OfflineOptions): Promise<RecoveryPlan> {
  const { attestor, recovered, nowMs, clusterId } = options;
  const node = attestor.identity.id;
  const offline = await OfflineLog.open(options);
  const { formation, timeMs } = offline.state;
  const { configuration } = offline;
  const record = formation.nodes.get(node);
  if (record === undefined) throw refusal(`${shortId(node)} is not in the formation`);
  if (record.replica === "none") throw refusal(`${shortId(node)} holds no copy of the log: recover on one that does`);
  if (record.storeId !== recovered.storeId)
    throw refusal(`the formation knows ${shortId(node)} with store ${record.storeId}, its log is ${recovered.storeId}`);
  const voters = replicasOf(formation, "voter");
  const lost = [...formation.nodes.keys()].filter((id) => id !== node).toSorted();
  // By the log too: where it has not followed yet, those that it names could still be needed.
  if (voters.length === 1 && voters[0] === node && isAlone(configuration, node))
    throw refusal(`${shortId(node)} is the only voter: nothing keeps it from going on`);
  // The configuration first: the machine takes the command only in a log that names nobody else.
  const generation = (formation.generation + 1) as Generation;
  offline.addConfiguration({ voters: [{ id: node, storeId: recovered.storeId }], learners: [], generation });
  const transitions = [{ verb: "recover", node }] as const;
  const reason = `an operator recovers from a lost majority: ${shortId(node)} goes on without ${lost.length} others`;
  const command = attestor.signCommand({
    version: 1,
    clusterId,
    baseGeneration: formation.generation,
    transitions,
    reason,
    decisionHash: attestor.hash(encodeCanonical({ transitions, reason, lost })),
    timeMs: Math.max(Math.floor(nowMs), timeMs),
    proposer: node,
    term: offline.term,
  });
  offline.addCommand("formation", command);
  const { lastIndex, hardState } = recovered;
  const commitIndex = Math.min(hardState.commitIndex, lastIndex);
  return { node, formation, configuration, voters, lost, lastIndex, commitIndex, batch: offline.batch(node) };
}
