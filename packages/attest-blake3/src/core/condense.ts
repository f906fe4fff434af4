import type { ChainBase, ChainHop, ClusterId, SignatureVerifier } from "@revoada/fabric";
import type { ChainRecord } from "./chain-file.ts";
import { encodeChainFile } from "./chain-file.ts";
import type { CommittedState } from "./chain-state.ts";
import { ChainVerifier, committedBy } from "./chain-verifier.ts";
import { readCheckpoint } from "./checkpoint.ts";
import { faultOf, refuse } from "./faults.ts";
import { genesisOfCheckpoint } from "./checkpoint.ts";
import { hashOf } from "./hash.ts";
import { encodeHop, openHop } from "./hop.ts";
import { ChainInvalidError } from "../errors.ts";

/** A stretch of a chain: blocks, seals and cosignatures that go on from genesis, or from a checkpoint. */
export interface ChainStretch {
  readonly genesis: Uint8Array;
  readonly from?: Uint8Array;
  readonly records: readonly ChainRecord[];
}

const anySignature: SignatureVerifier = { verify: () => true };

/**
 * What a stretch of a chain comes to, for whoever has verified it before: signatures are not checked again, everything else is. Throws `CHAIN_INVALID`,
 * with `unproven` where nobody could go on from its end: it has to be sealed, the end of a command, and no recovery.
 */
export function condenseChain({ genesis, from, records }: ChainStretch): ChainBase {
  const clusterId = hashOf(genesis) as string as ClusterId;
  const options = { clusterId, verifier: anySignature, believes: (): boolean => true };
  const verifier = from === undefined ? new ChainVerifier({ ...options, genesis }) : ChainVerifier.from(from, options);
  const hops: ChainHop[] = [];
  const progress = { height: verifier.head().height };
  try {
    for (const record of records) {
      progress.height = verifier.head().height + 1;
      const hop = hopAfter(verifier, record);
      if (hop !== undefined) hops.push(hop);
    }
  } catch (error) {
    if (error instanceof ChainInvalidError) throw error;
    throw new ChainInvalidError(faultOf(error, progress.height), { cause: error });
  }
  const head = verifier.head();
  const checkpoint = verifier.checkpoint();
  if (checkpoint === undefined || readCheckpoint(checkpoint).head.height !== head.height)
    return refuse("unproven", head.height, "nobody could go on from there: no seal covers the end of a command there");
  return { head, checkpoint, hops };
}

/** Takes one record; the hop, where others seal from there on. */
function hopAfter(verifier: ChainVerifier, { kind, bytes }: ChainRecord): ChainHop | undefined {
  const before = verifier.sealVoters();
  if (kind === "seal") verifier.addSeal(bytes);
  else if (kind === "cosignature") verifier.addCosignature(bytes);
  else if (kind === "block") verifier.addBlock(bytes);
  else refuse("malformed", verifier.head().height, `a ${kind} in a stretch of blocks`);
  if (verifier.sealVoters() === before) return undefined;
  const { height } = verifier.head();
  const header = verifier.headHeader();
  const committed: CommittedState | undefined = committedBy(verifier);
  if (header === undefined || committed === undefined || verifier.blocksToCome() > 0)
    return refuse("unproven", height, "others seal from there on, and no state is committed to there");
  const hop = encodeHop({ header, state: committed.record, seal: kind === "seal" ? bytes : undefined });
  // The seal may be over a block below the head: then it proves nothing of this one.
  openHop(hop, height);
  return { height, bytes: hop };
}

/** The file of a segment: what it goes on from, what it holds, and the checkpoint that it comes to. */
export function encodeArchive(stretch: ChainStretch & { readonly to: Uint8Array }): Uint8Array {
  const { genesis, from, records, to } = stretch;
  const first: ChainRecord =
    from === undefined ? { kind: "genesis", bytes: genesis } : { kind: "checkpoint", bytes: from };
  if (from !== undefined && hashOf(genesisOfCheckpoint(from)) !== hashOf(genesis))
    refuse("wrong-cluster", 0, "the checkpoint is of another cluster");
  return encodeChainFile([first, ...records, { kind: "checkpoint", bytes: to }]);
}
