import {
  quorumSizeOf,
  replicasOf,
  type Clock,
  type ConsensusStatus,
  type Declared,
  type Formation,
  type NodeId,
  type Role,
  type Transition,
} from "@revoada/fabric";
import { isFormed } from "@revoada/topology";
import type { ClusterDeclaration } from "../declaration.ts";
import { declarationId, type InForce } from "../in-force.ts";
import type { FormationState } from "../machine/formation-machine.ts";

/** How a switch ends: what to commit, and why. */
export interface SwitchEnd {
  readonly transition: Transition;
  readonly reason: string;
  readonly inputs: Readonly<Record<string, string | number>>;
}

/**
 * What the declared shape still lacks, as one line; undefined where it stands: formed, as many voters as the strategy asks for, all of
 * them serving and in the log, and roles as the topology wants them.
 */
export function missingOf(
  { topology, strategy }: Pick<ClusterDeclaration, "topology" | "strategy">,
  { formation, sealing }: Pick<FormationState, "formation" | "sealing">,
  { configuration }: Pick<ConsensusStatus, "configuration">,
): string | undefined {
  if (!isFormed(formation)) return "the first shape does not stand yet";
  const voters = replicasOf(formation, "voter");
  const seats = quorumSizeOf(strategy);
  if (voters.length !== seats) return `${voters.length} nodes vote, expected ${seats}`;
  const idle = voters.filter((id) => formation.nodes.get(id)?.state !== "active").length;
  if (idle > 0) return `${idle} of the voters do not serve`;
  const logged = configuration.voters.map(({ id }) => id).toSorted();
  if (configuration.outgoing !== undefined || logged.join() !== voters.join()) return "the log's voters follow";
  if (sealing.pending !== undefined) return "the voters are not sealed yet";
  const leaving = [...formation.nodes.values()].filter(({ state }) => state === "demoting").length;
  if (leaving > 0) return `${leaving} nodes step back`;
  return topology.validate(serving(formation))[0]?.message;
}

function serving(formation: Formation): ReadonlyMap<NodeId, Role> {
  const roles = new Map<NodeId, Role>();
  for (const [id, { state, role, flags }] of formation.nodes)
    if (state === "active" && role !== undefined && !flags.includes("quarantined")) roles.set(id, role);
  return roles;
}

/**
 * The leader's eye on a switch that is under way. Time runs on its own monotonic clock from when it first saw the switch as the leader of its
 * term: a new leader gives the new shape as long again.
 */
export class SwitchWatch {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #inForce: Pick<InForce, "current" | "follows" | "refusal">;
  #seen: { readonly declared: Declared; readonly term: number; readonly sinceMs: number } | undefined;

  constructor(clock: Pick<Clock, "monotonicMs">, inForce: Pick<InForce, "current" | "follows" | "refusal">) {
    this.#clock = clock;
    this.#inForce = inForce;
  }

  /** What to commit now; undefined where nothing is under way, or there is time left. */
  judge(
    state: Pick<FormationState, "formation" | "sealing">,
    status: Pick<ConsensusStatus, "id" | "term" | "configuration">,
  ): SwitchEnd | undefined {
    const { declared } = state.formation;
    if (declared?.pending === undefined) {
      this.#seen = undefined;
      return undefined;
    }
    const { previous, withinMs } = declared.pending;
    const nowMs = this.#clock.monotonicMs();
    if (this.#seen?.declared !== declared || this.#seen.term !== status.term)
      this.#seen = { declared, term: status.term, sinceMs: nowMs };
    const tookMs = Math.round(nowMs - this.#seen.sinceMs);
    const [from, to] = [declarationId(previous), declarationId(declared.declaration)];
    const inputs = { from, to, withinMs, tookMs };
    const isFollowed = this.#inForce.follows(declared);
    const missing = isFollowed
      ? missingOf(this.#inForce.current, state, status)
      : (this.#inForce.refusal ?? "the leader does not follow it yet");
    if (missing === undefined)
      return { transition: { verb: "confirm", node: status.id }, reason: `the shape of ${to} stands`, inputs };
    if (tookMs < withinMs) return undefined;
    const reason = `back to ${from}: ${to} did not stand within ${withinMs} ms, ${missing}`;
    return { transition: { verb: "revert", node: status.id }, reason, inputs: { ...inputs, missing } };
  }
}
