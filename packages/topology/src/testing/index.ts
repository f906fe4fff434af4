/**
 * For the tests of topologies and policies: a model of a cluster around the reactor, and what every reactor promises.
 *
 * @packageDocumentation
 */
export { FormationModel, modelNode, UnsettledFormationError, type FormationModelOptions } from "./formation-model.ts";
export { BrokenPromiseError, ReactorPromises } from "./promises.ts";
