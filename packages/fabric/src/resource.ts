import type { Revision } from "./ids.ts";
import type { LeaseId } from "./seams/lease.ts";

/** What a resource is called. `group` and `namespace` are absent where there is none. */
export interface ResourceRef {
  readonly group?: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

/** Which resources a list or a watch is about; absent fields match everything. `namespace: ""` matches those without one. */
export interface ResourceSelector {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
}

export type ResourceFormat = "yaml" | "json" | "hcl" | "native";

export type ResourceWatchEvent =
  | {
      readonly type: "added" | "modified";
      readonly ref: ResourceRef;
      readonly revision: Revision;
      readonly format: ResourceFormat;
      readonly body: Uint8Array;
      /** The lease that it was applied with; absent where it was applied without one. */
      readonly lease?: LeaseId;
    }
  | { readonly type: "deleted"; readonly ref: ResourceRef; readonly revision: Revision }
  /** What was known is void; what is there now follows as `added`, up to `revision`. */
  | { readonly type: "reset"; readonly revision: Revision; readonly reason: "compacted" | "overflow" | "restored" };
