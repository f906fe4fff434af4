import { resolve } from "node:path";
import { blake3Attestor, identityFromSeed, loadIdentity, seedLength } from "@revoada/attest-blake3";
import { parseNodeId, type Attestor, type NodeId } from "@revoada/fabric";
import { ConfigInvalidError } from "../errors.ts";
import { readBounded } from "../files.ts";

const maxKeyFileBytes = 4096;

/** Reads and writes what is signed, and signs nothing that counts: its key is nobody's. */
export function unsignedAttestor(): Attestor {
  return blake3Attestor(identityFromSeed(new Uint8Array(seedLength)));
}

/** Signs as the operator whose key file this is. Rejects as `loadIdentity` does. */
export async function operatorAttestor(path: string): Promise<Attestor> {
  return blake3Attestor((await loadIdentity(path)).identity);
}

/** The file that holds the public half of an operator's key. */
export function publicFileOf(path: string): string {
  return `${path}.pub`;
}

/** A public key out of a file: of its public half, one line of 64 hex characters, or of the key itself. */
export async function readOperatorKey(path: string, shownPath: string = path): Promise<NodeId> {
  const bytes = Buffer.from(await readBounded(path, maxKeyFileBytes, shownPath));
  const text = bytes.toString("latin1").trim();
  if (/^[0-9a-f]{64}$/.test(text)) return text as NodeId;
  if (bytes.subarray(0, 6).toString("latin1") === "RVDKEY") return (await loadIdentity(path)).identity.id;
  throw new ConfigInvalidError(shownPath, "expected an operator's key file, or one line of 64 hex characters");
}

/** A public key as it was typed: itself, or a file that holds it. */
export async function givenOperatorKey(given: string, workingDirectory: string): Promise<NodeId> {
  if (/^[0-9a-f]{64}$/.test(given)) return parseNodeId(given, "key");
  return readOperatorKey(resolve(workingDirectory, given), given);
}
