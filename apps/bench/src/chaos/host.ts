import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { noteEnding } from "../leftovers.ts";

/** No command here takes longer than this unless something is wrong. */
const commandTimeoutMs = 10_000;

/** Something that was waited for did not come, or the host does not do what was asked of it. */
class ChaosError extends Error {
  override readonly name = "ChaosError";
}

/** Runs a program of the host to its end. Throws {@link ChaosError} with what it said. */
export function command(program: string, args: readonly string[], input = ""): string {
  try {
    return execFileSync(program, args, { input, timeout: commandTimeoutMs, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    const said = (error as { readonly stderr?: string }).stderr?.trim();
    throw new ChaosError(`${program} ${args.join(" ")} failed: ${said ?? (error as Error).message}`, { cause: error });
  }
}

function works(program: string, ...args: readonly string[]): boolean {
  try {
    command(program, args);
    return true;
  } catch {
    return false;
  }
}

/** Tries each, and goes on where one fails: what ends may be gone already. */
export function attempt(...steps: readonly (() => unknown)[]): void {
  for (const step of steps) {
    try {
      step();
    } catch {
      // It is gone, or was never there.
    }
  }
}

/** What a scenario needs of the host. */
export type Need = "namespaces" | "cpu" | "clock" | "mounts";

const isRoot = process.platform === "linux" && process.getuid?.() === 0;

/** Where Debian puts the library that tells a process another time; Node has threads. */
const clockLibrary = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
  .map((triplet) => `/usr/lib/${triplet}/faketime/libfaketimeMT.so.1`)
  .find((path) => existsSync(path));

/** Why this host cannot play a scenario that needs this; undefined where it can. */
export function missing(need: Need): string | undefined {
  switch (need) {
    case "namespaces":
      if (!isRoot) return "network namespaces take root on Linux";
      return works("ip", "-V") && works("nft", "-v") ? undefined : "there is no ip or no nft on the PATH";
    case "mounts":
      return isRoot ? undefined : "a file system in memory takes root on Linux";
    case "clock":
      return clockLibrary === undefined ? "there is no libfaketime (Debian: apt install libfaketime)" : undefined;
    case "cpu":
      return undefined;
  }
}

/** The clock that one process is told. Its monotonic clock is left alone, as it is where somebody sets a host's time. */
export class ToldClock {
  readonly environment: Readonly<Record<string, string>>;
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
    this.jump(0);
    this.environment = {
      LD_PRELOAD: clockLibrary ?? "",
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    };
  }

  /** From now on the clock is so much ahead of the host's, or behind it. */
  jump(offsetSeconds: number): void {
    writeFileSync(this.#file, `${offsetSeconds < 0 ? "" : "+"}${offsetSeconds}\n`);
  }
}

const unified = "/sys/fs/cgroup/cgroup.controllers";
const legacy = "/sys/fs/cgroup/cpu/cpu.cfs_quota_us";
const periodMicroseconds = 100_000;

/** Leaves a process a share of one core: by a control group where the host lets us, else by stopping and continuing it in turns. */
export class Starved implements Disposable {
  readonly how: string;
  readonly #release: () => void;

  constructor(pid: number, share: number) {
    const group = isRoot ? controlGroup(share) : undefined;
    this.how = group?.how ?? `stopped and continued every ${periodMicroseconds / 1000} ms`;
    const release = group === undefined ? dutyCycle(pid, share) : group.hold(pid);
    const forget = noteEnding(release);
    this.#release = () => {
      forget();
      release();
    };
  }

  [Symbol.dispose](): void {
    this.#release();
  }
}

interface ControlGroup {
  readonly how: string;
  /** Puts a process in; the answer takes it out again and removes the group. */
  hold(pid: number): () => void;
}

function controlGroup(share: number): ControlGroup | undefined {
  const quota = Math.round(share * periodMicroseconds);
  const name = `revoada-chaos-${process.pid}`;
  if (existsSync(unified) && readFileSync(unified, "utf8").split(/\s+/).includes("cpu")) {
    const root = "/sys/fs/cgroup";
    return groupAt(join(root, name), root, "cgroup.procs", `cpu.max of a control group (version 2)`, (path) => {
      attempt(() => writeFileSync(join(root, "cgroup.subtree_control"), "+cpu"));
      writeFileSync(join(path, "cpu.max"), `${quota} ${periodMicroseconds}`);
    });
  }
  if (!existsSync(legacy)) return undefined;
  const root = "/sys/fs/cgroup/cpu";
  return groupAt(join(root, name), root, "cgroup.procs", "cpu.cfs_quota_us of a control group (version 1)", (path) => {
    writeFileSync(join(path, "cpu.cfs_period_us"), String(periodMicroseconds));
    writeFileSync(join(path, "cpu.cfs_quota_us"), String(quota));
  });
}

function groupAt(
  path: string,
  root: string,
  members: string,
  how: string,
  limit: (path: string) => void,
): ControlGroup {
  return {
    how,
    hold(pid): () => void {
      mkdirSync(path, { recursive: true });
      limit(path);
      writeFileSync(join(path, members), String(pid));
      return () =>
        attempt(
          () => writeFileSync(join(root, members), String(pid)),
          () => rmdirSync(path),
        );
    },
  };
}

function dutyCycle(pid: number, share: number): () => void {
  const periodMs = periodMicroseconds / 1000;
  const send = (signal: NodeJS.Signals): void => attempt(() => process.kill(pid, signal));
  let rest: NodeJS.Timeout | undefined;
  const turn = setInterval(() => {
    send("SIGCONT");
    rest = setTimeout(() => send("SIGSTOP"), periodMs * share);
  }, periodMs);
  return () => {
    clearInterval(turn);
    clearTimeout(rest);
    send("SIGCONT");
  };
}
