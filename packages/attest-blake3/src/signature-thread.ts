import { parentPort } from "node:worker_threads";
import type { NodeId } from "@revoada/fabric";
import { ed25519Verifier } from "./ed25519-verifier.ts";
import type { SignatureBatch } from "./signature-threads.ts";

const verifier = ed25519Verifier();

/** The place of the first signature that is wrong, -1 where all are right. */
function firstWrong({ signers, ends, bytes }: SignatureBatch): number {
  let start = 0;
  for (const [place, signer] of signers.entries()) {
    const end = ends[place] as number;
    const signature = bytes.subarray(start, start + 64);
    if (!verifier.verify(signer as NodeId, bytes.subarray(start + 64, end), signature)) return place;
    start = end;
  }
  return -1;
}

parentPort?.on("message", (batch: SignatureBatch) => parentPort?.postMessage(firstWrong(batch), []));
