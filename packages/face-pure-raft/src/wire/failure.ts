import { isFabricError } from "@revoada/fabric";
import { CarriedError } from "../errors.ts";

const codePattern = /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/;
const maxCodeLength = 64;
const maxMessageLength = 4_096;

/** An error as it travels: code, message, whether the same call may succeed later. */
export type Failure = readonly [code: string, message: string, retryable: boolean];

/** What of an error leaves this process; undefined where it is none of ours, and its message is not for strangers. */
export function failureOf(error: unknown): Failure | undefined {
  if (!isFabricError(error)) return undefined;
  return [error.code, error.message.slice(0, maxMessageLength), error.retryable];
}

/** The error that untrusted fields stand for; undefined where they stand for none. */
export function carriedError(fields: readonly unknown[]): CarriedError | undefined {
  const [code, message, retryable] = fields;
  if (typeof code !== "string" || code.length > maxCodeLength || !codePattern.test(code)) return undefined;
  if (typeof message !== "string" || message.length > maxMessageLength || typeof retryable !== "boolean")
    return undefined;
  return new CarriedError(code, message, { retryable });
}
