/**
 * For the tests of topologies: a model of a cluster around the reactor.
 *
 * @packageDocumentation
 */
export { FormationModel, modelNode, UnsettledFormationError, type FormationModelOptions } from "./formation-model.ts";
