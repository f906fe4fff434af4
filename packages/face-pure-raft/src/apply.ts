import {
  type AppliedResource,
  type Catalog,
  type CatalogEntry,
  type Compare,
  type Face,
  type Fence,
  type FormatRegistry,
  type LeaseId,
  LeasesUnsupportedError,
  parseFence,
  parseLeaseId,
  parseRevision,
  type ResourceFormat,
  type ResourceRef,
  resourceKey,
  type Revision,
} from "@revoada/fabric";
import { FaceConflictError, FaceDuplicateResourceError } from "./errors.ts";
import { encodeStored } from "./stored.ts";

/** How often an apply begins anew because others changed the same resources meanwhile. */
const maxAttempts = 8;

interface Wanted {
  readonly ref: ResourceRef;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** What is written belongs to this lease, and is written only under this fence. */
interface Terms {
  readonly lease?: LeaseId;
  readonly fence?: Fence;
}

/** Applies all documents of a body in one transaction. */
export async function applyBody(
  parts: { readonly catalog: Catalog; readonly formats: FormatRegistry },
  input: Parameters<Face["apply"]>[0],
  signal: AbortSignal | undefined,
): Promise<readonly AppliedResource[]> {
  const ifRevision = input.ifRevision === undefined ? undefined : parseRevision(input.ifRevision, "ifRevision");
  const terms: Terms = {
    ...(input.lease === undefined ? {} : { lease: parseLeaseId(input.lease) }),
    ...(input.fence === undefined ? {} : { fence: parseFence(input.fence) }),
  };
  // A catalog without leases refuses these where it writes; what needs no write must not slip past that.
  if (!parts.catalog.leases.supported && (terms.lease ?? terms.fence) !== undefined) throw new LeasesUnsupportedError();
  const wanted = readBody(parts.formats, input);
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    // The first look costs no round trip: the transaction's conditions catch what this replica did not know yet.
    const fresh = attempt > 0;
    const current = await look(parts.catalog, wanted, fresh, signal);
    const conflict = wanted.find((_, index) => ifRevision !== undefined && revisionOf(current[index]) !== ifRevision);
    if (conflict !== undefined) {
      if (!fresh) continue;
      const found = revisionOf(current[wanted.indexOf(conflict)]);
      throw new FaceConflictError(
        conflict.ref,
        `expected revision ${ifRevision}, it is at ${found === 0 ? "none" : found}`,
      );
    }
    const changed = wanted.filter(({ value }, index) => !isAsWanted(current[index], value, terms.lease));
    // That nothing changes can only be said of what is current, and that a fence holds only by the log.
    if (changed.length === 0 && !fresh) continue;
    const revision =
      changed.length === 0 && terms.fence === undefined
        ? (0 as Revision)
        : await write(parts.catalog, { wanted, current, changed, terms }, signal);
    if (revision === undefined) continue;
    return wanted.map((one, index) => outcomeOf(one, current[index], changed.includes(one), revision));
  }
  const [first] = wanted as [Wanted];
  throw new FaceConflictError(first.ref, `others changed what is applied ${maxAttempts} times meanwhile`, {
    retryable: true,
  });
}

function readBody(
  formats: FormatRegistry,
  input: { readonly format: ResourceFormat; readonly body: Uint8Array; readonly source?: string },
): readonly Wanted[] {
  const source = input.source ?? `${input.format} body`;
  const documents = formats.get(input.format).decode(input.body, source);
  const seen = new Set<string>();
  return documents.map((document) => {
    const key = resourceKey(document.ref);
    const name = Buffer.from(key).toString("latin1");
    if (seen.has(name)) throw new FaceDuplicateResourceError(document.ref, source);
    seen.add(name);
    return { ref: document.ref, key, value: encodeStored(input.format, document) };
  });
}

function look(
  catalog: Catalog,
  wanted: readonly Wanted[],
  fresh: boolean,
  signal: AbortSignal | undefined,
): Promise<readonly (CatalogEntry | undefined)[]> {
  const options = {
    consistency: fresh ? "linearizable" : "stale",
    ...(signal === undefined ? {} : { signal }),
  } as const;
  return Promise.all(wanted.map(({ key }) => catalog.get(key, options)));
}

/** Writes what changed where everything still is as it was seen; undefined where it is not. */
async function write(
  catalog: Catalog,
  work: {
    readonly wanted: readonly Wanted[];
    readonly current: readonly (CatalogEntry | undefined)[];
    readonly changed: readonly Wanted[];
    readonly terms: Terms;
  },
  signal: AbortSignal | undefined,
): Promise<Revision | undefined> {
  const { wanted, current, changed, terms } = work;
  const { lease, fence } = terms;
  const compare = wanted.map(({ key }, index): Compare => ({
    key,
    target: "modRevision",
    is: "=",
    value: revisionOf(current[index]),
  }));
  const attached = lease === undefined ? {} : { lease };
  const then = changed.map(({ key, value }) => ({ type: "put", key, value, ...attached }) as const);
  // oxlint-disable-next-line unicorn/no-thenable -- the seam's word, as etcd's
  const { succeeded, revision } = await catalog.txn(
    { compare, then, else: [], ...(fence === undefined ? {} : { fence }) },
    signal === undefined ? {} : { signal },
  );
  return succeeded ? revision : undefined;
}

function outcomeOf(
  one: Wanted,
  before: CatalogEntry | undefined,
  changed: boolean,
  revision: Revision,
): AppliedResource {
  if (before === undefined) return { ref: one.ref, revision, outcome: "created" };
  if (changed) return { ref: one.ref, revision, outcome: "updated" };
  return { ref: one.ref, revision: before.modRevision, outcome: "unchanged" };
}

function revisionOf(entry: CatalogEntry | undefined): number {
  return entry?.modRevision ?? 0;
}

function isAsWanted(entry: CatalogEntry | undefined, value: Uint8Array, lease: LeaseId | undefined): boolean {
  return entry !== undefined && entry.lease === lease && Buffer.compare(entry.value, value) === 0;
}
