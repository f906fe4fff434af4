import type { Disk, HardState, LogBase, LogIndex, StoreId } from "@revoada/fabric";
import type { WalRecord } from "./batch-decoder.ts";
import type { LogImage } from "./log-image.ts";
import { recover, type WalFault } from "./recovery.ts";
import { FileWindow, scanSegment, type ScannedBatch, type SegmentEnd } from "./segment-scan.ts";
import { linkSegments, surveySegments, type FoundSegment } from "./survey.ts";

/** One segment as an operator sees it. */
export interface WalSegmentReport {
  readonly name: string;
  readonly sequence: number;
  readonly sizeBytes: number;
  /** `live`; `unused`: the log does not need it; `damaged`: its header cannot be believed. */
  readonly state: "live" | "unused" | "damaged";
  /** The bytes that hold valid batches, header included. */
  readonly usedBytes: number;
  readonly previousIndex?: LogIndex;
  readonly batches: number;
  readonly records: Readonly<Record<WalRecord["type"], number>>;
  /** The first and the last entry written into it, whether or not a later record cut them away. */
  readonly firstEntry?: LogIndex;
  readonly lastEntry?: LogIndex;
  readonly end: SegmentEnd["kind"];
  readonly reason?: string;
}

/** What a log holds of one group. */
export interface WalGroupReport {
  /** Empty in a log of one group that is bound to none. */
  readonly groupId: Uint8Array;
  readonly hardState: HardState;
  readonly base: LogBase;
  /** The first entry held is the one behind the base. */
  readonly lastIndex: LogIndex;
  /**
   * `suspect`: acknowledged records may be missing, or the group is still being refilled after damage. `forgotten`: dropped for good.
   */
  readonly state: "ok" | "suspect" | "forgotten";
}

/** What a log directory holds, read without changing anything. */
export interface WalReport {
  readonly directory: string;
  /** Undefined where there is no log, or none that can be believed. */
  readonly storeId?: StoreId;
  /** Names the group of a log of one, the cluster of a log of many. */
  readonly groupId?: Uint8Array;
  /** True where the log is that of many groups. */
  readonly shared: boolean;
  readonly groups: readonly WalGroupReport[];
  /** In a log of one group, like `base` and `lastIndex`. */
  readonly hardState?: HardState;
  readonly base?: LogBase;
  readonly lastIndex?: LogIndex;
  /** `absent`: no segment. `suspect`: every byte is as it was written, but the log is still being refilled after damage. */
  readonly verdict: "ok" | "absent" | "suspect" | "corrupt" | "newer";
  readonly segments: readonly WalSegmentReport[];
  readonly faults: readonly WalFault[];
  /** Files that were set aside, and leftovers. */
  readonly otherFiles: readonly string[];
}

export interface InspectOptions {
  /** `wal` by default. */
  readonly directory?: string;
  /** Called with each record whose check passes, in the order of the files. */
  readonly onRecord?: (record: WalRecord, segment: string) => void;
}

/** Reads a log directory whole and describes it. Changes nothing, so it may be used on a copy or on a stopped node's disk. */
export async function inspectWal(disk: Disk, options: InspectOptions = {}): Promise<WalReport> {
  const directory = options.directory ?? "wal";
  const survey = await surveySegments(disk, directory);
  const found = linkSegments(survey);
  const newest = found.chain.at(-1);
  const newer = survey.segments.filter((segment) => segment.newerVersion !== undefined);
  const recovery = newest === undefined || newer.length > 0 ? undefined : await recover(disk, directory, found);
  const live = new Set(recovery?.image.segments.map((segment) => segment.name));
  const segments: WalSegmentReport[] = [];
  for (const segment of survey.segments) {
    const at = found.chain.findIndex((linked) => linked.name === segment.name);
    const end = at < 0 ? undefined : found.chain[at + 1]?.header.previousEnd;
    segments.push(await inspectSegment(disk, directory, segment, live.has(segment.name), end, options.onRecord));
  }
  const shared = newest?.header.shared ?? false;
  const report = { directory, segments, shared, groups: [], otherFiles: survey.others };
  if (newer.length > 0) return { ...report, verdict: "newer", faults: newer.map(headerFault) };
  if (recovery === undefined || newest === undefined) {
    const faults = survey.segments.map(headerFault);
    return { ...report, verdict: faults.length === 0 ? "absent" : "corrupt", faults };
  }
  const { image, integrity, faults } = recovery;
  const { storeId, groupId } = newest.header;
  const verdict = integrity === "corrupt" ? "corrupt" : image.suspects > 0 ? "suspect" : "ok";
  const groups = [...image.written()].map((group) => describeGroup(group, shared ? group.id : groupId));
  const whole = { ...report, storeId, groupId, groups, verdict, faults } as const;
  if (shared) return whole;
  const { hardState, base, lastIndex } = image.only;
  return { ...whole, hardState, base, lastIndex };
}

