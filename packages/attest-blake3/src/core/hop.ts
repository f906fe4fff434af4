import type { ChainHead, ClusterId, NodeId, Seal, SignatureVerifier } from "@revoada/fabric";
import { shortId } from "@revoada/fabric";
import type { HeaderFields } from "./block.ts";
import { readHeader } from "./block.ts";
import { encodeCanonical } from "./canonical.ts";
import type { StateFields } from "./chain-state.ts";
import { decodingAt, refuse } from "./faults.ts";
import { domainOf, openRecord } from "./fields.ts";
import { hashOf } from "./hash.ts";
import { maxHeaderBytes, maxHopBytes, maxSealBytes, maxStateBytes } from "./limits.ts";
import { checkSeal, readSeal } from "./seal.ts";
import { readStateRecord } from "./state-record.ts";

/**
 * A block after which others seal, without its command: what whoever followed the chain up to any block before needs in order to know whose seals
 * count above it. A recovery has no seal of those before it; its hop has none either.
 */
export interface HopParts {
  readonly header: Uint8Array;
  /** The state record that the header commits to. */
  readonly state: Uint8Array;
  readonly seal: Uint8Array | undefined;
}

/** A hop whose parts fit together; whether its seal counts is judged by {@link checkHop}. */
export interface OpenedHop {
  readonly head: ChainHead;
  readonly header: HeaderFields;
  readonly state: StateFields;
  readonly seal: Seal | undefined;
  readonly parts: HopParts;
}

export function encodeHop({ header, state, seal }: HopParts): Uint8Array {
  return encodeCanonical([domainOf("hop"), header, state, seal ?? null]);
}

/** Decodes a hop and checks that its header commits to its state and that its seal is over its header. Throws `CHAIN_INVALID`. */
export function openHop(bytes: Uint8Array, height = 0): OpenedHop {
  const parts = decodingAt(height, "malformed", (): HopParts => {
    const fields = openRecord(bytes, "hop", { maxBytes: maxHopBytes });
    const header = fields.bytes("header", { least: 1, most: maxHeaderBytes });
    const state = fields.bytes("state", { least: 1, most: maxStateBytes });
    const seal = fields.optionalBytes("seal", { least: 1, most: maxSealBytes });
    fields.finish();
    return { header, state, seal };
  });
  const header = readHeader(parts.header, height);
  const head = { height: header.height, hash: header.hash };
  if (header.commitment?.state !== hashOf(parts.state))
    refuse("wrong-commitment", head.height, "the hop's block commits to another state");
  const state = decodingAt(head.height, "malformed", () => readStateRecord(parts.state));
  if (state.generation !== header.generation)
    refuse("generation-gap", head.height, "the hop's state is of another generation");
  const seal = parts.seal === undefined ? undefined : readSeal(parts.seal, head.height);
  if (seal !== undefined && (seal.head.height !== head.height || seal.head.hash !== head.hash))
    refuse("bad-seal", head.height, "the hop's seal is over another block");
  return { head, header, state, seal, parts };
}

/**
 * Refuses a hop unless those who seal before it have sealed it; one without a seal is a recovery, which is refused unless it may be believed.
 */
export function checkHop(
  { head, state, seal }: OpenedHop,
  trusted: {
    readonly clusterId: ClusterId;
    readonly voters: ReadonlySet<NodeId>;
    readonly verifier: SignatureVerifier;
    readonly believes: (recovery: ChainHead) => boolean;
  },
): void {
  if (seal !== undefined) {
    checkSeal(seal, trusted.clusterId, trusted.voters, trusted.verifier);
    return;
  }
  const [alone, ...others] = state.voters;
  if (alone === undefined || others.length > 0)
    refuse("bad-seal", head.height, "nobody sealed the hop, and it leaves more than one voter");
  if (!trusted.believes(head))
    refuse(
      "unbelieved-recovery",
      head.height,
      `${shortId(alone)} says that it went on alone, and nothing says to believe it`,
    );
}
