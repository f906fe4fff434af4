import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { Group } from "./group.ts";
import type { Member } from "./member.ts";
import type { Sample } from "./orders.ts";
import { type Fit, fitLine, judgeSlope } from "./slope.ts";

export interface SoakOptions {
  /** Must exist; what is left in there is for the caller to remove. */
  readonly directory: string;
  readonly minutes: number;
  /** Writes per second. */
  readonly rate: number;
  /** How many times the processes are looked at; the first fifth is warming up and does not count. */
  readonly samples: number;
  readonly signal: AbortSignal;
  readonly report: (line: string) => void;
}

/** A process at one time. */
export interface SoakSample extends Sample {
  readonly atSeconds: number;
  readonly directoryBytes: number;
}

export interface ProcessFigures {
  readonly name: string;
  readonly role: string;
  /** Of the heap after a forced collection, in bytes per commit. */
  readonly heap: Fit;
  readonly resident: Fit;
  readonly verdict: ReturnType<typeof judgeSlope>;
  /** What grew although it should not; empty where nothing did. */
  readonly findings: readonly string[];
  readonly samples: readonly SoakSample[];
}

export interface SoakFigures {
  readonly aimBytesPerCommit: number;
  readonly commits: number;
  readonly commitsPerSecond: number;
  readonly failed: number;
  readonly cpuCores: number;
  readonly processes: readonly ProcessFigures[];
}

const aimBytesPerCommit = 16;
/** A slope with a useful interval takes about as many. */
const leastSamples = 20;
const warmUpShare = 0.2;
const payloadBytes = 256;
const segmentBytes = 8 * 1024 * 1024;
const snapshotIntervalEntries = 5000;
/** Files that come and go: a spare segment, a snapshot that is written, a segment that is read. */
const transientDescriptors = 6;
/** The same in bytes: two segments. */
const transientBytes = 2 * segmentBytes;

/** One leader and two followers under steady load with compaction: what they hold must not grow with what they have done. */
export async function soak(options: SoakOptions): Promise<SoakFigures> {
  const { directory, minutes, rate, samples, signal, report } = options;
  const settings = {
    payloadBytes,
    segmentBytes,
    snapshotIntervalEntries,
    allocateBytes: 1024 * 1024,
    keepsHistory: false,
  };
  await using group = new Group({ directory, signal, settings, execArgv: ["--expose-gc"] });
  await group.form();
  const leader = await group.until("a leader", () => group.leader());
  await leader.ask("load", { perSecond: rate });
  const startedMs = performance.now();
  const rounds: (readonly SoakSample[])[] = [];
  for (let round = 1; round <= samples; round += 1) {
    const dueMs = startedMs + (round * minutes * 60_000) / samples;
    await passed(dueMs, group);
    await compacted(leader, group);
    const atSeconds = (performance.now() - startedMs) / 1000;
    const taken = await Promise.all(
      group.members.map(async (member) => ({
        ...(await member.ask("sample", {})),
        atSeconds,
        directoryBytes: await bytesUnder(member.place.directory),
      })),
    );
    rounds.push(taken);
    const heaps = taken.map(({ heapBytes }) => (heapBytes / 2 ** 20).toFixed(1)).join(" / ");
    report(`${round}/${samples}: ${taken[0]?.commitIndex ?? 0} committed, heaps ${heaps} MiB`);
  }
  const roles = group.members.map((member) => (member === leader ? "leader" : "follower"));
  return summed(
    rounds,
    group.members.map(({ name }, index) => ({ name, role: roles[index] ?? "" })),
  );
}

/** Resolves at a time, unless a process gives up before. */
async function passed(dueMs: number, group: Group): Promise<void> {
  const waitMs = Math.max(0, dueMs - performance.now());
  const timer = setTimeout(() => group.watch.notify(), waitMs);
  try {
    await group.until("the time to pass", () => (performance.now() >= dueMs ? true : undefined), waitMs + 60_000);
  } finally {
    clearTimeout(timer);
  }
}

/** Memory rises and falls between two compactions: it is compared at the same place, just behind one. */
async function compacted(leader: Member, group: Group): Promise<void> {
  const before = leader.standing?.firstIndex;
  await group.until("a compaction", () => (leader.standing?.firstIndex === before ? undefined : true));
}

async function bytesUnder(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const sizes = entries
    .filter((entry) => entry.isFile())
    // A segment or snapshot may have gone meanwhile.
    .map((entry) =>
      stat(join(entry.parentPath, entry.name)).then(
        ({ size }) => size,
        () => 0,
      ),
    );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** What the rounds say of each process and of all of them. */
export function summed(
  rounds: readonly (readonly SoakSample[])[],
  members: readonly { readonly name: string; readonly role: string }[],
): SoakFigures {
  const processes = members.map(({ name, role }, index) => {
    const series = rounds.map((round) => round[index] as SoakSample);
    return figuresOf(name, role, series);
  });
  const [first, last] = [rounds[0] ?? [], rounds.at(-1) ?? []];
  const commits = (last[0]?.commitIndex ?? 0) - (first[0]?.commitIndex ?? 0);
  const seconds = (last[0]?.atSeconds ?? 0) - (first[0]?.atSeconds ?? 0);
  const cpuSeconds = last.reduce((sum, sample, index) => sum + sample.cpuSeconds - (first[index]?.cpuSeconds ?? 0), 0);
  return {
    aimBytesPerCommit,
    commits,
    commitsPerSecond: commits / seconds,
    failed: last.reduce((sum, sample) => sum + sample.failed, 0),
    cpuCores: cpuSeconds / seconds,
    processes,
  };
}

function figuresOf(name: string, role: string, samples: readonly SoakSample[]): ProcessFigures {
  const steady = samples.slice(Math.floor(samples.length * warmUpShare));
  const heap = fitLine(steady.map(({ commitIndex, heapBytes }) => ({ x: commitIndex, y: heapBytes })));
  const resident = fitLine(steady.map(({ commitIndex, residentBytes }) => ({ x: commitIndex, y: residentBytes })));
  const findings = [
    ...grown(
      "file descriptors",
      steady.map(({ descriptors }) => descriptors),
      transientDescriptors,
    ),
    ...grown(
      "handles",
      steady.map(({ handles }) => handles),
      transientDescriptors,
    ),
    ...grown(
      "bytes on disk",
      steady.map(({ directoryBytes }) => directoryBytes),
      transientBytes,
    ),
    ...(steady.length < leastSamples
      ? [`${steady.length} samples after warming up, at least ${leastSamples} are needed`]
      : []),
  ];
  return { name, role, heap, resident, verdict: judgeSlope(heap, aimBytesPerCommit), findings, samples };
}

/** Says where the most of the second half is above the most of the first by more than what comes and goes. */
function grown(what: string, series: readonly number[], transient: number): readonly string[] {
  const half = Math.floor(series.length / 2);
  const [before, after] = [Math.max(...series.slice(0, half)), Math.max(...series.slice(half))];
  return after > before + transient ? [`${what} grew from ${before} to ${after}`] : [];
}
