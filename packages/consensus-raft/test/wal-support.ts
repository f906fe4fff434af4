import type { HardState, LogBase, LogBatch, LogEntry, LogIndex, LogStore, Term } from "@revoada/fabric";
import { memoryDisk, seededRandom, type MemoryDisk } from "@revoada/fabric/memory";
import {
  formatWalReport,
  inspectWal,
  sharedWal,
  verifyWal,
  walLogStore,
  type SharedWal,
  type SharedWalOptions,
  type WalLogStore,
  type WalOptions,
} from "../src/wal/index.ts";

export { formatWalReport, inspectWal, memoryDisk, seededRandom, sharedWal, verifyWal };
export type { MemoryDisk, SharedWal, SharedWalOptions, WalLogStore };

/** Small segments, so that a short test rolls through many. */
export function openable(disk: WalOptions["disk"], options: Partial<WalOptions> = {}): WalLogStore {
  return walLogStore({ disk, random: seededRandom("wal"), segmentBytes: 8192, allocateBytes: 4096, ...options });
}

export function entry(
  index: number,
  term: number,
  payload: string | Uint8Array = `command ${index} of ${term}`,
): LogEntry {
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  return { index: index as LogIndex, term: term as Term, kind: "command", payload: bytes };
}

export function entries(from: number, to: number, term: number, payload?: string | Uint8Array): LogEntry[] {
  const list: LogEntry[] = [];
  for (let index = from; index <= to; index++) list.push(entry(index, term, payload));
  return list;
}

export function batch(
  list: readonly LogEntry[],
  more: { truncateFrom?: number; hardState?: HardState } = {},
): LogBatch {
  return {
    entries: list,
    ...(more.truncateFrom === undefined ? {} : { truncateFrom: more.truncateFrom as LogIndex }),
    ...(more.hardState === undefined ? {} : { hardState: more.hardState }),
  };
}

export function hardState(term: number, commitIndex: number, vote?: string): HardState {
  const state = { term: term as Term, commitIndex: commitIndex as LogIndex };
  return vote === undefined ? state : { ...state, vote };
}

export function base(index: number, term: number): LogBase {
  return { index: index as LogIndex, term: term as Term };
}

export function at(index: number): LogIndex {
  return index as LogIndex;
}

/** All that a log says, in a form that can be compared. */
export interface Contents {
  readonly base: LogBase;
  readonly hardState: HardState;
  readonly entries: readonly string[];
}

export function describeEntry(one: LogEntry): string {
  return `${one.index}/${one.term}/${one.kind}/${Buffer.from(one.payload).toString("hex")}`;
}

/** Reads every entry from `from`, in small steps so that reads begin everywhere. */
export async function readAll(log: LogStore, from: number, lastIndex: number, maxBytes = 700): Promise<LogEntry[]> {
  const list: LogEntry[] = [];
  while (from + list.length <= lastIndex) {
    const next = await log.read(at(from + list.length), at(lastIndex + 1), maxBytes);
    if (next.length === 0) throw new Error(`nothing at ${from + list.length}`);
    list.push(...next);
  }
  return list;
}

/** Opens the log of a disk, reads it whole, closes it. */
export async function contentsOf(
  disk: WalOptions["disk"],
  options: Partial<WalOptions> = {},
): Promise<Contents & { integrity: string }> {
  const log = openable(disk, options);
  try {
    const recovered = await log.open();
    const list = await readAll(log, recovered.base.index + 1, recovered.lastIndex);
    const terms = list.map((one) => log.term(one.index));
    if (terms.some((term, place) => term !== list[place]?.term)) throw new Error("term() and the entries differ");
    const { base: found, hardState: state, integrity } = recovered;
    return { base: found, hardState: state, entries: list.map(describeEntry), integrity };
  } finally {
    await log.close();
  }
}

/** The codes that an operation may end with. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "resolved";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/** Operations before which a crash can leave something that it could not before. */
export const changing: ReadonlySet<string> = new Set([
  "write",
  "datasync",
  "rename",
  "remove",
  "allocate",
  "syncDirectory",
  "truncate",
  "open",
]);

/** A log of many groups, in small segments. */
export function sharedOver(disk: WalOptions["disk"], options: Partial<SharedWalOptions> = {}): SharedWal {
  return sharedWal({ disk, random: seededRandom("wal"), segmentBytes: 8192, allocateBytes: 4096, ...options });
}

export function groupId(name: string | number): Uint8Array {
  return Buffer.from(`group ${name}`);
}

/** What each group of a log of many holds, by the name of the group. */
export async function contentsOfAll(
  disk: WalOptions["disk"],
  options: Partial<SharedWalOptions> = {},
): Promise<Map<string, Contents & { integrity: string }>> {
  const wal = sharedOver(disk, options);
  const found = new Map<string, Contents & { integrity: string }>();
  try {
    for (const { groupId: id, base: begin, hardState: state, lastIndex, integrity } of (await wal.open()).groups) {
      const log = wal.store(id);
      await log.open();
      const list = await readAll(log, begin.index + 1, lastIndex);
      const name = Buffer.from(id).toString();
      found.set(name, { base: begin, hardState: state, entries: list.map(describeEntry), integrity });
      await log.close();
    }
  } finally {
    await wal.close();
  }
  return found;
}
