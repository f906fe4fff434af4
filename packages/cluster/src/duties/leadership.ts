import type { Consensus, FabricError, Leadership, LeaseOptions, NodeId, Term, Transport } from "@revoada/fabric";
import { CommandRefusedError } from "../errors.ts";
import { protocols } from "../protocols.ts";

export interface LogLeadershipOptions {
  readonly consensus: Consensus<Uint8Array, Uint8Array>;
  readonly transport: Transport;
  /** Who leads, as far as this node knows. */
  readonly leader: () => NodeId | undefined;
}

const defaultTimeoutMs = 5_000;

/** This node does not lead, or did not for as long as the confirmation took. Retryable: somebody else may. */
function notLeader(): FabricError {
  return new CommandRefusedError("RAFT_NOT_LEADER", "this node does not lead", { retryable: true });
}

/** What leases need to know of the log, from the log itself. */
export class LogLeadership implements Leadership {
  readonly #options: LogLeadershipOptions;

  constructor(options: LogLeadershipOptions) {
    this.#options = options;
  }

  term(): Term | undefined {
    const { role, term } = this.#options.consensus.status();
    return role === "leader" ? term : undefined;
  }

  onChange(listener: () => void): () => void {
    return this.#options.consensus.onChange(() => listener());
  }

  /** A barrier proves that this node leads only where it led in one term from before it until after it. */
  async confirm(options: LeaseOptions = {}): Promise<Term> {
    const before = this.term();
    if (before === undefined) throw notLeader();
    await this.#options.consensus.readBarrier(options);
    if (this.term() !== before) throw notLeader();
    return before;
  }

  async ask(request: Uint8Array, options: LeaseOptions = {}): Promise<Uint8Array> {
    const { transport, leader } = this.#options;
    const to = leader();
    if (to === undefined)
      throw new CommandRefusedError("RAFT_NO_QUORUM", "no leader is known that counts leases", { retryable: true });
    return transport.request(to, protocols.lease, request, { timeoutMs: defaultTimeoutMs, ...options });
  }
}
