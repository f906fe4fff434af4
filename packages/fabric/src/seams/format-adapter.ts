import type { ResourceFormat, ResourceRef } from "../resource.ts";

/** A plain value: what JSON can say, and bytes. Objects have no prototype tricks: keys are own and enumerable. */
export type PlainValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly PlainValue[]
  | { readonly [key: string]: PlainValue };

/** One resource as a document: where it belongs, and what it says. */
export interface ResourceDocument {
  readonly ref: ResourceRef;
  readonly value: PlainValue;
  /** For formats that must come back byte for byte: the exact bytes of this document. */
  readonly exact?: Uint8Array;
}

/** Text or bytes ↔ documents. Refuses with `FORMAT_INVALID`, naming source, line and column where the format has them. */
export interface FormatAdapter {
  readonly format: ResourceFormat;
  /** Decodes one or several documents; at most 3 MiB. */
  decode(bytes: Uint8Array, source: string): readonly ResourceDocument[];
  encode(documents: readonly ResourceDocument[]): Uint8Array;
}

/** The adapters of a process. `get` throws `FORMAT_UNSUPPORTED`, naming those that are there. */
export interface FormatRegistry {
  get(format: string): FormatAdapter;
  formats(): readonly ResourceFormat[];
}
