import { isFabricError } from "@revoada/fabric";
import { FaceProtocolError, OutcomeUnknownError } from "../errors.ts";

/**
 * Verbs that change something, and that asked twice do another thing than asked once: a lost answer to one leaves its outcome unknown. A
 * renewal of a lease may be asked for again.
 */
export const writeVerbs: ReadonlySet<string> = new Set(["apply", "delete", "restore", "lease.grant", "lease.revoke"]);

/**
 * An untrusted answer. That it cannot be read is no fault of the caller's values, and leaves open what became of a write. Throws
 * `FACE_PROTOCOL` or `RAFT_OUTCOME_UNKNOWN`.
 */
export function parseAnswer<T>(verb: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!isFabricError(error, "FABRIC_INVALID_VALUE")) throw error;
    const fault = new FaceProtocolError(error.message);
    throw writeVerbs.has(verb) ? new OutcomeUnknownError(verb, { cause: fault }) : fault;
  }
}
