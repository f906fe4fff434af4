/**
 * Two nodes that dial each other at once end up with one connection, always the same one from either view.
 *
 * The dialler of a connection says hello once it has proven the other's key; the acceptor decides. Of two dials that meet,
 * the one of the lower NodeId wins as soon as it has said hello; the higher one's acceptor therefore holds its answer back
 * until its own dial is answered. A connection that is already in use wins over a newcomer only if both sides still have
 * it, so the acceptor names it and the dialler may insist that it is gone.
 */

/** How far a node's own dial to the peer has come. */
export type DialStage = "none" | "connecting" | "greeting" | "insisting";

/** What an acceptor knows when a hello arrives. */
export interface Meeting {
  /** This node's id sorts before the dialler's. */
  readonly localIsLower: boolean;
  readonly dial: DialStage;
  /** The connection in use, if there is one. */
  readonly live: undefined | { readonly dialledHere: boolean; readonly sameSession: boolean };
}

/**
 * - `welcome`: the newcomer becomes the connection; one in use is replaced, a dial under way is given up.
 * - `hold`: the answer waits for that of the own dial.
 * - `duplicate-pending`: the own dial will be the connection.
 * - `duplicate-live`: the one in use stays, unless the dialler insists.
 */
export type Settlement = "welcome" | "hold" | "duplicate-pending" | "duplicate-live";

/** Decides what becomes of an inbound connection whose dialler has said hello. */
export function settle(meeting: Meeting): Settlement {
  const { live, dial, localIsLower } = meeting;
  if (live !== undefined) {
    // A restarted peer has lost everything, and a peer dials anew only after it has lost what it dialled before.
    if (!live.sameSession || !live.dialledHere) return "welcome";
    return "duplicate-live";
  }
  switch (dial) {
    case "none":
    case "connecting":
      // Nothing was said on the own dial yet, so giving it up cannot leave the peer with a connection that we dropped.
      return "welcome";
    case "greeting":
      return localIsLower ? "duplicate-pending" : "hold";
    case "insisting":
      return "hold";
  }
}
