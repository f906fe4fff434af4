/**
 * What every `TopologyStrategy` must do.
 *
 * @example
 * ```ts
 * for (const { name, run } of topologyStrategyContract(() => myTopology())) test(name, run);
 * ```
 *
 * @packageDocumentation
 */
import type { TopologyStrategy } from "../seams/topology-strategy.ts";
import type { ContractCase } from "./case.ts";
import { shapeCases } from "./topology-strategy/shapes.ts";

export { type ContractCase, ContractViolation } from "./case.ts";

/** The cases, each over a strategy of its own. They wait for nothing: strategies are pure. */
export function topologyStrategyContract(create: () => TopologyStrategy): readonly ContractCase[] {
  return Object.entries(shapeCases).map(([name, body]) => ({
    name,
    async run() {
      body(create());
    },
  }));
}
