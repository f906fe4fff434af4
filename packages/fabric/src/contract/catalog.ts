/**
 * What every `Catalog` must do.
 *
 * @example
 * ```ts
 * for (const { name, run } of catalogContract(() => makeFixture())) test(name, run);
 * ```
 *
 * @packageDocumentation
 */
import type { Catalog } from "../seams/catalog.ts";
import { type ContractCase, contractCases, type ContractTime } from "./case.ts";
import { leaseCases } from "./catalog/leases.ts";
import { lifeCases } from "./catalog/life.ts";
import { rangeCases } from "./catalog/ranges.ts";
import { transactionCases } from "./catalog/transactions.ts";
import { watchCases } from "./catalog/watches.ts";

export { type ContractCase, type ContractTime, ContractViolation, realTime, virtualTime } from "./case.ts";

/** An empty catalog that takes writes. */
export interface CatalogFixture extends AsyncDisposable {
  readonly time: ContractTime;
  readonly catalog: Catalog;
}

/** The cases, each over a fixture of its own. */
export function catalogContract(create: () => Promise<CatalogFixture>): readonly ContractCase[] {
  return contractCases(create, { ...transactionCases, ...rangeCases, ...watchCases, ...lifeCases, ...leaseCases });
}
