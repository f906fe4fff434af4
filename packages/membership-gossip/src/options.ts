import type {
  Address,
  Clock,
  ClusterId,
  Identity,
  Logger,
  MembershipStrategy,
  Metrics,
  NodeId,
  Random,
  SignatureVerifier,
  Transport,
} from "@revoada/fabric";
import { MembershipOptionsError } from "./errors.ts";

/** Where somebody of the cluster may be found. A hint: only the key that answers there counts. */
export interface SeedHint {
  readonly id: NodeId;
  readonly addresses: readonly Address[];
}

export interface GossipMembershipOptions {
  readonly identity: Identity;
  readonly verifier: SignatureVerifier;
  /** Started by the caller before, and shut down after, the membership. */
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly clusterId: ClusterId;
  readonly strategy: MembershipStrategy;
  /** Counts this node's starts: max(last persisted + 1, seconds since the epoch), persisted by the caller before it starts. */
  readonly generation: number;
  /** Where this node can be reached, asked again before each round. */
  readonly addresses: () => readonly Address[];
  /** Asked again in each round for as long as the membership runs, so that islands merge. */
  readonly seeds?: readonly SeedHint[] | (() => readonly SeedHint[]);
  /** What this node says of itself from the start. */
  readonly keys?: Readonly<Record<string, string>>;
  /** The door: nodes that it denies are neither listened to nor shown. Everybody whom the transport admits, unless given. */
  readonly isKnown?: (id: NodeId) => boolean;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

function requirePositive(name: string, value: number): void {
  if (!Number.isFinite(value) || value <= 0)
    throw new MembershipOptionsError(`${name}: expected a positive number, got ${value}`);
}

/** Refuses options that could not work. Throws `MEMBERSHIP_INVALID_OPTIONS`. */
export function checkOptions(options: GossipMembershipOptions): void {
  const { strategy, generation, identity, transport } = options;
  requirePositive("strategy.phiThreshold", strategy.phiThreshold);
  requirePositive("strategy.gossipCadenceMs", strategy.gossipCadenceMs);
  requirePositive("strategy.failureDetectorTimeoutMs", strategy.failureDetectorTimeoutMs);
  requirePositive("strategy.suspicionMs", strategy.suspicionMs);
  if (!Number.isSafeInteger(generation) || generation < 1) {
    throw new MembershipOptionsError(`generation: expected an integer from 1 on, got ${generation}`);
  }
  if (identity.id !== transport.localId) {
    throw new MembershipOptionsError(`transport: speaks for ${transport.localId}, the identity is ${identity.id}`);
  }
}
