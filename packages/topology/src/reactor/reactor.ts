import type { ShiftDecision, TopologyStrategy } from "@revoada/fabric";
import { autopilotPolicy } from "../policies/autopilot.ts";
import { formationPolicy } from "../policies/formation.ts";
import type { Policy } from "../policies/policy.ts";
import { replacementPolicy } from "../policies/replacement.ts";
import { checkedTopology } from "../strategies/checked.ts";
import { BrokenPolicyError, Draft } from "./draft.ts";
import { reactorLimits, type ReactorLimits } from "./limits.ts";
import type { Observation } from "./situation.ts";

/** Compares what is with what should be and says what to commit next. */
export interface TopologyReactor {
  /**
   * The decisions to commit now, in order; each is made for the formation that the ones before it leave behind. Pure and
   * idempotent: the same observation gives the same decisions, and one that is already as it should be gives none. Throws
   * `TOPOLOGY_BROKEN` where the topology answers what none may, `TOPOLOGY_POLICY_BROKEN` where a policy asks for it.
   *
   * Where the cluster has operator keys, decisions that one of them has to approve of stand last; each is made as if it were the only one of
   * these, and no other rests on it.
   *
   * At most one decision moves replicas, and of those that await an operator one more, and none does while the log's configuration has not caught up with the formation. Each policy makes
   * at most `maxDecisions`.
   */
  observe(observation: Observation): readonly ShiftDecision[];
}

/** Options of {@link topologyReactor}. */
export interface ReactorOptions {
  readonly topology: TopologyStrategy;
  /** In the order in which they decide; {@link defaultPolicies} unless told. */
  readonly policies?: readonly Policy[];
  /** What is to hold whatever the strategy says; see {@link reactorLimits}. */
  readonly limits?: Partial<ReactorLimits>;
}

/** The policies of a reactor that is told nothing else: losses first, then the shape, then what can wait. */
export const defaultPolicies: readonly Policy[] = [replacementPolicy, formationPolicy, autopilotPolicy];

/**
 * The reactor of one topology. Keeps no state: damping reads only what the formation has committed. Throws `TOPOLOGY_POLICY_BROKEN`
 * for policies without a proper name, or two of one name.
 */
export function topologyReactor(options: ReactorOptions): TopologyReactor {
  const topology = checkedTopology(options.topology);
  const policies = checkedPolicies(options.policies ?? defaultPolicies);
  return {
    observe(observation: Observation): readonly ShiftDecision[] {
      if (!observation.formation.nodes.has(observation.leader)) return [];
      const limits = reactorLimits(observation.strategy, options.limits);
      const draft = new Draft(observation, limits);
      for (const policy of policies) {
        draft.enter(policy.name);
        policy.decide({ draft, observation, topology, limits });
      }
      return [...draft.decisions, ...draft.withheld];
    },
  };
}

function checkedPolicies(policies: readonly Policy[]): readonly Policy[] {
  const names = new Set<string>();
  for (const { name } of policies) {
    if (!/^[a-z][a-z0-9-]{0,63}$/.test(name)) throw new BrokenPolicyError(JSON.stringify(name), "has no proper name");
    if (names.has(name)) throw new BrokenPolicyError(name, "is there twice");
    names.add(name);
  }
  return [...policies];
}
