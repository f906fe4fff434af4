import { isFabricError } from "@revoada/fabric";
import { decodeCanonical, encodeCanonical } from "../codec.ts";
import { CommandRefusedError } from "../errors.ts";

/** What the machine's own commands answer: facts, or a refusal by code. Nothing changed where it is a refusal. */
export type CommandResult =
  | { readonly ok: true; readonly generation: number; readonly height: number }
  | { readonly ok: false; readonly code: string; readonly message: string };

export function encodeResult(result: CommandResult): Uint8Array {
  return encodeCanonical(result);
}

/** The refusal for an error that a command's bytes or the committed state led to; anything else is a broken machine and is thrown on. */
export function refusalOf(error: unknown): CommandResult {
  if (!isFabricError(error) || error.code === "FABRIC_INVARIANT") throw error;
  return { ok: false, code: error.code, message: error.message.slice(0, 512) };
}

/** Reads a result; throws the refusal as an error with the machine's code. */
export function openResult(bytes: Uint8Array): Extract<CommandResult, { ok: true }> {
  const result = decodeCanonical(bytes, "result") as CommandResult;
  if (!result.ok) throw new CommandRefusedError(result.code, result.message);
  return result;
}
