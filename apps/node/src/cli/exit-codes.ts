import { isFabricError } from "@revoada/fabric";

/** What the process ends with. Documented in the README and in `revoada --help`. */
export const exitCodes = {
  ok: 0,
  /** The operation failed. */
  failed: 1,
  /** Bad input: flags, settings, names, files that cannot be understood. */
  usage: 2,
  /** No daemon answers. */
  unreachable: 3,
  notFound: 4,
  /** No quorum, or the outcome of a write is unknown. */
  noQuorum: 5,
  /** Somebody else was first. */
  conflict: 6,
  /** A broken invariant. */
  broken: 70,
} as const;

const byCode: Readonly<Record<string, number>> = {
  ATTEST_KEY_INVALID: exitCodes.usage,
  ATTEST_KEY_PERMISSIONS: exitCodes.usage,
  CONFIG_INVALID: exitCodes.usage,
  FABRIC_INVALID_VALUE: exitCodes.usage,
  FORMAT_INVALID: exitCodes.usage,
  FORMAT_UNSUPPORTED: exitCodes.usage,
  TOKEN_INVALID: exitCodes.usage,
  TOPOLOGY_UNKNOWN: exitCodes.usage,
  TOPOLOGY_TOO_SMALL_FOR_QUORUM: exitCodes.usage,
  CLUSTER_STANDALONE_TOPOLOGY: exitCodes.usage,
  CLUSTER_DECLARATION_MISMATCH: exitCodes.usage,
  FACE_SIGNATURE_PROMISE_UNMET: exitCodes.usage,
  FACE_INVALID_PAGE_TOKEN: exitCodes.usage,
  NODE_NOT_INITIALISED: exitCodes.usage,
  NODE_FACE_DOES_NOT_LISTEN: exitCodes.usage,
  NODE_AMBIGUOUS_ID: exitCodes.usage,
  NODE_EXPECT_INVALID: exitCodes.usage,
  TOPOLOGY_PACKAGE_INVALID: exitCodes.usage,
  OPERATOR_FILE_INVALID: exitCodes.usage,
  NODE_UNKNOWN_ID: exitCodes.notFound,
  NODE_UNREACHABLE: exitCodes.unreachable,
  CONTROL_CLOSED: exitCodes.unreachable,
  FACE_RESOURCE_NOT_FOUND: exitCodes.notFound,
  RAFT_NO_QUORUM: exitCodes.noQuorum,
  RAFT_OUTCOME_UNKNOWN: exitCodes.noQuorum,
  CATALOG_READ_ONLY: exitCodes.noQuorum,
  FACE_CONFLICT: exitCodes.conflict,
  CATALOG_DUTY_HELD: exitCodes.conflict,
  CATALOG_FENCED: exitCodes.conflict,
  CATALOG_LEASE_NOT_FOUND: exitCodes.notFound,
  FABRIC_INVARIANT: exitCodes.broken,
};

/** The exit code of a failure. */
export function exitCodeOf(error: unknown): number {
  if (!isFabricError(error)) return exitCodes.failed;
  if (error.code.startsWith("CLI_") || error.code.startsWith("STRATEGY_")) return exitCodes.usage;
  return byCode[error.code] ?? exitCodes.failed;
}

/** The table of the help. */
export const exitCodeTable: readonly (readonly [string, string])[] = [
  [String(exitCodes.ok), "it was done"],
  [String(exitCodes.failed), "it failed"],
  [String(exitCodes.usage), "the input is wrong: flags, settings, names or files"],
  [String(exitCodes.unreachable), "no daemon answers for the data directory"],
  [String(exitCodes.notFound), "there is no such resource, lease, token or node"],
  [String(exitCodes.noQuorum), "no quorum, or the outcome of a write is unknown"],
  [String(exitCodes.conflict), "somebody else changed it first"],
  [String(exitCodes.broken), "an invariant is broken; the daemon stopped itself"],
  ["130, 143", "interrupted: a client at once, a daemon only at the second signal"],
];
