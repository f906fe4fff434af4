import { FabricError, InvariantError, isFabricError } from "@revoada/fabric";
import { decodeCanonical, encodeCanonical } from "../codec.ts";
import { CommandRefusedError } from "../errors.ts";

/** What the machine's own commands answer: facts, or a refusal by code. Nothing changed where it is a refusal. */
export type CommandResult =
  | { readonly ok: true; readonly generation: number; readonly height: number }
  | { readonly ok: false; readonly code: string; readonly message: string };

/** A refusal that the machine itself pronounces: it follows from the command and the committed state alone. */
export class MachineRefusal extends FabricError {}

/** What reading a command's bytes and judging it by the chain's and the table's rules may throw: the same on every replica. */
const deterministicCodes = [
  "CHAIN_INVALID",
  "FABRIC_INVALID_VALUE",
  "TOKEN_INVALID",
  "TOPOLOGY_COMMAND_REFUSED",
  "TOPOLOGY_ILLEGAL_TRANSITION",
  "TOPOLOGY_NOT_AN_OPERATOR",
  "TOPOLOGY_UNAPPROVED_SHIFT",
] as const;

/** A command that was checked in full: what it answers, and its writes, which nothing may refuse any more. */
export interface CheckedCommand {
  readonly result: CommandResult;
  write(): void;
}

/**
 * Checks a command, and writes only what passed. A refusal leaves nothing in the transaction, which other commands share.
 *
 * Only what every replica finds alike is a refusal. Anything else, a store that fails for one, is thrown on: a replica that
 * refused what the others took would be another machine from there on.
 */
export function settle(check: () => CheckedCommand): Uint8Array {
  let checked: CheckedCommand;
  try {
    checked = check();
  } catch (error) {
    return encodeResult(refusalOf(error));
  }
  checked.write();
  return encodeResult(checked.result);
}

/** Reads what this replica itself has stored. That it cannot be read is no refusal: this replica's state is broken. */
export function readStored<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!isFabricError(error, ...deterministicCodes)) throw error;
    throw new InvariantError(`the stored ${what} cannot be read`, { cause: error });
  }
}

function encodeResult(result: CommandResult): Uint8Array {
  return encodeCanonical(result);
}

function refusalOf(error: unknown): CommandResult {
  const refused = error instanceof MachineRefusal || isFabricError(error, ...deterministicCodes);
  if (!refused) throw error;
  return { ok: false, code: error.code, message: error.message.slice(0, 512).toWellFormed() };
}

/** Reads a result; throws the refusal as an error with the machine's code. */
export function openResult(bytes: Uint8Array): Extract<CommandResult, { ok: true }> {
  const result = decodeCanonical(bytes, "result") as CommandResult;
  if (!result.ok) throw new CommandRefusedError(result.code, result.message);
  return result;
}
