import type { ClusterId, Hash, NodeId, NodeRecord, SignatureVerifier } from "@revoada/fabric";
import { genesisFormation, shortId } from "@revoada/fabric";
import type { HeaderFields } from "./block.ts";
import { readHeader } from "./block.ts";
import { equalBytes } from "./canonical.ts";
import type { StateFields } from "./chain-state.ts";
import { stateCommitter } from "./chain-state.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { openCommand, shiftsNode } from "./command.ts";
import { decodingAt, faultOf, refuse } from "./faults.ts";
import { openGenesis } from "./genesis.ts";
import { hashOf, hexOf, idBytes } from "./hash.ts";
import { rootFromPath } from "./history.ts";
import { rootFromWay } from "./id-tree.ts";
import type { ProofParts, ProofVerdict, ProvenHeader, ProvenShift, ProvenWay } from "./proof.ts";
import { readProof } from "./proof.ts";
import { countSealers, readSeal } from "./seal.ts";
import { readNodeRecord, readStateRecord } from "./state-record.ts";
import type { VerifyOptions } from "./verify-options.ts";

type ReadHeader = HeaderFields & { readonly hash: Hash };

/** The block whose history everything else in the proof is judged by. */
interface Anchor {
  readonly header: ReadHeader;
  readonly rests: "genesis" | "keys" | "checkpoint";
}

/**
 * Judges a proof of what a node was at a moment by its bytes and the cluster id, or by keys or a checkpoint that the verifier trusts. Never
 * throws for any bytes.
 */
export function verifyProofWith(
  bytes: Uint8Array,
  clusterId: ClusterId,
  verifier: SignatureVerifier,
  options: VerifyOptions = {},
): ProofVerdict {
  try {
    return judge(readProof(bytes), clusterId, verifier, options);
  } catch (error) {
    return { ok: false, fault: faultOf(error, 0) };
  }
}

function judge(
  proof: ProofParts,
  clusterId: ClusterId,
  verifier: SignatureVerifier,
  options: VerifyOptions,
): ProofVerdict {
  const genesis = openGenesis(proof.genesis, verifier);
  if (genesis.clusterId !== clusterId)
    refuse("wrong-cluster", 0, `this is a proof about ${genesis.clusterId}, expected ${clusterId}`);
  if (proof.atMs < genesis.createdMs) refuse("unproven", 0, `the cluster was founded after ${proof.atMs}`);
  const anchor = anchorOf(proof, clusterId, verifier, options);
  const place = placeAt(proof, genesis, anchor);
  const until = untilOf(proof, place, anchor);
  const { node } = proof;
  const record = recordOf(proof, place);
  const removed =
    record === undefined &&
    inTree(node, proof.tombstone, place.state.tombstonesRoot, place.height, "tombstones") !== undefined;
  const shift =
    proof.shift === undefined ? undefined : shiftOf(proof, { ...anchor, clusterId, verifier }, place, record);
  return {
    ok: true,
    clusterId,
    node,
    atMs: proof.atMs,
    ...(record === undefined ? {} : { record }),
    removed,
    generation: place.state.generation,
    height: place.height,
    fromMs: place.state.timeMs,
    ...(until === undefined ? {} : { untilMs: until }),
    sealed: { height: anchor.header.height, hash: anchor.header.hash },
    rests: anchor.rests,
    ...(shift === undefined ? {} : { shift }),
  };
}

/** Goes from what is trusted to the last hop: each is sealed by a majority of those whom the one before it lets seal. */
function anchorOf(
  proof: ProofParts,
  clusterId: ClusterId,
  verifier: SignatureVerifier,
  { trust, from }: VerifyOptions,
): Anchor {
  const read = proof.hops.map(({ header, state, seal }, index) => {
    const fields = readHeader(header, 0);
    return { fields, state: committedState(fields, state), seal: readSeal(seal, fields.height), index };
  });
  const last = read[read.length - 1];
  if (last === undefined) return refuse("untrusted", 0, "the proof holds no sealed block");
  for (const { fields, seal } of read) {
    if (seal.head.height !== fields.height || seal.head.hash !== fields.hash)
      refuse("bad-seal", fields.height, "the seal is over another block");
  }
  const sealedBy = (hop: (typeof read)[number], keys: ReadonlySet<NodeId>): boolean =>
    countSealers(hop.seal, clusterId, keys, verifier) * 2 > keys.size;
  if (trust !== undefined) {
    if (!sealedBy(last, new Set(trust)))
      refuse("untrusted", last.fields.height, `no majority of the ${trust.length} trusted keys sealed it`);
    return { header: last.fields, rests: "keys" };
  }
  const opened = from === undefined ? undefined : openCheckpoint(from, verifier);
  if (opened !== undefined && opened.genesis.clusterId !== clusterId)
    refuse("wrong-checkpoint", 0, `the checkpoint is of cluster ${opened.genesis.clusterId}`);
  if (opened?.head.hash === last.fields.hash) return { header: last.fields, rests: "checkpoint" };
  let voters: ReadonlySet<NodeId> = new Set(
    opened === undefined
      ? [openGenesis(proof.genesis, verifier).founder]
      : votersOf(opened.parts.state.formation.nodes),
  );
  let height = opened?.head.height ?? 0;
  for (const hop of read) {
    if (hop.fields.height <= height) {
      refuse("bad-seal", hop.fields.height, `it does not lie above height ${height}, where the proof begins`);
    }
    if (!sealedBy(hop, voters))
      refuse("bad-seal", hop.fields.height, `no majority of the ${voters.size} voters in force sealed it`);
    height = hop.fields.height;
    voters = new Set(hop.state.voters);
  }
  return { header: last.fields, rests: opened === undefined ? "genesis" : "checkpoint" };
}

