/**
 * What every `ContentStore` must do.
 *
 * @example
 * ```ts
 * for (const { name, run } of contentStoreContract(() => makeFixture())) test(name, run);
 * ```
 *
 * @packageDocumentation
 */
import type { ContentStore } from "../seams/content-store.ts";
import { type ContractCase, contractCases, type ContractTime } from "./case.ts";
import { blobCases } from "./content-store/blobs.ts";
import { peerCases } from "./content-store/peers.ts";

export { type ContractCase, type ContractTime, ContractViolation, realTime, virtualTime } from "./case.ts";

/** Three empty stores on three nodes that find each other's blobs. */
export interface ContentStoreFixture extends AsyncDisposable {
  readonly time: ContractTime;
  readonly left: ContentStore;
  readonly right: ContentStore;
  readonly third: ContentStore;
  /** Makes `right` serve other bytes than those it was given, for every blob that it holds now. */
  corruptRight(): Promise<void>;
}

/** The cases, each over a fixture of its own. */
export function contentStoreContract(create: () => Promise<ContentStoreFixture>): readonly ContractCase[] {
  return contractCases(create, { ...blobCases, ...peerCases });
}
