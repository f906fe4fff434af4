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
export { topologyReactor, type ReactorOptions, type TopologyReactor } from "./reactor/reactor.ts";
export { isFormed } from "./reactor/shape.ts";
export { defaultReactorLimits, memberKeys, type Observation, type ReactorLimits } from "./reactor/situation.ts";
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