function describeGroup(group: LogImage, groupId: Uint8Array): WalGroupReport {
  const { hardState, base, lastIndex } = group;
  return {
    groupId,
    hardState,
    base,
    lastIndex,
    state: group.forgotten ? "forgotten" : group.suspect ? "suspect" : "ok",
  };
}

/** What {@link verifyWal} says. */
export interface WalVerification {
  /** True where nothing that was acknowledged can be missing. A torn last batch is no fault: nobody was told of it. */
  readonly ok: boolean;
  readonly report: WalReport;
}

/** Checks every byte of a log directory. Changes nothing. */
export async function verifyWal(disk: Disk, options: InspectOptions = {}): Promise<WalVerification> {
  const report = await inspectWal(disk, options);
  return { ok: report.verdict === "ok" || report.verdict === "absent", report };
}

function headerFault(segment: FoundSegment): WalFault {
  return {
    kind: "corrupt",
    segment: segment.name,
    offset: 0,
    reason: segment.reason ?? "the segment belongs to no chain",
  };
}

async function inspectSegment(
  disk: Disk,
  directory: string,
  segment: FoundSegment,
  isLive: boolean,
  end: number | undefined,
  onRecord: InspectOptions["onRecord"],
): Promise<WalSegmentReport> {
  const records = {
    entry: 0,
    "hard-state": 0,
    truncate: 0,
    base: 0,
    reset: 0,
    suspect: 0,
    group: 0,
    forget: 0,
    seal: 0,
  };
  const { name, sequence, sizeBytes, header, seed } = segment;
  const common = { name, sequence, sizeBytes, records };
  if (header === undefined || seed === undefined) {
    return {
      ...common,
      state: "damaged",
      usedBytes: 0,
      batches: 0,
      end: "corrupt",
      reason: segment.reason ?? "the header is damaged",
    };
  }
  let batches = 0;
  let firstEntry: LogIndex | undefined;
  let lastEntry: LogIndex | undefined;
  const file = await disk.open(`${directory}/${name}`);
  try {
    const request = {
      window: await FileWindow.over(file),
      segmentSeed: seed,
      firstBatch: header.firstBatch,
      visit(batch: ScannedBatch): undefined {
        batches++;
        for (let at = 0; at < batch.records.count; at++) {
          const record = batch.records.record(at);
          records[record.type]++;
          if (record.type === "entry") lastEntry = record.index;
          if (record.type === "entry") firstEntry ??= record.index;
          onRecord?.(record, name);
        }
      },
    };
    const scanned = await scanSegment(end === undefined ? request : { ...request, end });
    return {
      ...common,
      state: isLive ? "live" : "unused",
      usedBytes: scanned.offset,
      previousIndex: header.previousIndex,
      batches,
      end: scanned.kind,
      ...(firstEntry === undefined ? {} : { firstEntry }),
      ...(lastEntry === undefined ? {} : { lastEntry }),
      ...(scanned.kind === "clean" ? {} : { reason: scanned.reason }),
    };
  } finally {
    await file.close();
  }
}
