import type { ChainFault } from "@revoada/fabric";
import { isFabricError } from "@revoada/fabric";
import { ChainInvalidError } from "../errors.ts";

/** Refuses a chain or a part of it. */
export function refuse(reason: ChainFault["reason"], height: number, message: string): never {
  throw new ChainInvalidError({ reason, height, message });
}

/** What made a judgement end: a refusal, or whatever else hostile bytes could provoke. A verdict has to come. */
export function faultOf(error: unknown, height: number): ChainFault {
  if (error instanceof ChainInvalidError) return error.fault;
  return { reason: "malformed", height, message: error instanceof Error ? error.message : "unknown cause" };
}

/** Runs a decoder and says of bytes that have the wrong form or version at which height they stand. */
export function decodingAt<T>(height: number, malformed: ChainFault["reason"], decodeRecord: () => T): T {
  try {
    return decodeRecord();
  } catch (error) {
    if (isFabricError(error, "ATTEST_NOT_CANONICAL", "ATTEST_UNKNOWN_VERSION")) {
      const reason = error.code === "ATTEST_UNKNOWN_VERSION" ? "unknown-version" : malformed;
      throw new ChainInvalidError({ reason, height, message: error.message }, { cause: error });
    }
    throw error;
  }
}
