import { randomBytes } from "node:crypto";
import { digestBytes, encodeChunk, stageIdBytes, type CatalogCommand, type StagedEntry } from "./core/command.ts";
import { catalogLimits } from "./core/limits.ts";
import { nextDigest } from "./core/restoring.ts";

function* chunksOf(entries: readonly StagedEntry[]): Generator<Uint8Array, void, undefined> {
  let pending: StagedEntry[] = [];
  let size = 0;
  for (const entry of entries) {
    const entryBytes = entry.key.length + entry.value.length + 16;
    if (pending.length > 0 && size + entryBytes > catalogLimits.stagedBytes) {
      yield encodeChunk(pending);
      pending = [];
      size = 0;
    }
    pending.push(entry);
    size += entryBytes;
  }
  if (pending.length > 0) yield encodeChunk(pending);
}

/** The commands that put checked entries in the place of all that there is: each small, the last one decisive. */
export function* restoreCommands(entries: readonly StagedEntry[]): Generator<CatalogCommand, void, undefined> {
  const id = new Uint8Array(randomBytes(stageIdBytes));
  // The digest is announced before the chunks, which are therefore made twice rather than held.
  let digest: Uint8Array = new Uint8Array(digestBytes);
  for (const chunk of chunksOf(entries)) digest = nextDigest(digest, chunk);
  yield { type: "restore-begin", id, digest, entries: entries.length };
  let sequence = 0;
  for (const chunk of chunksOf(entries)) yield { type: "restore-chunk", id, sequence: sequence++, chunk };
  yield { type: "restore-commit", id };
}
