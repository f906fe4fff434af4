import type { ChainHead } from "@revoada/fabric";
import { equalBytes } from "./canonical.ts";
import type { ChainRecord } from "./chain-file.ts";
import type { ChainVerifier } from "./chain-verifier.ts";
import { readCheckpoint } from "./checkpoint.ts";
import { refuse } from "./faults.ts";
import { openHop } from "./hop.ts";

/** Which block a hop or a checkpoint is of, by its own word. Throws `CHAIN_INVALID`. */
export function placeOfRecord({ kind, bytes }: ChainRecord): ChainHead {
  if (kind === "hop") return openHop(bytes).head;
  if (kind === "checkpoint") return readCheckpoint(bytes).head;
  return refuse("malformed", 0, `a ${kind} in the place of a hop or a checkpoint`);
}

/** True for a checkpoint of the very head: it says what the blocks before it came to, and leads over none. */
export function confirmsHead(verifier: ChainVerifier, record: ChainRecord): boolean {
  const { height } = verifier.head();
  return record.kind === "checkpoint" && verifier.reached() === height && placeOfRecord(record).height === height;
}

/**
 * Takes a hop or a checkpoint of a chain file. One of the head has to be what the blocks came to, byte by byte; one above leads over blocks that
 * the file leaves out, by the seals of those who may seal there. Throws `CHAIN_INVALID`.
 */
export function takeLeap(verifier: ChainVerifier, record: ChainRecord): void {
  if (record.kind === "hop") verifier.addHop(record.bytes);
  else if (!confirmsHead(verifier, record)) verifier.addCheckpoint(record.bytes);
  else {
    const own = verifier.checkpoint();
    if (own === undefined || !equalBytes(own, record.bytes))
      refuse(
        "wrong-checkpoint",
        verifier.head().height,
        "the blocks come to another checkpoint than the one that is shown",
      );
  }
}
