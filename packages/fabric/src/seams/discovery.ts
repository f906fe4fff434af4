import type { NodeId } from "../ids.ts";
import type { Address } from "./transport.ts";

/**
 * Where somebody may be found. Nobody has to believe it: whoever is dialled proves its key, and is admitted or not, as if it had
 * come by itself.
 */
export interface AddressHint {
  /** What found it, for logs and limits: `static`, `dns`, `mdns`, `dht`. */
  readonly source: string;
  /** Who is said to be there. Absent where only an address is known; whoever answers there may be anybody. */
  readonly id?: NodeId;
  /** At least one. */
  readonly addresses: readonly Address[];
}

/**
 * An untrusted source of hints about where other nodes are.
 *
 * It looks again for as long as it runs, so that islands which have nothing in common but a network find each other, with pauses
 * that grow while it finds nothing and that differ between nodes. What cannot be looked up now is said to the log and tried again.
 * What it is told from outside is bounded in size and number before it becomes a hint.
 */
export interface Discovery extends AsyncDisposable {
  /** What it is called in logs. */
  readonly name: string;
  /** Begins to look. Rejects with what can never work, such as an address that is in use. A second start does nothing. */
  start(): Promise<void>;
  /**
   * Every hint as it is found, those that were found before first, until `signal` aborts or the source shuts down.
   *
   * A hint that is found again is given again: that it is still so is news. Bounded: of hints about the same node a slow consumer gets the
   * last.
   */
  hints(options: { readonly signal: AbortSignal }): AsyncIterable<AddressHint>;
  /** Looks no more and ends every stream. May be called twice. */
  shutdown(): Promise<void>;
}
