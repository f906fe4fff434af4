/**
 * What the host says of processes and of time.
 */
import { readFileSync } from "node:fs";

/** Linux counts in hundredths of a second towards programs, whatever its own tick is. */
const ticksPerSecond = 100;

/** CPU seconds that a process has used since it began; not a number where the host does not say. */
export function cpuSecondsOf(pid: number): number {
  try {
    return cpuSecondsIn(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return Number.NaN;
  }
}

/** Reads a line of proc(5): the name of the program, in brackets, may hold anything. */
export function cpuSecondsIn(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Resident bytes of a process; not a number where the host does not say. */
export function residentBytesOf(pid: number): number {
  try {
    return residentBytesIn(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return Number.NaN;
  }
}

export function residentBytesIn(status: string): number {
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}

/** The most bytes that a process ever had resident; not a number where the host does not say. */
export function peakResidentBytesOf(pid: number): number {
  try {
    return peakResidentBytesIn(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return Number.NaN;
  }
}

export function peakResidentBytesIn(status: string): number {
  return Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}

/** Milliseconds of the host's monotonic clock: the same in every process. */
export function hostMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Waits. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** The kind of file system that holds `path`, as the host names it. */
export function fileSystemOf(path: string): string {
  try {
    return fileSystemIn(readFileSync("/proc/mounts", "utf8"), path);
  } catch {
    return "a file system of unknown kind";
  }
}

/** Of all mounts above `path` the lowest counts, and of several at one place the last. */
export function fileSystemIn(mounts: string, path: string): string {
  let found = { place: "", kind: "a file system of unknown kind" };
  for (const line of mounts.split("\n")) {
    const [, place = "", kind = ""] = line.split(" ");
    const holds = place === "/" || path === place || path.startsWith(`${place}/`);
    if (place !== "" && holds && place.length >= found.place.length) found = { place, kind };
  }
  return found.kind;
}
