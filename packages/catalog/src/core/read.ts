import {
  InvariantError,
  type CatalogEntry,
  type CatalogEvent,
  type LeaseId,
  type Revision,
  type StoreReader,
} from "@revoada/fabric";
import { boundsOf, inRange, successor, type KeyRange } from "./bytes.ts";
import {
  decodeCurrent,
  decodeHistory,
  decodeState,
  decodeVersion,
  type CatalogState,
  type CurrentRecord,
} from "./records.ts";
import {
  historyKey,
  metaTree,
  parseHistoryKey,
  parseVersionKey,
  slotTrees,
  stateKey,
  versionBound,
  versionKey,
} from "./store-keys.ts";

export function readState(reader: StoreReader): CatalogState {
  return decodeState(reader.get(metaTree, stateKey));
}

/** Where a version of a key stands; the stored revision 0 is still a 0 here. */
interface Place {
  readonly key: Uint8Array;
  readonly revision: number;
  readonly place: number;
  /** Present where the version is the newest one. */
  readonly record?: CurrentRecord;
}

/** Records of a restore bear revision 0. */
function told(state: CatalogState, revision: number): Revision {
  return (revision === 0 ? state.base : revision) as Revision;
}

const noValue = new Uint8Array(0);

export function entryOf(state: CatalogState, key: Uint8Array, record: CurrentRecord, value: Uint8Array): CatalogEntry {
  return {
    key,
    value,
    createRevision: told(state, record.createRevision),
    modRevision: told(state, record.modRevision),
    version: record.version,
    ...(record.lease === undefined ? {} : { lease: record.lease as LeaseId }),
  };
}

function loadEntry(reader: StoreReader, state: CatalogState, { key, revision, place }: Place): CatalogEntry {
  const bytes = reader.get(slotTrees[state.slot].history, historyKey(revision, place));
  const record = bytes === undefined ? undefined : decodeHistory(bytes);
  if (record?.type !== "put")
    throw new InvariantError(`catalog: revision ${revision} lacks the value of place ${place}`);
  return entryOf(state, key, { ...record, modRevision: revision, place }, record.value);
}

export function readCurrent(reader: StoreReader, state: CatalogState, key: Uint8Array): CurrentRecord | undefined {
  const bytes = reader.get(slotTrees[state.slot].current, key);
  return bytes === undefined ? undefined : decodeCurrent(bytes);
}

/** The newest value of a key. */
export function readEntry(reader: StoreReader, state: CatalogState, key: Uint8Array): CatalogEntry | undefined {
  const record = readCurrent(reader, state, key);
  if (record === undefined) return undefined;
  return loadEntry(reader, state, { key, revision: record.modRevision, place: record.place });
}

/** Live keys of a range and their records, without values. */
export function* currentKeys(
  reader: StoreReader,
  state: CatalogState,
  range: KeyRange,
): Generator<{ readonly key: Uint8Array; readonly record: CurrentRecord }, void, undefined> {
  if (range.end === undefined) {
    const record = readCurrent(reader, state, range.start);
    if (record !== undefined) yield { key: range.start, record };
    return;
  }
  for (const { key, value } of reader.range(slotTrees[state.slot].current, boundsOf(range))) {
    yield { key, record: decodeCurrent(value) };
  }
}

/** The version of a key that was in force at a revision; undefined where it did not exist or was deleted then. */
function placeAt(reader: StoreReader, state: CatalogState, key: Uint8Array, revision: number): Place | undefined {
  const range = { start: versionKey(key, 0), end: versionKey(key, revision + 1), reverse: true, limit: 1 };
  for (const found of reader.range(slotTrees[state.slot].versions, range)) {
    const at = parseVersionKey(found.key);
    const record = decodeVersion(found.value);
    if (at === undefined) throw new InvariantError("catalog: a stored version key cannot be read");
    return record.deleted ? undefined : { key, revision: at.revision, place: record.place };
  }
  return undefined;
}

