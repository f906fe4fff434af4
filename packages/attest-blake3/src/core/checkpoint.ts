import type {
  ChainHead,
  ChainState,
  ChainTip,
  Formation,
  Generation,
  Genesis,
  Hash,
  NodeId,
  NodeRecord,
  Seal,
  SignatureVerifier,
} from "@revoada/fabric";
import { maxOperators } from "@revoada/fabric";
import { NotCanonicalError } from "../errors.ts";
import type { HeaderFields } from "./block.ts";
import { readHeader } from "./block.ts";
import type { CanonicalValue } from "./canonical.ts";
import { encodeCanonical } from "./canonical.ts";
import { encodeDeclared, encodeNodeRecord, encodeOperators, encodeRecoveries, stateCommitter } from "./chain-state.ts";
import { decodingAt, refuse } from "./faults.ts";
import { domainOf, FieldList, idList, openRecord } from "./fields.ts";
import { openGenesis } from "./genesis.ts";
import { idBytes } from "./hash.ts";
import { historyRoot, peakCount } from "./history.ts";
import {
  maxCheckpointBytes,
  maxCheckpointNodes,
  maxDeclarationBytes,
  maxGenesisBytes,
  maxHeaderBytes,
  maxNodeRecordBytes,
  maxSealBytes,
  maxSealSignatures,
} from "./limits.ts";
import { checkSeal, readSeal } from "./seal.ts";
import { pairsOf, readDeclared, readNodeRecord } from "./state-record.ts";

/** Where a verifier may stop and another go on: a sealed head at the end of a command, with all that the chain has led to there. */
export interface CheckpointParts {
  readonly genesis: Uint8Array;
  /** The header of the sealed block. */
  readonly header: Uint8Array;
  /** The peaks over the blocks below it. */
  readonly history: readonly Hash[];
  readonly state: ChainState;
  readonly seal: Uint8Array;
  /** Who had to sign that seal. */
  readonly sealers: readonly NodeId[];
}

/** A checkpoint whose parts fit together. Whether it is of *the* chain follows from where it came from, or from who sealed it. */
export interface OpenedCheckpoint {
  readonly genesis: Genesis;
  readonly head: ChainTip;
  readonly header: HeaderFields;
  readonly parts: CheckpointParts;
  readonly seal: Seal;
}

export function encodeCheckpoint(parts: CheckpointParts): Uint8Array {
  const { formation, timeMs, recoveries } = parts.state;
  const state: Record<keyof Formation, CanonicalValue> = {
    generation: formation.generation,
    nodes: [...formation.nodes]
      .toSorted(([left], [right]) => (left < right ? -1 : 1))
      .map(([id, record]) => [idBytes(id, 32), encodeNodeRecord(record)]),
    tombstones: [...formation.tombstones].toSorted().map((id) => idBytes(id, 32)),
    declared: formation.declared === undefined ? null : encodeDeclared(formation.declared),
    operators: formation.operators === undefined ? null : encodeOperators(formation.operators),
  };
  return encodeCanonical([
    domainOf("checkpoint"),
    parts.genesis,
    parts.header,
    parts.history.map((hash) => idBytes(hash, 32)),
    parts.seal,
    parts.sealers.map((id) => idBytes(id, 32)),
    timeMs,
    ...Object.values(state),
    encodeRecoveries(recoveries),
  ]);
}

/**
 * Decodes a checkpoint and checks that it is whole: its header commits to its history and to its state, and those whom it names as sealers
 * signed that header for this cluster. Throws `CHAIN_INVALID`.
 */
export function openCheckpoint(bytes: Uint8Array, verifier: SignatureVerifier): OpenedCheckpoint {
  const parts = decodingAt(0, "malformed", () => readParts(bytes));
  const genesis = openGenesis(parts.genesis, verifier);
  const header = readHeader(parts.header, 0);
  const { height, hash, commitment } = header;
  if (commitment === undefined) refuse("wrong-commitment", height, "the checkpoint's block commits to no state");
  if (parts.history.length !== peakCount(height) || historyRoot(parts.history) !== commitment.history)
    refuse("wrong-commitment", height, "the checkpoint's block commits to another history");
  if (
    parts.state.formation.generation !== header.generation ||
    stateCommitter().commit(parts.state).root !== commitment.state
  )
    refuse("wrong-commitment", height, "the checkpoint's block commits to another state");
  const seal = readSeal(parts.seal, height);
  if (seal.head.height !== height || seal.head.hash !== hash)
    refuse("bad-seal", height, "the checkpoint's seal is over another block");
  checkSeal(seal, genesis.clusterId, new Set(parts.sealers), verifier);
  return { genesis, head: { height, hash, history: parts.history }, header, parts, seal };
}

