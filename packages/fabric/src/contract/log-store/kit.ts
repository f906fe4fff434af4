import type { LogIndex, Term } from "../../ids.ts";
import type { LogEntry, LogStore, RecoveredLog } from "../../seams/log-store.ts";
import { bytesOf, check, equal, textOf } from "../case.ts";
import type { LogStoreFixture } from "../log-store.ts";

/** A test body over a fixture. */
export type Body = (fixture: LogStoreFixture) => Promise<void>;

/** A plain number as a log index. */
export const at = (index: number): LogIndex => index as LogIndex;

/** A plain number as a term. */
export const inTerm = (term: number): Term => term as Term;

/** A command entry; its payload says where it belongs. */
export function entry(
  index: number,
  term: number,
  payload: Uint8Array = bytesOf(`entry ${index} of term ${term}`),
): LogEntry {
  return { index: at(index), term: inTerm(term), kind: "command", payload };
}

/** Entries `first` to `last`, both included, of one term. */
export function entries(first: number, last: number, term: number): readonly LogEntry[] {
  return Array.from({ length: last - first + 1 }, (_, offset) => entry(first + offset, term));
}

/** More than any read of the kit needs. */
export const plenty: number = 64 * 1024 * 1024;

/** An opened store. */
export async function opened(fixture: LogStoreFixture): Promise<LogStore> {
  const store = fixture.store();
  await fixture.time.run(store.open());
  return store;
}

/** Closes the store and opens another over the same medium. */
export async function reopened(
  fixture: LogStoreFixture,
  store: LogStore,
): Promise<{ readonly store: LogStore; readonly recovered: RecoveredLog }> {
  await fixture.time.run(store.close());
  return recoveredStore(fixture);
}

/** Opens a store over what a crash has left. */
export async function afterCrash(
  fixture: LogStoreFixture,
): Promise<{ readonly store: LogStore; readonly recovered: RecoveredLog }> {
  await fixture.time.run(fixture.crash());
  return recoveredStore(fixture);
}

async function recoveredStore(
  fixture: LogStoreFixture,
): Promise<{ readonly store: LogStore; readonly recovered: RecoveredLog }> {
  const store = fixture.store();
  const recovered = await fixture.time.run(store.open());
  equal(recovered.integrity, "ok", "integrity");
  return { store, recovered };
}

/** Expects exactly these entries after `base`, in `read`, in `term` and beyond the end. */
export async function expectLog(
  { time }: LogStoreFixture,
  store: LogStore,
  base: { readonly index: number; readonly term: number },
  expected: readonly LogEntry[],
): Promise<void> {
  const end = base.index + expected.length;
  equal(store.term(at(base.index)), base.term, `the term of the base ${base.index}`);
  equal(store.term(at(end + 1)), undefined, `the term of ${end + 1}, beyond the end`);
  if (base.index > 0)
    equal(store.term(at(base.index - 1)), undefined, `the term of ${base.index - 1}, before the base`);
  for (const { index, term } of expected) equal(store.term(index), term, `the term of ${index}`);
  if (expected.length === 0) return;
  const found = await time.run(store.read(at(base.index + 1), at(end + 1), plenty));
  equal(found.map(brief), expected.map(brief), "the entries");
}

function brief({ index, term, kind, payload }: LogEntry): string {
  check(payload instanceof Uint8Array, `the payload of ${index} is not bytes`);
  return `${index}/${term} ${kind} ${payload.length <= 64 ? textOf(payload) : `${payload.length} bytes, ${sum(payload)}`}`;
}

/** A cheap fingerprint (Adler-like), enough to tell patterns of the kit apart. */
function sum(payload: Uint8Array): number {
  let [low, high] = [1, 0];
  for (const byte of payload) {
    low = (low + byte) % 65_521;
    high = (high + low) % 65_521;
  }
  return high * 65_536 + low;
}