function* placesAt(
  reader: StoreReader,
  state: CatalogState,
  range: KeyRange,
  revision: number,
): Generator<Place, void, undefined> {
  if (revision >= state.revision) {
    for (const { key, record } of currentKeys(reader, state, range)) {
      yield { key, revision: record.modRevision, place: record.place, record };
    }
    return;
  }
  const { versions } = slotTrees[state.slot];
  const bounds = boundsOf(range);
  const end = versionBound(bounds.end);
  // From key to key by seeking: a key with a long history costs no more than another.
  for (let start = versionBound(bounds.start); ;) {
    const [next] = [...reader.range(versions, { start, end, limit: 1 })];
    if (next === undefined) return;
    const found = parseVersionKey(next.key);
    if (found === undefined) throw new InvariantError("catalog: a stored version key cannot be read");
    const place = placeAt(reader, state, found.key, revision);
    if (place !== undefined) yield place;
    start = successor(versionKey(found.key, Number.MAX_SAFE_INTEGER));
  }
}

/** All live entries in key order, one at a time. */
export function* readEntries(reader: StoreReader, state: CatalogState): Generator<CatalogEntry, void, undefined> {
  for (const { key, value } of reader.range(slotTrees[state.slot].current)) {
    const record = decodeCurrent(value);
    yield loadEntry(reader, state, { key, revision: record.modRevision, place: record.place });
  }
}

export interface RangeReading {
  readonly entries: readonly CatalogEntry[];
  readonly more: boolean;
  readonly count: number;
}

/** Reads a range as it was at a revision that the caller has checked against the floor and the newest. */
export function readRange(
  reader: StoreReader,
  state: CatalogState,
  request: KeyRange & {
    readonly revision?: number | undefined;
    readonly limit?: number | undefined;
    readonly keysOnly?: boolean | undefined;
  },
): RangeReading {
  const entries: CatalogEntry[] = [];
  const limit = request.limit ?? Number.POSITIVE_INFINITY;
  const revision = request.revision ?? state.revision;
  let count = 0;
  for (const place of placesAt(reader, state, request, revision)) {
    count++;
    if (count > limit) continue;
    if (request.keysOnly !== true) entries.push(loadEntry(reader, state, place));
    else if (place.record !== undefined) entries.push(entryOf(state, place.key, place.record, noValue));
    else entries.push({ ...loadEntry(reader, state, place), value: noValue });
  }
  return { entries, more: count > entries.length, count };
}

/** The version before a change of a key, where history still has it. */
export function readPrevious(
  reader: StoreReader,
  state: CatalogState,
  key: Uint8Array,
  revision: number,
): CatalogEntry | undefined {
  if (revision === 0) return undefined;
  const place = placeAt(reader, state, key, revision - 1);
  return place === undefined ? undefined : loadEntry(reader, state, place);
}

/** One stored change, still without the previous value. */
export interface HistoryItem {
  readonly revision: number;
  readonly place: number;
  readonly event: CatalogEvent;
}

/** What changed from a revision on, in order. Changes made by a restore are not events and are not among them. */
export function* readHistory(
  reader: StoreReader,
  state: CatalogState,
  fromRevision: number,
  range?: KeyRange,
): Generator<HistoryItem, void, undefined> {
  const { history } = slotTrees[state.slot];
  for (const { key, value } of reader.range(history, { start: historyKey(Math.max(fromRevision, 1), 0) })) {
    const at = parseHistoryKey(key);
    if (at === undefined) throw new InvariantError("catalog: a stored history key cannot be read");
    const record = decodeHistory(value);
    if (range !== undefined && !inRange(record.key, range)) continue;
    const modRevision = at.revision as Revision;
    const event: CatalogEvent =
      record.type === "delete"
        ? { type: "delete", key: record.key, modRevision }
        : {
            type: "put",
            entry: entryOf(state, record.key, { ...record, modRevision: at.revision, place: at.place }, record.value),
          };
    yield { ...at, event };
  }
}
