import {
  type Catalog,
  type CatalogEvent,
  type FormatRegistry,
  isFabricError,
  matchesSelector,
  resourceRange,
  resourceRefOfKey,
  type ResourceFormat,
  type ResourceList,
  type ResourceSelector,
  type ResourceWatchEvent,
  type Revision,
} from "@revoada/fabric";
import { resourceOf } from "./pages.ts";

/** Reads one page of what is there; the first one without a token. */
export type ReadPage = (next: string | undefined) => Promise<ResourceList>;

/**
 * What is there as `added` events, page by page at one revision, which is returned. Where history is compacted away under a slow
 * consumer, it starts again behind a `reset`.
 */
export async function* stateEvents(
  readPage: ReadPage,
  reset?: Extract<ResourceWatchEvent, { type: "reset" }>["reason"],
): AsyncGenerator<ResourceWatchEvent, Revision, undefined> {
  let reason = reset;
  for (;;) {
    try {
      let page = await readPage(undefined);
      const { revision } = page;
      if (reason !== undefined) yield { type: "reset", revision, reason };
      for (;;) {
        for (const item of page.items) yield { type: "added", ...item };
        if (page.next === undefined) return revision;
        page = await readPage(page.next);
      }
    } catch (error) {
      if (!isFabricError(error, "CATALOG_COMPACTED")) throw error;
      reason = "compacted";
    }
  }
}

/** The changes of what a selector matches from a revision on, until the signal aborts. */
export async function* changeEvents(
  parts: { readonly catalog: Catalog; readonly formats: FormatRegistry },
  request: {
    readonly selector: ResourceSelector;
    readonly fromRevision: Revision;
    readonly format: ResourceFormat | undefined;
    readonly signal: AbortSignal;
  },
): AsyncGenerator<ResourceWatchEvent, void, undefined> {
  const { catalog, formats } = parts;
  const { selector, fromRevision, format, signal } = request;
  const { start, end } = resourceRange(selector);
  for await (const batch of catalog.watch({ start, end, fromRevision, signal })) {
    if (batch.type === "progress") continue;
    if (batch.type === "reset") {
      yield { type: "reset", revision: batch.revision, reason: batch.reason };
      for (const entry of batch.entries) {
        const ref = resourceRefOfKey(entry.key);
        if (matchesSelector(selector, ref)) yield { type: "added", ...resourceOf(formats, entry, { format, ref }) };
      }
      continue;
    }
    for (const event of batch.events) {
      const told = eventOf(formats, event, selector, format);
      if (told !== undefined) yield told;
    }
  }
}

function eventOf(
  formats: FormatRegistry,
  event: CatalogEvent,
  selector: ResourceSelector,
  format: ResourceFormat | undefined,
): ResourceWatchEvent | undefined {
  const ref = resourceRefOfKey(event.type === "put" ? event.entry.key : event.key);
  if (!matchesSelector(selector, ref)) return undefined;
  if (event.type === "delete") return { type: "deleted", ref, revision: event.modRevision };
  const type = event.entry.version === 1 ? "added" : "modified";
  return { type, ...resourceOf(formats, event.entry, { format, ref }) };
}
