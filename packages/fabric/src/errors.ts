/**
 * The base of every error that Revoada raises on purpose.
 *
 * A `code` is stable across releases and is what callers match on (see {@link isFabricError}); the message is for people.
 */
export interface FabricErrorOptions {
  /** True where the same call may succeed later without the caller changing anything. */
  readonly retryable?: boolean;
  readonly cause?: unknown;
}

export class FabricError extends Error {
  /** `LAYER_REASON`, listed with its meaning in the error reference. */
  readonly code: string;
  readonly retryable: boolean;

  constructor(code: string, message: string, options: FabricErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/**
 * True where `error` is one of ours and, when codes are given, has one of them.
 *
 * Packages may be installed twice in one tree, so this looks at the shape and never uses `instanceof`.
 *
 * @example
 * ```ts
 * if (isFabricError(error, "RAFT_NOT_LEADER")) retryElsewhere();
 * ```
 */
export function isFabricError(error: unknown, ...codes: readonly string[]): error is FabricError {
  if (!(error instanceof Error)) return false;
  const candidate = error as Partial<FabricError>;
  if (typeof candidate.code !== "string" || typeof candidate.retryable !== "boolean") return false;
  return codes.length === 0 || codes.includes(candidate.code);
}

/** A broken invariant: the component that throws it must stop, because its state can no longer be trusted. */
export class InvariantError extends FabricError {
  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super("FABRIC_INVARIANT", message, options);
  }
}

/** An argument or a decoded value is outside of what is documented. */
export class InvalidValueError extends FabricError {
  /** Where the value stands, as a dotted path. */
  readonly path: string;
  readonly value: unknown;
  readonly expected: string;

  constructor(path: string, value: unknown, expected: string) {
    super("FABRIC_INVALID_VALUE", `${path}: expected ${expected}, got ${describeValue(value)}`);
    this.path = path;
    this.value = value;
    this.expected = expected;
  }
}

/** One short line that shows an untrusted value without trusting it: bounded in length, never throwing. */
export function describeValue(value: unknown): string {
  const limit = 80;
  if (typeof value === "string") return JSON.stringify(value.length > limit ? `${value.slice(0, limit)}…` : value);
  if (typeof value === "number" || typeof value === "boolean" || value === null || value === undefined)
    return String(value);
  if (typeof value === "bigint") return `${value}n`.slice(0, limit);
  if (typeof value === "symbol") return "a symbol";
  if (typeof value === "function") return "a function";
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  return Array.isArray(value) ? `a list of ${value.length}` : "an object";
}
