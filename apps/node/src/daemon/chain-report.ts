import { ChainVerifier, ed25519Verifier } from "@revoada/attest-blake3";
import { declarationId, type Decision } from "@revoada/cluster";
import type { Attestor, ClusterId, FormationCommand, NodeId, Transition } from "@revoada/fabric";

/** One block, as `chain show` tells it. */
export interface BlockLine {
  readonly height: number;
  readonly hash: string;
  readonly term: number;
  readonly index: number;
  readonly ordinal: number;
  readonly verb: string;
  readonly node: string;
  readonly role?: string;
  readonly replica?: string;
  /** Whose next key this node is, where that was named here. */
  readonly predecessor?: string;
  /** What the cluster was declared to be here. */
  readonly declaration?: string;
  readonly reason: string;
  readonly proposer: string;
  readonly timeMs: number;
  /** What was decided and on which facts, where this node keeps that. */
  readonly decision?: { readonly kind: string; readonly inputs: Decision["inputs"] };
  /** True where a seal stands right behind it. */
  readonly sealed: boolean;
  /**
   * Where the cluster has operator keys: an operator approved of it beforehand, vouches for it by a signature over it or above it, or is
   * awaited.
   */
  readonly operator?: "approved" | "signed" | "awaited";
}

/** What `chain.show` answers: the sealed chain, verified while it is read. */
export interface ChainReport {
  readonly cluster: string;
  readonly founder: string;
  readonly createdMs: number;
  readonly height: number;
  readonly sealedHeight: number;
  /** The blocks up to here are archived, and not shown; 0 where all are. */
  readonly archivedHeight: number;
  /** The nodes that belonged to the formation there, or had been removed before. */
  readonly nodes: readonly NodeId[];
  readonly blocks: readonly BlockLine[];
}

/** Reads a chain block by block and seal by seal. Throws `CHAIN_INVALID` where it does not verify. */
export function describeChain(
  attestor: Attestor,
  clusterId: ClusterId,
  parts: {
    readonly genesis: Uint8Array;
    readonly base?: { readonly hops: readonly Uint8Array[]; readonly checkpoint: Uint8Array };
    readonly blocks: readonly Uint8Array[];
    readonly seals: readonly Uint8Array[];
  },
  decisionOf: (command: FormationCommand) => Decision | undefined = () => undefined,
  operatorSignedHeight = 0,
): ChainReport {
  // The node's own chain: what happened to its cluster is shown, and was believed before.
  const believes = (): boolean => true;
  const verifier = new ChainVerifier({ genesis: parts.genesis, clusterId, verifier: ed25519Verifier(), believes });
  for (const hop of parts.base?.hops ?? []) verifier.addHop(hop);
  if (parts.base !== undefined) verifier.addCheckpoint(parts.base.checkpoint);
  const archivedHeight = verifier.head().height;
  const { nodes, tombstones } = verifier.formation();
  const seals = new Map(parts.seals.map((bytes) => [attestor.readSeal(bytes).head.height, bytes]));
  const blocks = parts.blocks.map((bytes): BlockLine => {
    const { height, hash, term, index, ordinal, command, transition } = verifier.addBlock(bytes);
    const seal = seals.get(height);
    if (seal !== undefined) verifier.addSeal(seal);
    const { reason, proposer, timeMs } = command;
    const { verb, node } = transition;
    const decision = decisionOf(command);
    return {
      height,
      hash,
      term,
      index,
      ordinal,
      verb,
      node,
      ...placeOf(transition),
      reason,
      proposer,
      timeMs,
      ...(decision === undefined ? {} : { decision: { kind: decision.kind, inputs: decision.inputs } }),
      sealed: seal !== undefined,
      ...(verifier.formation().operators === undefined
        ? {}
        : { operator: operatorOf(height, command, operatorSignedHeight) }),
    };
  });
  const { genesis } = verifier;
  return {
    cluster: clusterId,
    founder: genesis.founder,
    createdMs: genesis.createdMs,
    height: verifier.head().height,
    sealedHeight: verifier.sealed()?.height ?? 0,
    archivedHeight,
    nodes: [...nodes.keys(), ...tombstones],
    blocks,
  };
}

function operatorOf(
  height: number,
  { approval }: FormationCommand,
  signedHeight: number,
): "approved" | "signed" | "awaited" {
  if (approval !== undefined) return "approved";
  return height <= signedHeight ? "signed" : "awaited";
}

function placeOf(transition: Transition): Pick<BlockLine, "role" | "replica" | "predecessor" | "declaration"> {
  switch (transition.verb) {
    case "promote":
    case "reassign":
      return { role: transition.role, ...(transition.replica === undefined ? {} : { replica: transition.replica }) };
    case "seat":
      return { replica: transition.replica };
    case "admit":
      return transition.admission.limitedTo === undefined ? {} : { role: transition.admission.limitedTo };
    case "declare":
      return { declaration: declarationId(transition.declaration) };
    case "succeed":
      return { predecessor: transition.predecessor };
    default:
      return {};
  }
}

/** What `formation.explain` answers: the shifts of one node, the latest last. */
export interface ExplainReport {
  readonly node: NodeId;
  /** Shifts up to this height are archived, and not among these. */
  readonly archivedHeight: number;
  readonly blocks: readonly BlockLine[];
}
