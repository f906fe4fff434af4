import { InvalidValueError, type HardState, type LogBase, type LogEntry } from "@revoada/fabric";
import { LogInvalidBatchError } from "./errors.ts";
import { maxGroupIdBytes, maxIdBytes, maxMembers, maxSegmentBytes } from "./format.ts";
import type { WalOptions } from "./wal-log-store.ts";

const minSegmentBytes = 4096;

/** Throws `FABRIC_INVALID_VALUE` where an option is out of range. */
export function checkOptions(options: WalOptions): WalOptions {
  if (options.directory === "" || options.directory === ".") {
    throw new InvalidValueError("directory", options.directory, "a directory of the log's own");
  }
  checkBytes("segmentBytes", options.segmentBytes, minSegmentBytes, maxSegmentBytes / 4);
  checkBytes("allocateBytes", options.allocateBytes, minSegmentBytes, options.segmentBytes ?? 64 << 20);
  checkBytes("cacheBytes", options.cacheBytes, 0, Number.MAX_SAFE_INTEGER);
  checkBytes("flushBytes", options.flushBytes, 1, maxSegmentBytes / 4);
  if ((options.groupId?.length ?? 0) > maxGroupIdBytes) {
    throw new InvalidValueError("groupId", options.groupId, `at most ${maxGroupIdBytes} bytes`);
  }
  return options;
}

function checkBytes(path: string, value: number | undefined, from: number, to: number): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= from && value <= to)) return;
  throw new InvalidValueError(path, value, `an integer from ${from} to ${to}`);
}

function isCounter(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Entries follow `last`, whose term is `lastTerm`, without a gap and without taking the term back. */
export function checkEntries(entries: readonly LogEntry[], last: number, lastTerm: number): void {
  let index = last;
  let term = lastTerm;
  for (const entry of entries) {
    if (entry.index !== index + 1) throw new LogInvalidBatchError(`entry ${entry.index} cannot follow entry ${index}`);
    if (!isCounter(entry.term) || entry.term < term) {
      throw new LogInvalidBatchError(`entry ${entry.index} takes the term back from ${term} to ${entry.term}`);
    }
    if (entry.kind !== "command" && entry.kind !== "noop" && entry.kind !== "configuration") {
      throw new LogInvalidBatchError(`entry ${entry.index} is of an unknown kind`);
    }
    if (!(entry.payload instanceof Uint8Array))
      throw new LogInvalidBatchError(`the payload of entry ${entry.index} is no Uint8Array`);
    index = entry.index;
    term = entry.term;
  }
}

export function checkHardState(state: HardState): void {
  if (!isCounter(state.term) || !isCounter(state.commitIndex)) {
    throw new LogInvalidBatchError(`term ${state.term} or commit index ${state.commitIndex} is no counter`);
  }
  if (state.vote !== undefined) checkId(state.vote, "the vote");
}

export function checkBase(base: LogBase): void {
  if (!isCounter(base.index) || !isCounter(base.term)) {
    throw new LogInvalidBatchError(`base index ${base.index} or term ${base.term} is no counter`);
  }
  if (base.configuration === undefined) return;
  const { voters, outgoing, learners } = base.configuration;
  for (const members of [voters, outgoing ?? [], learners]) {
    if (members.length > maxMembers) throw new LogInvalidBatchError(`a configuration of ${members.length} members`);
    for (const member of members) {
      checkId(member.id, "a member's id");
      checkId(member.storeId, "a member's store id");
    }
  }
}

function checkId(text: string, what: string): void {
  if (Buffer.byteLength(text) > maxIdBytes)
    throw new LogInvalidBatchError(`${what} is longer than ${maxIdBytes} bytes`);
}
