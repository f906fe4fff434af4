/**
 * Formations: what shape a cluster takes, and what to do next when it has another.
 *
 * Everything here is pure. The guarded transition table itself is part of the vocabulary, `@revoada/fabric`, because those who
 * verify a chain need it too; it is exported from here again for those who think of it as the formation's.
 *
 * @packageDocumentation
 */
export {
  applyFormationCommand,
  applyTransition,
  FormationRefusedError,
  genesisFormation,
  IllegalTransitionError,
  replicasOf,
  type FormationStep,
} from "@revoada/fabric";
export { autopilotPolicy } from "./policies/autopilot.ts";
export { formationPolicy } from "./policies/formation.ts";
export type { Policy, PolicyContext, PolicyDecision, PolicyDraft } from "./policies/policy.ts";
export { replacementPolicy } from "./policies/replacement.ts";
export { isFormed } from "./reactor/desired-shape.ts";
export { BrokenPolicyError } from "./reactor/draft.ts";
export { givenUpBy } from "./reactor/given-up.ts";
export { defaultReactorLimits, reactorLimits, type ReactorLimits } from "./reactor/limits.ts";
export { compareVersions } from "./reactor/migration.ts";
export { defaultPolicies, topologyReactor, type ReactorOptions, type TopologyReactor } from "./reactor/reactor.ts";
export { memberKeys, type Observation } from "./reactor/situation.ts";
export { BrokenTopologyError, checkedTopology } from "./strategies/checked.ts";
export { shapedTopology, type Shape } from "./strategies/shape.ts";
export {
  cluster3mnw,
  meshAllPeers,
  pair,
  phalanx,
  phalanxMasters,
  quorum,
  quorum3m,
  solo,
  topologyByName,
  topologyNames,
  UnknownTopologyError,
  type MinNodesOptions,
} from "./strategies/strategies.ts";
