/** Why something from the network was not believed. Labels of the `revoada_membership_refused_total` counter. */
export type RefusalReason =
  | "malformed"
  | "oversize"
  | "version"
  | "cluster"
  | "signature"
  | "unknown-node"
  | "expired"
  | "far-future"
  | "grave"
  | "capacity"
  | "resurrection"
  | "foreign-beat"
  | "equivocation";

/** Thrown by decoders; turned into a count by whoever called them. */
export class Refusal extends Error {
  readonly reason: RefusalReason;

  constructor(reason: RefusalReason, message: string) {
    super(message);
    this.name = "Refusal";
    this.reason = reason;
  }
}
