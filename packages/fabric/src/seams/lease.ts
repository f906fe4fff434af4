import { FabricError, InvalidValueError } from "../errors.ts";
import { type Branded, type LogIndex, parseLogIndex, parseTerm, type Revision, type Term } from "../ids.ts";

/** A lease's name: a whole number that no other lease of the cluster has had or will have. */
export type LeaseId = Branded<number, "LeaseId">;

/**
 * What proves that a holder is the newest one: the place of the grant in the replicated log.
 *
 * Tokens of one cluster strictly rise, whoever is granted what; see {@link compareTokens}.
 */
export interface FencingToken {
  readonly term: Term;
  readonly index: LogIndex;
}

/** A condition of a transaction: `duty` is held under exactly this token, or the whole transaction is `CATALOG_FENCED`. */
export interface Fence {
  readonly duty: string;
  readonly token: FencingToken;
}

/** A lease as it is committed. */
export interface Lease {
  readonly id: LeaseId;
  /** For how long it is granted and renewed, in milliseconds. */
  readonly ttlMs: number;
  /** How many keys are attached to it. */
  readonly keys: number;
  readonly token: FencingToken;
  /** The duty that it holds, where it holds one. */
  readonly duty?: string;
  /** Who says to hold it: a text for people and for placement, and no proof. */
  readonly holder?: string;
}

/** A duty and the lease that holds it. */
export interface HeldDuty {
  readonly duty: string;
  readonly lease: LeaseId;
  readonly token: FencingToken;
  readonly holder: string;
}

/** How long a lease has left. */
export interface LeaseStatus extends Lease {
  /** Milliseconds until it may expire, as the leader counts them; 0 where it is about to. */
  readonly remainingMs: number;
}

export interface LeaseRequest {
  /** From 1,000 milliseconds to 30 days. */
  readonly ttlMs: number;
  /** The duty that the lease is to hold: granted only where nobody holds it, else `CATALOG_DUTY_HELD`. */
  readonly duty?: string;
  /** At most 128 characters; the empty text unless told. */
  readonly holder?: string;
}

/** How to wait for an answer. */
export interface LeaseOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/**
 * Leases of a catalog, as etcd has them: keys that are attached to a lease go when it ends, all in one revision.
 *
 * Time is counted by one node, the leader, on its monotonic clock, and begins again from the full `ttlMs` with each new leader: a lease
 * may live longer than it was granted for and never ends sooner. It ends by a committed command alone. Calls reject as `Catalog.txn`
 * does, with `CATALOG_LEASE_NOT_FOUND` for a lease that has ended, and with `CATALOG_LEASE_LIMIT` beyond 65,536 leases or 16,384 keys of one.
 */
export interface Leases {
  /** False where this catalog has no leases: every other call then rejects with `CATALOG_LEASES_UNSUPPORTED`. */
  readonly supported: boolean;
  grant(request: LeaseRequest, options?: LeaseOptions): Promise<Lease>;
  /**
   * Has the lease begin anew, and resolves with how many milliseconds it then has. Whoever counts on it counts from *before* the
   * call. Makes no entry of the log.
   */
  keepAlive(id: LeaseId, options?: LeaseOptions): Promise<{ readonly ttlMs: number }>;
  /** Ends the lease and deletes its keys, in one revision where there are any. */
  revoke(id: LeaseId, options?: LeaseOptions): Promise<{ readonly revision: Revision }>;
  timeToLive(id: LeaseId, options?: LeaseOptions): Promise<LeaseStatus>;
  /** Keys that are attached to the lease, in byte order. */
  keys(id: LeaseId, options?: LeaseOptions): Promise<readonly Uint8Array[]>;
  /** Every lease, by id. Linearizable. */
  list(options?: LeaseOptions): Promise<readonly Lease[]>;
  /** Who holds which duty, as this replica knows it: at once, perhaps late. Sorted by duty. */
  duties(): readonly HeldDuty[];
  /** Calls `listener` after a duty was taken or has become free, as this replica learns it, until the returned function is called. */
  onDutiesChange(listener: () => void): () => void;
}

/** What a catalog's leases need to know of the log: who may count time, and whom to ask otherwise. */
export interface Leadership {
  /** The term that this node leads, as far as it knows; undefined where it does not. */
  term(): Term | undefined;
  onChange(listener: () => void): () => void;
  /**
   * Resolves with the term once a majority has confirmed, after the call, that this node leads it, and once all that was committed
   * before is applied. Rejects with `RAFT_NOT_LEADER` or as a read barrier does.
   */
  confirm(options?: LeaseOptions): Promise<Term>;
  /** Brings a request to the node that leads, and its answer back. */
  ask(request: Uint8Array, options?: LeaseOptions): Promise<Uint8Array>;
}

/** Below 0, 0 or above 0, as `one` is older than, equal to or newer than `other`. */
export function compareTokens(one: FencingToken, other: FencingToken): number {
  return one.term - other.term || one.index - other.index;
}

const dutyPattern = /^[a-z][a-z0-9.-]{0,62}$/;

/** Checks an untrusted name of a duty: 1–63 of a–z, 0–9, `.` and `-`, a letter first. Throws `FABRIC_INVALID_VALUE`. */
export function parseDutyName(value: unknown, path = "duty"): string {
  if (typeof value === "string" && dutyPattern.test(value)) return value;
  throw new InvalidValueError(path, value, "1 to 63 of a-z, 0-9, . and -, a letter first");
}

/** Checks an untrusted lease id. Throws `FABRIC_INVALID_VALUE`. */
export function parseLeaseId(value: unknown, path = "lease"): LeaseId {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 1) return value as LeaseId;
  throw new InvalidValueError(path, value, "an integer from 1 to 2^53 - 1");
}

/** Checks an untrusted fence. Throws `FABRIC_INVALID_VALUE`. */
export function parseFence(value: unknown, path = "fence"): Fence {
  const { duty, token } = (value ?? {}) as Record<string, unknown>;
  const { term, index } = (token ?? {}) as Record<string, unknown>;
  return {
    duty: parseDutyName(duty, `${path}.duty`),
    token: { term: parseTerm(term, `${path}.token.term`), index: parseLogIndex(index, `${path}.token.index`) },
  };
}

/** A catalog without leases was asked for one. */
export class LeasesUnsupportedError extends FabricError {
  constructor() {
    super("CATALOG_LEASES_UNSUPPORTED", "this catalog has no leases");
  }
}

async function unsupported(): Promise<never> {
  throw new LeasesUnsupportedError();
}

/** The leases of a catalog that has none. */
export const noLeases: Leases = {
  supported: false,
  grant: unsupported,
  keepAlive: unsupported,
  revoke: unsupported,
  timeToLive: unsupported,
  keys: unsupported,
  list: unsupported,
  duties: () => [],
  onDutiesChange: () => () => undefined,
};
