import type { ChainFault } from "@revoada/fabric";
import { FabricError } from "@revoada/fabric";

/** Bytes are not the one canonical encoding of what they should hold, or a value has none. */
export class NotCanonicalError extends FabricError {
  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super("ATTEST_NOT_CANONICAL", message, options);
  }
}

/** A record of a version that this program does not know. */
export class UnknownVersionError extends FabricError {
  constructor(message: string) {
    super("ATTEST_UNKNOWN_VERSION", message);
  }
}

/** A genesis, command, block, seal or chain that is refused; `fault` says why and at which height. */
export class ChainInvalidError extends FabricError {
  readonly fault: ChainFault;

  constructor(fault: ChainFault, options: { readonly cause?: unknown } = {}) {
    super("CHAIN_INVALID", `${fault.reason} at height ${fault.height}: ${fault.message}`, options);
    this.fault = fault;
  }
}

/** A join token that cannot be read. The message never holds the token: it is a secret. */
export class TokenInvalidError extends FabricError {
  constructor(message: string) {
    super("TOKEN_INVALID", message);
  }
}

/** A key file that users other than its owner can reach. */
export class KeyPermissionsError extends FabricError {
  constructor(path: string, mode: number) {
    const octal = (mode & 0o777).toString(8).padStart(4, "0");
    super("ATTEST_KEY_PERMISSIONS", `${path} has mode ${octal}, expected 0600: only its owner may reach a private key`);
  }
}

/** A key file whose content is not a key. */
export class KeyInvalidError extends FabricError {
  constructor(path: string, why: string) {
    super("ATTEST_KEY_INVALID", `${path} is not a key file: ${why}`);
  }
}

/** A key file that could not be read or written. */
export class KeyUnavailableError extends FabricError {
  constructor(path: string, verb: "read" | "create", cause: unknown) {
    const why = cause instanceof Error ? cause.message : "unknown cause";
    super("ATTEST_KEY_UNAVAILABLE", `cannot ${verb} ${path}: ${why}`, { retryable: true, cause });
  }
}

/** A thread that checks signatures ended or gave no answer: nothing is known about the chain. */
export class CheckFailedError extends FabricError {
  constructor(why: string, options: { readonly cause?: unknown } = {}) {
    super("ATTEST_CHECK_FAILED", `a thread that checks signatures failed: ${why}`, { ...options, retryable: true });
  }
}
