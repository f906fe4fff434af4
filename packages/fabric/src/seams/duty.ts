import type { NodeId } from "../ids.ts";
import type { DutyChain } from "./archive.ts";
import type { Catalog } from "./catalog.ts";
import type { Clock } from "./clock.ts";
import type { FencingToken } from "./lease.ts";
import type { Logger, Metrics } from "./logger.ts";

/** `everywhere-on-masters`: every active master runs it. `singleton`: one active master does, the one that holds its lease. */
export type DutyKind = "everywhere-on-masters" | "singleton";

/**
 * What a duty may do with the catalog.
 *
 * For a singleton, `txn` and `compact` carry the fence of its lease: once somebody else may hold the duty they reject with
 * `CATALOG_FENCED`, or with `DUTY_LOST` where this node knows that already, and nothing has been written.
 */
export type DutyCatalog = Pick<
  Catalog,
  "revision" | "compactedRevision" | "get" | "range" | "watch" | "counts" | "txn" | "compact"
>;

/** What a duty is given when it starts. */
export interface DutyContext {
  readonly duty: string;
  readonly node: NodeId;
  /** The token of the lease that this run holds; absent where the duty is no singleton. */
  readonly token?: FencingToken;
  readonly catalog: DutyCatalog;
  /** The chain of shifts; absent where there is none. */
  readonly chain?: DutyChain;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /**
   * Aborts when the duty ends here: the role has gone, the node stops, the lease is lost, or this node's clock cannot vouch for it any
   * longer. A singleton's aborts before anybody else may hold its lease, unless the process stood still until later.
   */
  readonly signal: AbortSignal;
  /**
   * True while the duty is held, by the clock as it is now. To be asked right before anything that no fence protects, as a call to
   * another system: after a pause of the process the signal may not have aborted yet, and this says so.
   */
  isHeld(): boolean;
}

/** Work that the masters of a cluster do: everywhere, or on one of them at a time. */
export interface Duty {
  /** 1–63 of a–z, 0–9, `.` and `-`, a letter first; third parties begin with a name of their own and a dot. */
  readonly name: string;
  readonly kind: DutyKind;
  /**
   * Begins the work and resolves with what ends it. Called anew each time that this node is to run it, never twice at once. A
   * rejection is logged, and the duty is tried again later: a singleton's lease goes back first, so that another node may try.
   */
  start(context: DutyContext): Promise<AsyncDisposable>;
}
