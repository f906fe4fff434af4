import { mkdir, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { seededRandom } from "@revoada/fabric/memory";
import { Clients } from "./clients.ts";
import { Group } from "./group.ts";
import { CallFault, copyAsAfterPowerCut, fillUp, lostFiles, missing, Mounts, type Need, removeFile } from "./host.ts";
import { judgeTwice } from "./kills.ts";
import type { Member } from "./member.ts";

export interface DiskOptions {
  /** Must exist; what is left in there is for the caller to remove. */
  readonly directory: string;
  readonly clients: number;
  readonly seed: number;
  /** Whom a slow host disturbs should have 1,000, which they are given unless told. */
  readonly electionTimeoutMs?: number;
  readonly signal: AbortSignal;
  readonly report: (line: string) => void;
}

/** What became of one fault. */
export type DiskVerdict =
  | { readonly name: string; readonly skipped: string }
  | { readonly name: string; readonly findings: readonly string[]; readonly figures: FaultFigures };

/** Milliseconds from the beginning of the fault, and from its end. */
export interface FaultFigures {
  /** Until the leader had stepped down. */
  readonly steppedDownMs?: number;
  /** Until a write was acknowledged that began after the leader had stepped down. */
  readonly writesBackMs?: number;
  /** From the end of the fault until the node had caught up, in the same process. */
  readonly healedMs?: number;
}

/** What a fault works with: a group under load. */
interface Scene {
  readonly directory: string;
  readonly group: Group;
  readonly clients: Clients;
  readonly mounts: Mounts;
  readonly stack: AsyncDisposableStack;
  readonly report: (line: string) => void;
}

interface Fault {
  readonly name: string;
  readonly what: string;
  readonly needs: Need;
  /** Where the three keep their data; directories of the host unless told. */
  prepare?(mounts: Mounts, directories: readonly string[]): Promise<void>;
  play(scene: Scene): Promise<{ readonly findings: readonly string[]; readonly figures: FaultFigures }>;
}

const imageBytes = 64 * 1024 * 1024;
const memoryBytes = 24 * 1024 * 1024;
const leftBytes = 3 * 4096;
const withinMs = 60_000;
const powerCuts = 3;
const imageOf = (directory: string): string => `${directory}.img`;

async function onImages(mounts: Mounts, directories: readonly string[]): Promise<void> {
  for (const directory of directories) {
    await mounts.barred(directory);
    await mounts.ext4(imageOf(directory), directory, imageBytes);
  }
}

/** A fault of the leader's disk that can be ended: begins, is seen, ends, and has been seen. */
interface LeaderFault {
  begin(leader: Member, scene: Scene): Promise<void>;
  end(leader: Member, scene: Scene): Promise<void>;
  /** What proves that the fault was met; undefined where it was not. */
  met(leader: Member): string | undefined;
}

function counter(member: Member, name: string): number {
  return member.standing?.counters[name] ?? 0;
}

/** The course of every fault of a leader's disk: it steps down, the others go on, and it heals in the same process. */
async function playOnLeader(scene: Scene, fault: LeaderFault): ReturnType<Fault["play"]> {
  const { group, clients, report } = scene;
  await group.whole();
  await clients.acknowledgedMore(100);
  const leader = await group.until("a leader", () => group.leader());
  const { pid } = leader;
  const beganMs = performance.now();
  const since = (): string => `+${Math.round(performance.now() - beganMs)} ms`;
  await fault.begin(leader, scene);
  report(`  ${since()} the fault is in force on ${leader.name}, which leads`);
  await group.until(
    `${leader.name} to step down`,
    () => (leader.standing?.role === "leader" ? undefined : true),
    withinMs,
  );
  const steppedDownMs = performance.now() - beganMs;
  report(`  ${since()} ${leader.name} has stepped down`);
  const writesBackMs = (await clients.writesBack(beganMs + steppedDownMs)) - beganMs;
  await clients.acknowledgedMore(100);
  const met = await group.until("the fault to be met", () => fault.met(leader), withinMs);
  report(
    `  ${since()} the others go on, writes were back after ${Math.round(writesBackMs)} ms; ${leader.name}: ${met}`,
  );
  await fault.end(leader, scene);
  const endedMs = performance.now();
  report(`  ${since()} the fault has ended`);
  await group.whole();
  const healedMs = performance.now() - endedMs;
  report(`  ${since()} ${leader.name} has caught up, ${Math.round(healedMs)} ms after the end of the fault`);
  const findings = leader.pid === pid ? [] : [`${leader.name} is another process`];
  const { directory } = leader.place;
  await group.until("every removed file to be closed", () =>
    lostFiles(pid ?? 0, directory).length === 0 ? true : undefined,
  );
  return { findings, figures: { steppedDownMs, writesBackMs, healedMs } };
}

const ballast = (member: Member): string => join(member.place.directory, "ballast");

const full: Fault = {
  name: "full",
  what: "a full disk: first a short write, then ENOSPC",
  needs: "root",
  async prepare(mounts, directories) {
    for (const directory of directories) await mounts.tmpfs(directory, memoryBytes);
  },
  play: (scene) =>
    playOnLeader(scene, {
      begin: async (leader) => void (await fillUp(leader.place.directory, ballast(leader), leftBytes)),
      end: (leader) => removeFile(ballast(leader)),
      met: (leader) => {
        const times = counter(leader, "revoada_raft_disk_full_total");
        return times > 0 ? `no room ${times} times` : undefined;
      },
    }),
};

const failingSync: Fault = {
  name: "eio",
  what: "fsync and fdatasync fail with EIO",
  needs: "strace",
  play: async (scene) => {
    let injected: CallFault | undefined;
    return playOnLeader(scene, {
      begin: async (leader) => {
        const trace = join(scene.directory, "strace.out");
        injected = await CallFault.inject(leader.pid ?? 0, ["fsync", "fdatasync"], "error=EIO", trace);
        scene.stack.use(injected);
      },
      end: async () => injected?.release(),
      met: (leader) => {
        const times = counter(leader, "revoada_raft_storage_failures_total");
        return times > 0 ? `its log has failed ${times} times` : undefined;
      },
    });
  },
};

const readOnly: Fault = {
  name: "read-only",
  what: "the file system turns read-only, is repaired and mounted again",
  needs: "loop",
  prepare: onImages,
  play: (scene) =>
    playOnLeader(scene, {
      begin: ({ place }) => scene.mounts.abort(place.directory),
      end: async ({ place: { directory } }) => {
        await scene.mounts.unmount(directory);
        await scene.mounts.check(imageOf(directory));
        await scene.mounts.ext4(imageOf(directory), directory);
      },
      met: (leader) => {
        const times = counter(leader, "revoada_raft_storage_failures_total");
        return times > 0 ? `its log has failed ${times} times` : undefined;
      },
    }),
};

const hung: Fault = {
  name: "hung",
  what: "the disk hangs: neither writes nor syncs come back",
  needs: "loop",
  prepare: onImages,
  play: async (scene) => {
    let durable = -1;
    return playOnLeader(scene, {
      begin: async (leader) => {
        await scene.mounts.freeze(leader.place.directory);
        durable = leader.standing?.durableIndex ?? -1;
      },
      end: ({ place }) => scene.mounts.thaw(place.directory),
      met: ({ standing }) => {
        if (standing === undefined || standing.lastIndex <= standing.durableIndex) return undefined;
        return `${standing.lastIndex - standing.durableIndex} entries wait for the disk, ${standing.durableIndex - durable} were written since`;
      },
    });
  },
};

/** Nothing that was not synced survives, on all three at once. */
const powerCut: Fault = {
  name: "power-cut",
  what: `the power of all three is cut ${powerCuts} times: only what was synced is there afterwards`,
  needs: "loop",
  prepare: onImages,
  async play({ group, clients, mounts, report }) {
    const findings: string[] = [];
    for (let cut = 1; cut <= powerCuts; cut += 1) {
      await group.whole();
      await clients.acknowledgedMore(200);
      const canaries = group.members.map(({ place }) => join(place.directory, `canary-${cut}`));
      await Promise.all(canaries.map((canary) => writeFile(canary, "never synced")));
      const cutMs = performance.now();
      await group.kill(group.members);
      for (const { place } of group.members) {
        const image = imageOf(place.directory);
        await copyAsAfterPowerCut(image, `${image}.after`);
        await mounts.unmount(place.directory);
        await rename(`${image}.after`, image);
        await mounts.ext4(image, place.directory);
      }
      const survived = await Promise.all(
        canaries.map((canary) =>
          stat(canary).then(
            ({ size }) => size > 0,
            () => false,
          ),
        ),
      );
      if (survived.includes(true)) findings.push(`what was never synced survived power cut ${cut}: it proves nothing`);
      await group.start(group.members);
      const backMs = await clients.writesBack(cutMs);
      report(`  power cut ${cut}: writes are back ${Math.round(backMs - cutMs)} ms later`);
    }
    return { findings, figures: {} };
  },
};

const faults: readonly Fault[] = [full, failingSync, hung, readOnly, powerCut];

export const diskFaults: readonly string[] = faults.map(({ name }) => name);

/** Plays one fault on real file systems under load, and judges what every replica holds afterwards, twice. */
export async function torturedByDisk(name: string, options: DiskOptions): Promise<DiskVerdict> {
  const fault = faults.find((each) => each.name === name);
  if (fault === undefined) throw new RangeError(`no such fault: ${name} (known: ${diskFaults.join(", ")})`);
  const skipped = await missing(fault.needs);
  if (skipped !== undefined) return { name, skipped };
  const { signal, report } = options;
  const directory = join(options.directory, name);
  await mkdir(directory, { recursive: true });
  await using stack = new AsyncDisposableStack();
  const mounts = stack.use(new Mounts());
  const directories = [1, 2, 3].map((number) => join(directory, `node-${number}`));
  await fault.prepare?.(mounts, directories);
  const settings = { electionTimeoutMs: options.electionTimeoutMs ?? 1000, snapshotIntervalEntries: 500 };
  const group = new Group({ directory, directories, signal, settings });
  // A process that waits for a frozen disk cannot be killed: thaw first. Mounts go last, when no process is left.
  stack.use(group);
  stack.defer(() => mounts.thawAll());
  report(`${name}: ${fault.what}`);
  await group.form();
  const random = seededRandom(options.seed);
  using clients = new Clients(group, () => random.float());
  clients.start(options.clients);
  const { findings, figures } = await fault.play({ directory, group, clients, mounts, stack, report });
  await clients.stop();
  const judged = await judgeTwice(group, clients);
  const counts = (["acknowledged", "unknown", "refused"] as const).map((each) => `${clients.count(each)} ${each}`);
  report(`  ${clients.operations.length} operations: ${counts.join(", ")}`);
  return { name, findings: [...findings, ...clients.surprises, ...judged], figures };
}
