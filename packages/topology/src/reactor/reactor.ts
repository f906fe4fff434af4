import type { ShiftDecision, TopologyStrategy } from "@revoada/fabric";
import { Draft } from "./draft.ts";
import { departLeft, evictLost, readmit } from "./losses.ts";
import type { Pass } from "./pass.ts";
import { fillRoles, finishLeavers, formFirstShape, isFormed } from "./shape.ts";
import { configurationFollows, defaultReactorLimits, type Observation, type ReactorLimits } from "./situation.ts";
import { giveUpSuccessions, passPlacesOn } from "./succession.ts";
import { reseatVoters, seatLearners } from "./voters.ts";
import { checkedTopology } from "../strategies/checked.ts";

/** Compares what is with what should be and says what to commit next. */
export interface TopologyReactor {
  /**
   * The decisions to commit now, in order; each is made for the formation that the ones before it leave behind. Pure and
   * idempotent: the same observation gives the same decisions, and one that is already as it should be gives none. Throws
   * `TOPOLOGY_BROKEN` where the topology answers what none may.
   *
   * At most one decision moves replicas, and none does while the log's configuration has not caught up with the formation.
   */
  observe(observation: Observation): readonly ShiftDecision[];
}

/** Options of {@link topologyReactor}. */
export interface ReactorOptions {
  readonly topology: TopologyStrategy;
  readonly limits?: Partial<ReactorLimits>;
}

/** The reactor of one topology. Keeps no state: damping reads only what the formation has committed. */
export function topologyReactor(options: ReactorOptions): TopologyReactor {
  const limits: ReactorLimits = { ...defaultReactorLimits, ...options.limits };
  const topology = checkedTopology(options.topology);
  return {
    observe(observation: Observation): readonly ShiftDecision[] {
      if (!observation.formation.nodes.has(observation.leader)) return [];
      const draft = new Draft(observation.formation, observation.nowMs);
      evictLost(draft, observation, limits);
      departLeft(draft, observation);
      readmit(draft, observation);
      if (configurationFollows(observation)) moveReplicas({ draft, observation, topology, limits });
      return draft.decisions;
    },
  };
}

function moveReplicas(pass: Pass): void {
  giveUpSuccessions(pass);
  passPlacesOn(pass);
  if (pass.draft.movedReplicas) return;
  if (!isFormed(pass.draft.formation)) {
    formFirstShape(pass);
    return;
  }
  reseatVoters(pass);
  if (!pass.draft.movedReplicas) seatLearners(pass);
  if (pass.draft.movedReplicas) return;
  fillRoles(pass);
  finishLeavers(pass);
}
