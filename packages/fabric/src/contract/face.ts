/**
 * What every `Face` must do.
 *
 * @example
 * ```ts
 * for (const { name, run } of faceContract(() => makeFixture())) test(name, run);
 * ```
 *
 * @packageDocumentation
 */
import type { ResourceRef, ResourceSelector } from "../resource.ts";
import type { Face } from "../seams/face.ts";
import { type ContractCase, contractCases, type ContractTime } from "./case.ts";
import { leaseCases } from "./face/leases.ts";
import { lifeCases } from "./face/life.ts";
import { resourceCases } from "./face/resources.ts";
import { watchCases } from "./face/watches.ts";

export { type ContractCase, type ContractTime, ContractViolation, realTime, virtualTime } from "./case.ts";

/** A resource in the default format of a face. */
export interface SampleResource {
  readonly ref: ResourceRef;
  readonly body: Uint8Array;
}

/** A face that has not been started, over an empty catalog, and resources that it understands. */
export interface FaceFixture extends AsyncDisposable {
  readonly time: ContractTime;
  readonly face: Face;
  /** A resource of this name; another `variant` is the same resource with another content. Names are DNS labels. */
  sample(name: string, variant: number): SampleResource;
  /** One body that holds several resources, in order. Absent where the default format holds one only. */
  readonly bundle?: (samples: readonly SampleResource[]) => Uint8Array;
  /** Matches every sample. */
  readonly selector: ResourceSelector;
  /** Bytes that the default format cannot read. */
  readonly malformed: Uint8Array;
  /** Compacts the catalog at its newest revision. Absent where the fixture cannot. */
  readonly compact?: () => Promise<void>;
}

/** The cases, each over a fixture of its own. */
export function faceContract(create: () => Promise<FaceFixture>): readonly ContractCase[] {
  return contractCases(create, { ...lifeCases, ...resourceCases, ...watchCases, ...leaseCases });
}
