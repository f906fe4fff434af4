import type { FabricFace } from "../face.ts";
import type { Revision } from "../ids.ts";
import type { ResourceFormat, ResourceRef, ResourceSelector, ResourceWatchEvent } from "../resource.ts";
import type { Catalog, Consistency } from "./catalog.ts";
import type { Clock } from "./clock.ts";
import type { FormatRegistry } from "./format-adapter.ts";
import { type Fence, type Lease, type LeaseId, type LeaseOptions, type Leases, noLeases } from "./lease.ts";
import type { Logger } from "./logger.ts";

/** What a face says of itself. */
export interface FaceManifest {
  readonly face: FabricFace;
  /** Formats that `apply` takes and `get` gives, the first being the default. */
  readonly formats: readonly ResourceFormat[];
  /** True where the face needs a network endpoint of its own. */
  readonly listens: boolean;
}

export interface AppliedResource {
  readonly ref: ResourceRef;
  readonly revision: Revision;
  /** `unchanged`: what was applied equals what was there, and no revision was made. */
  readonly outcome: "created" | "updated" | "unchanged";
}

export interface StoredResource {
  readonly ref: ResourceRef;
  readonly revision: Revision;
  readonly format: ResourceFormat;
  readonly body: Uint8Array;
  /** The lease that it was applied with, and goes with; absent where it was applied without one. */
  readonly lease?: LeaseId;
  /** For a stale `get`: milliseconds since whoever answered last knew itself current. Absent otherwise. */
  readonly ageMs?: number;
}

export interface ResourceList {
  readonly revision: Revision;
  /** For a stale read: milliseconds since whoever answered last knew itself current. Absent otherwise. */
  readonly ageMs?: number;
  readonly items: readonly StoredResource[];
  /** Opaque; give it back to go on where this page ended, at the same revision. */
  readonly next?: string;
}

export interface FaceReadOptions {
  readonly format?: ResourceFormat;
  readonly consistency?: Consistency;
  readonly signal?: AbortSignal;
}

/** One page of the leases of a catalog. */
export interface LeasePage {
  readonly leases: readonly Lease[];
  /** Give it back as `after` to go on; absent on the last page. */
  readonly next?: LeaseId;
}

/** One page of what is attached to a lease. */
export interface LeaseResourcePage {
  readonly resources: readonly ResourceRef[];
  /** Give it back as `after` to go on; absent on the last page. */
  readonly next?: ResourceRef;
}

/**
 * Leases as users of a face have them: what is attached to one are resources, which go with it, all in one revision.
 *
 * Calls reject as those of `Leases` do, and with `FACE_NOT_RUNNING`. Pages hold at most 1,000 unless `limit` says fewer, sorted by id and by key;
 * each is read anew: what is granted, attached or ended between two of them may be missing or still be there.
 */
export interface FaceLeases extends Pick<Leases, "grant" | "keepAlive" | "revoke" | "timeToLive"> {
  /** False where the face has no leases: every call, and every write with a lease or a fence, is then `CATALOG_LEASES_UNSUPPORTED`. */
  readonly supported: boolean;
  list(options?: LeaseOptions & { readonly after?: LeaseId; readonly limit?: number }): Promise<LeasePage>;
  /** What is attached to a lease. Keys that other users of the catalog attached and that name no resource are left out. */
  resources(
    id: LeaseId,
    options?: LeaseOptions & { readonly after?: ResourceRef; readonly limit?: number },
  ): Promise<LeaseResourcePage>;
}

/** The leases of a face that has none. */
export const noFaceLeases: FaceLeases = {
  supported: false,
  grant: (request) => noLeases.grant(request),
  keepAlive: (id) => noLeases.keepAlive(id),
  revoke: (id) => noLeases.revoke(id),
  timeToLive: (id) => noLeases.timeToLive(id),
  list: async () => ({ leases: await noLeases.list() }),
  resources: async (id) => {
    await noLeases.keys(id);
    return { resources: [] };
  },
};

/**
 * One API spoken over the catalog.
 *
 * Verbs before `start` or after `shutdown` reject with `FACE_NOT_RUNNING`. A resource that is not there is
 * `FACE_RESOURCE_NOT_FOUND`; a body that cannot be read is `FORMAT_INVALID`; a format nobody speaks is `FORMAT_UNSUPPORTED`; a lost
 * race with `ifRevision` is `FACE_CONFLICT`. Writes reject as `Catalog.txn` does.
 */
export interface Face extends AsyncDisposable {
  readonly manifest: FaceManifest;
  readonly leases: FaceLeases;
  isRunning(): boolean;
  start(): Promise<void>;
  shutdown(): Promise<void>;
  /**
   * Applies all documents of a body, in order, in one transaction: all or nothing. Each of them belongs to `lease` then, and to none where it
   * is left out; another lease is a change like another content. Under a `fence` that does not hold nothing is written: `CATALOG_FENCED`.
   */
  apply(
    input: {
      readonly format: ResourceFormat;
      readonly body: Uint8Array;
      readonly source?: string;
      readonly ifRevision?: Revision;
      readonly lease?: LeaseId;
      readonly fence?: Fence;
    },
    options?: { readonly signal?: AbortSignal },
  ): Promise<readonly AppliedResource[]>;
  get(ref: ResourceRef, options?: FaceReadOptions): Promise<StoredResource>;
  list(
    selector: ResourceSelector,
    options?: FaceReadOptions & { readonly limit?: number; readonly next?: string },
  ): Promise<ResourceList>;
  delete(
    ref: ResourceRef,
    options?: { readonly ifRevision?: Revision; readonly fence?: Fence; readonly signal?: AbortSignal },
  ): Promise<{ readonly revision: Revision }>;
  /** Starts with what is there as `added` where `fromRevision` is absent; a gap in history is a `reset` followed by what is there. */
  watch(
    selector: ResourceSelector,
    options: { readonly fromRevision?: Revision; readonly format?: ResourceFormat; readonly signal: AbortSignal },
  ): AsyncIterable<ResourceWatchEvent>;
  snapshot(options?: { readonly signal?: AbortSignal }): AsyncIterable<Uint8Array>;
  restore(chunks: AsyncIterable<Uint8Array>, options?: { readonly signal?: AbortSignal }): Promise<Revision>;
  counts(): { readonly resources: number; readonly subscribers: number };
}

/** What a face is given. Anything more specific comes from the face's own options. */
export interface FaceComponents {
  readonly face: FabricFace;
  readonly catalog: Catalog;
  readonly formats: FormatRegistry;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Makes a face; registered under the protocol that it speaks. */
export interface FaceFactory {
  readonly protocol: string;
  create(components: FaceComponents): Face;
}
