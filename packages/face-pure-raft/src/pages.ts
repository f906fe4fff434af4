import {
  type Catalog,
  type CatalogEntry,
  type FormatRegistry,
  InvalidValueError,
  matchesSelector,
  type ResourceFormat,
  type ResourceList,
  type ResourceRef,
  resourceRange,
  resourceRefOfKey,
  type ResourceSelector,
  type Revision,
  type Consistency,
  type StoredResource,
} from "@revoada/fabric";
import { FaceInvalidPageTokenError } from "./errors.ts";
import { decodePageToken, encodePageToken } from "./page-token.ts";
import { bodyOrOwn, bodyOf, decodeStored } from "./stored.ts";

/** How much one page of a list holds at most. */
export interface PageLimits {
  readonly items: number;
  /** Of bodies; the first item of a page is given whatever its size. */
  readonly bytes: number;
}

export const defaultPageLimits: PageLimits = { items: 1_000, bytes: 4 * 1024 * 1024 };

const firstBatch = 64;
const largestBatch = 512;

export interface PageRequest {
  readonly selector: ResourceSelector;
  readonly format?: ResourceFormat;
  readonly consistency?: Consistency;
  readonly limit?: number;
  readonly next?: string;
  readonly signal?: AbortSignal;
}

/** A stored entry as a resource. Where another format is asked for and `strict` is left out, what it cannot say comes in its own. */
export function resourceOf(
  formats: FormatRegistry,
  entry: CatalogEntry,
  options: { readonly format: ResourceFormat | undefined; readonly strict?: boolean; readonly ref?: ResourceRef },
): StoredResource {
  const ref = options.ref ?? resourceRefOfKey(entry.key);
  const stored = decodeStored(entry.value, ref);
  const asked = options.format ?? stored.format;
  const { format, body } =
    options.strict === true
      ? { format: asked, body: bodyOf(formats, ref, stored, asked) }
      : bodyOrOwn(formats, ref, stored, asked);
  const lease = entry.lease === undefined ? {} : { lease: entry.lease };
  return { ref, revision: entry.modRevision, format, body, ...lease };
}

/** One page of a list, read at one revision in batches, so that memory is bounded by the page and not by the catalog. */
export async function readPage(
  parts: { readonly catalog: Catalog; readonly formats: FormatRegistry; readonly limits: PageLimits },
  request: PageRequest,
): Promise<ResourceList> {
  const { catalog, formats, limits } = parts;
  const { selector, format, signal } = request;
  if (format !== undefined) formats.get(format);
  const most = checkLimit(request.limit, limits.items);
  const position = request.next === undefined ? undefined : decodePageToken(request.next);
  const { start, end } = resourceRange(selector);
  if (position !== undefined && (compare(position.after, start) < 0 || compare(position.after, end) >= 0)) {
    throw new FaceInvalidPageTokenError("is of another selector");
  }
  let after = position?.after;
  let revision: Revision | undefined = position?.revision;
  let batch = Math.min(firstBatch, most + 1);
  let bytes = 0;
  let age: { readonly ageMs?: number } = {};
  const items: StoredResource[] = [];
  for (let first = true; ; first = false) {
    // What is pinned cannot become fresher: only the first read of a page has to know itself current.
    const consistency = first ? (request.consistency ?? "linearizable") : "stale";
    const range = await catalog.range(
      {
        start: after === undefined ? start : successor(after),
        end,
        limit: batch,
        ...(revision === undefined ? {} : { revision }),
      },
      { consistency, ...(signal === undefined ? {} : { signal }) },
    );
    revision ??= range.revision;
    if (first && consistency === "stale") age = { ageMs: range.ageMs };
    for (const entry of range.entries) {
      const ref = resourceRefOfKey(entry.key);
      if (matchesSelector(selector, ref)) {
        const item = resourceOf(formats, entry, { format, ref });
        bytes += item.body.length;
        const full = items.length === most || (bytes > limits.bytes && items.length > 0);
        if (full && after !== undefined) return { revision, ...age, items, next: encodePageToken({ revision, after }) };
        items.push(item);
      }
      after = entry.key;
    }
    if (!range.more || range.entries.length === 0) return { revision, ...age, items };
    batch = nextBatch(range.entries, limits.bytes);
  }
}

/** Large values are read few at a time, small ones many. */
function nextBatch(entries: readonly CatalogEntry[], bytes: number): number {
  const total = entries.reduce((sum, { value }) => sum + value.length, 0);
  const average = Math.max(1, total / entries.length);
  return Math.max(1, Math.min(largestBatch, Math.floor(bytes / average)));
}

function checkLimit(limit: number | undefined, most: number): number {
  if (limit === undefined) return most;
  if (Number.isSafeInteger(limit) && limit >= 1) return Math.min(limit, most);
  throw new InvalidValueError("limit", limit, "a whole number from 1");
}

function compare(one: Uint8Array, other: Uint8Array): number {
  return Buffer.compare(one, other);
}

/** The least key above another. */
function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