function votersOf(nodes: ReadonlyMap<NodeId, NodeRecord>): readonly NodeId[] {
  return [...nodes].filter(([, { replica }]) => replica === "voter").map(([id]) => id);
}

/** The state that a block commits to, which its record must be of. */
function committedState({ height, generation, commitment }: HeaderFields, record: Uint8Array): StateFields {
  if (commitment?.state !== hashOf(record)) refuse("wrong-commitment", height, "the block commits to another state");
  const state = decodingAt(height, "malformed", () => readStateRecord(record));
  if (state.generation !== generation) refuse("generation-gap", height, "the state is of another generation");
  return state;
}

/** A header that is one of the blocks that the anchor vouches for. */
function vouchedFor({ header, path }: ProvenHeader, anchor: Anchor): ReadHeader {
  const fields = readHeader(header, 0);
  const { height, hash, commitment } = anchor.header;
  if (fields.height === height && fields.hash === hash && path.length === 0) return fields;
  const root = rootFromPath(fields.hash, fields.height, height, path);
  if (root === undefined || root !== commitment?.history)
    refuse("broken-link", fields.height, `the sealed block ${height} does not vouch for it`);
  return fields;
}

interface Place {
  readonly height: number;
  readonly hash: Hash;
  readonly state: StateFields;
}

function placeAt(proof: ProofParts, genesis: ReturnType<typeof openGenesis>, anchor: Anchor): Place {
  if (proof.last === undefined) {
    const formation = genesisFormation({ ...genesis, id: genesis.founder });
    const { record } = stateCommitter().commit({ formation, timeMs: genesis.createdMs, recoveries: [] });
    return { height: 0, hash: genesis.clusterId as string as Hash, state: readStateRecord(record) };
  }
  const header = vouchedFor(proof.last, anchor);
  const state = committedState(header, proof.last.state);
  if (state.timeMs > proof.atMs)
    refuse("unproven", header.height, `the state is of ${state.timeMs}, which is later than ${proof.atMs}`);
  return { height: header.height, hash: header.hash, state };
}

/** When the next command came; undefined where the proof shows none, which is fair only where nothing above is sealed. */
function untilOf(proof: ProofParts, place: Place, anchor: Anchor): number | undefined {
  const { next } = proof;
  if (next === undefined) {
    if (place.height !== anchor.header.height)
      refuse("unproven", place.height, `blocks follow up to ${anchor.header.height}, and the proof shows none of them`);
    return undefined;
  }
  const first = vouchedFor(next.first, anchor);
  const end = vouchedFor(next.end, anchor);
  if (first.height !== place.height + 1 || first.previous !== place.hash)
    refuse("broken-link", first.height, "it does not follow upon the state that is shown");
  if (first.commandHash !== end.commandHash || first.index !== end.index || end.height < first.height)
    refuse("out-of-order", end.height, "it does not end the command that follows");
  const { timeMs } = committedState(end, next.end.state);
  if (timeMs <= proof.atMs) refuse("unproven", end.height, `it is of ${timeMs}, which is not later than ${proof.atMs}`);
  return timeMs;
}

function inTree(
  node: NodeId,
  way: ProvenWay,
  root: Hash | undefined,
  height: number,
  what: string,
): Uint8Array | undefined {
  if (way === undefined) {
    if (root !== undefined) refuse("unproven", height, `no way through the ${what} is shown`);
    return undefined;
  }
  const id = idBytes(node, 32);
  const found = rootFromWay(id, way, way.steps);
  if (found === undefined || hexOf(found) !== root)
    refuse("wrong-commitment", height, `the way through the ${what} leads elsewhere`);
  return equalBytes(way.id, id) ? way.value : undefined;
}

function recordOf(proof: ProofParts, { state, height }: Place): NodeRecord | undefined {
  const value = inTree(proof.node, proof.way, state.nodesRoot, height, "nodes");
  return value === undefined ? undefined : decodingAt(height, "malformed", () => readNodeRecord(value));
}

function shiftOf(
  proof: ProofParts,
  anchor: Anchor & { readonly clusterId: ClusterId; readonly verifier: SignatureVerifier },
  at: Place,
  record: NodeRecord | undefined,
): ProvenShift {
  const { command: bytes, ...proven } = proof.shift as NonNullable<ProofParts["shift"]>;
  const header = vouchedFor(proven, anchor);
  const { height, hash } = header;
  if (hashOf(bytes) !== header.commandHash)
    refuse("malformed", height, "the command is not the one that the block names");
  const command = openCommand(bytes, anchor.verifier, height);
  if (command.clusterId !== anchor.clusterId) refuse("wrong-cluster", height, "the command is for another cluster");
  const transition = command.transitions[header.ordinal];
  if (transition === undefined || !shiftsNode(transition, proof.node))
    refuse("unproven", height, `the transition is not one of ${shortId(proof.node)}`);
  if (height > at.height || (record !== undefined && command.timeMs > record.lastShiftMs))
    refuse("unproven", height, "the command is later than what the node was then");
  const { verb } = transition;
  return { height, hash, verb, reason: command.reason, proposer: command.proposer, timeMs: command.timeMs };
}