/** What a checkpoint says, without judging more than its form: its parts, and which block it is of. Throws `CHAIN_INVALID`. */
export function readCheckpoint(bytes: Uint8Array): { readonly head: ChainHead; readonly parts: CheckpointParts } {
  const parts = decodingAt(0, "malformed", () => readParts(bytes));
  const { height, hash } = readHeader(parts.header, 0);
  return { head: { height, hash }, parts };
}

/** The genesis that a checkpoint holds, without judging anything. Throws `CHAIN_INVALID`. */
export function genesisOfCheckpoint(bytes: Uint8Array): Uint8Array {
  return decodingAt(0, "malformed", () => readParts(bytes).genesis);
}

function readParts(bytes: Uint8Array): CheckpointParts {
  const fields = openRecord(bytes, "checkpoint", { maxBytes: maxCheckpointBytes });
  const genesis = fields.bytes("genesis", { least: 1, most: maxGenesisBytes });
  const header = fields.bytes("header", { least: 1, most: maxHeaderBytes });
  const peaks = fields.list("history", { least: 1, most: 53 });
  const history = peaks.map((peak) => new FieldList([peak], "checkpoint.history").id<Hash>("peak", 32));
  const seal = fields.bytes("seal", { least: 1, most: maxSealBytes });
  const sealers = idList<NodeId>(
    fields.list("sealers", { least: 1, most: maxSealSignatures }),
    32,
    "checkpoint.sealers",
  );
  const timeMs = fields.counter("timeMs");
  const generation = fields.counter("generation") as Generation;
  const nodes = readNodes(fields.list("nodes", { least: 1, most: maxCheckpointNodes }));
  const buried = fields.list("tombstones", { least: 0, most: maxCheckpointNodes });
  const tombstones = new Set(idList<NodeId>(buried, 32, "checkpoint.tombstones"));
  const declared = fields.optionalView("declared", { least: 1, most: 2 * maxDeclarationBytes + 64 });
  const operators = fields.optionalView("operators", { least: 1, most: maxOperators * 64 });
  const recoveries = readRecoveries(fields.view("recoveries", { least: 1, most: maxCheckpointBytes }));
  fields.finish();
  const formation: Formation = {
    generation,
    nodes,
    tombstones,
    ...(declared === undefined ? {} : { declared: readDeclared(declared) }),
    ...(operators === undefined ? {} : { operators: readOperators(operators) }),
  };
  return { genesis, header, history, seal, sealers, state: { formation, timeMs, recoveries } };
}

function readNodes(pairs: readonly CanonicalValue[]): ReadonlyMap<NodeId, NodeRecord> {
  const nodes = new Map<NodeId, NodeRecord>();
  for (const [index, pair] of pairs.entries()) {
    const fields = new FieldList(pair, `checkpoint.nodes[${index}]`);
    const id = fields.id<NodeId>("id", 32);
    if (nodes.has(id)) throw new NotCanonicalError("checkpoint.nodes: one id stands twice");
    nodes.set(id, readNodeRecord(fields.view("record", { least: 1, most: maxNodeRecordBytes })));
    fields.finish();
  }
  return nodes;
}

function readOperators(bytes: Uint8Array): ReadonlyMap<NodeId, Generation> {
  const operators = pairsOf(bytes, maxOperators * 64, "checkpoint.operators").map((pair) => {
    const entry = [pair.id<NodeId>("id", 32), pair.counter("since") as Generation] as const;
    pair.finish();
    return entry;
  });
  return new Map(operators);
}

function readRecoveries(bytes: Uint8Array): readonly ChainHead[] {
  return pairsOf(bytes, maxCheckpointBytes, "checkpoint.recoveries").map((pair) => {
    const head = { height: pair.counter("height", 1), hash: pair.id<Hash>("hash", 32) };
    pair.finish();
    return head;
  });
}
