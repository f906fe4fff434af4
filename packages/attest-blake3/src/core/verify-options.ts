import type { NodeId } from "@revoada/fabric";

/** What a verifier brings beside the cluster id. */
export interface VerifyOptions {
  /** Keys that are known to vote at the end: a majority of them must have sealed it. */
  readonly trust?: readonly NodeId[];
  /** A checkpoint that is trusted: what is shown must lead through the very block that it names. */
  readonly from?: Uint8Array;
  /** The node that must have signed the file as its export. */
  readonly exporter?: NodeId;
}
