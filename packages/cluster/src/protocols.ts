import type { Protocol } from "@revoada/fabric";

/** The cluster's own protocols. Their names carry their versions. */
export const protocols: Readonly<
  Record<
    | "seal"
    | "chain"
    | "sealed"
    | "join"
    | "admit"
    | "proof"
    | "depart"
    | "succeed"
    | "operator"
    | "lease"
    | "approval"
    | "clock",
    Protocol
  >
> = {
  /** Leader → voter: sign this head. */
  seal: { name: "/revoada/seal/1", channel: "consensus" },
  /** Any node → any node: the sealed chain above a height. */
  chain: { name: "/revoada/chain/1", channel: "gossip" },
  /** Leader → nodes without a replica: there is a newer seal to ask for. */
  sealed: { name: "/revoada/sealed/1", channel: "gossip" },
  /** Newcomer → any node, with a token. */
  join: { name: "/revoada/join/1", channel: "join" },
  /** Any node → leader: a newcomer's request, with the binding of the connection that it came over. */
  admit: { name: "/revoada/admit/1", channel: "gossip" },
  /** A member that is not known → whom it is not known to: the sealed chain that admits it. On the channel of strangers. */
  proof: { name: "/revoada/proof/1", channel: "join" },
  /** A member → leader: this key is my next one. */
  succeed: { name: "/revoada/succeed/1", channel: "gossip" },
  /** A member → leader: let me go. */
  depart: { name: "/revoada/depart/1", channel: "gossip" },
  /** A voter → leader: an operator's order about a node. */
  operator: { name: "/revoada/operator/1", channel: "gossip" },
  /** A replica → leader: renew this lease, or say how long it has. */
  lease: { name: "/revoada/lease/1", channel: "gossip" },
  /** A member → leader: what waits for an operator's signature, and such signatures. */
  approval: { name: "/revoada/approval/1", channel: "gossip" },
  /** Leader → voter: what does your wall clock say? */
  clock: { name: "/revoada/clock/1", channel: "consensus" },
};
