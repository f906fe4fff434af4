import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { DemonstrationError } from "./failure.ts";
import type { Fleet, Observed } from "./fleet.ts";
import { applyManifests, readBack } from "./manifests.ts";
import type { Daemon } from "./process.ts";
import type { DemonstrationResult, Progress } from "./report.ts";
import { until } from "./waiting.ts";
import { readEntries, Writers } from "./writers.ts";

/** Writes that have to be acknowledged before the leader is killed, and in all. */
const writesBeforeKill = 400;
const writesInAll = 1000;
const writerCount = 8;
const withinMs = 60_000;

/** What a run leaves behind for those who go on looking. */
export interface Demonstration {
  readonly result: DemonstrationResult;
  readonly chainFile: string;
  readonly cluster: string;
}

/** Forms a cluster, breaks it while it is written to, and proves from what is left that nothing was lost. */
export async function demonstrate(fleet: Fleet, directory: string, progress: Progress): Promise<Demonstration> {
  const { formedMs, cluster } = await form(fleet, progress);
  const applied = await applyAndReadBack(fleet, progress);
  const kill = await killLeaderUnderLoad(fleet, progress);
  const chainFile = join(directory, "chain.rvc");
  const chain = await restartEverything(fleet, { chainFile, cluster }, progress);
  const lostWrites = await countLost(fleet, kill.writers, progress);
  const stateHashes = await levelHashes(fleet, progress);
  const { acknowledged, unknown } = kill.writers;
  const ok =
    lostWrites === 0 &&
    chain.verified &&
    stateHashes.length === fleet.daemons.length &&
    new Set(stateHashes).size === 1;
  const { writeBackMs, reformedMs, promoted, victimCaughtUpMs } = kill;
  const result: DemonstrationResult = {
    nodes: fleet.daemons.length,
    formedMs: round(formedMs),
    applied,
    acknowledgedWrites: acknowledged.length,
    lostWrites,
    unknownWrites: unknown.length,
    writeBackMs: round(writeBackMs),
    reformedMs: round(reformedMs),
    promoted,
    victimCaughtUpMs: round(victimCaughtUpMs),
    chain,
    stateHashes,
    ok,
  };
  return { result, chainFile, cluster };
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10;
}

async function form(
  fleet: Fleet,
  progress: Progress,
): Promise<{ readonly formedMs: number; readonly cluster: string }> {
  const startMs = performance.now();
  progress.step(`starting ${fleet.daemons.length} daemons: one founds the cluster, the others join with its token`);
  await fleet.form();
  progress.step("waiting for three masters that vote and two workers that stand by warm");
  const { status } = await fleet.whole({ alive: fleet.daemons.length });
  const formedMs = performance.now() - startMs;
  progress.done(`formed: ${status.declaration}`);
  for (const member of status.members) {
    progress.note(
      `${fleet.byId(member.id).name}  ${member.id.slice(0, 12)}  ${member.role ?? member.state}, ${member.replica}${member.leader ? ", leads" : ""}`,
    );
  }
  return { formedMs, cluster: status.cluster };
}

async function applyAndReadBack(fleet: Fleet, progress: Progress): Promise<number> {
  progress.step("applying a directory of Kubernetes manifests through a node that does not lead");
  const leader = await fleet.leader();
  const other = fleet.daemons.find((daemon) => daemon !== leader.daemon) ?? leader.daemon;
  const refs = await applyManifests(other);
  await readBack(fleet.daemons, refs);
  const kinds = new Set(refs.map((ref) => ref.kind));
  progress.done(`${refs.length} resources of ${kinds.size} kinds applied, and read back equal from every node`);
  return refs.length;
}

interface KillResult {
  readonly writers: Writers;
  readonly writeBackMs: number;
  readonly reformedMs: number;
  readonly promoted: string;
  readonly victimCaughtUpMs: number;
}

async function killLeaderUnderLoad(fleet: Fleet, progress: Progress): Promise<KillResult> {
  const before = await fleet.whole({ alive: fleet.daemons.length });
  const victim = before.daemon;
  const others = fleet.daemons.filter((daemon) => daemon !== victim);
  // The leader is one of the three that are written to: its death is seen by its own clients too.
  const writers = new Writers([victim, ...others.slice(0, 2)]);
  progress.step(
    `${writerCount} writers write through ${[victim, ...others.slice(0, 2)].map(({ name }) => name).join(", ")}`,
  );
  writers.start(writerCount);
  await until(`${writesBeforeKill} writes`, withinMs, async () =>
    writers.acknowledged.length >= writesBeforeKill ? true : undefined,
  );
  progress.step(`killing the leader, ${victim.name} (pid ${victim.pid}), with SIGKILL while they write`);
  const killedMs = performance.now();
  victim.signal("SIGKILL");
  const writeBack = writers.nextAcknowledged();
  const reformed = await fleet.whole({ alive: others.length, withinMs, without: victim });
  const reformedMs = performance.now() - killedMs;
  const writeBackMs = (await writeBack) - killedMs;
  await victim.kill();
  const promoted = promotedSince(before, reformed);
  progress.done(
    `writes went on after ${Math.round(writeBackMs)} ms; ${fleet.byId(promoted).name} was promoted and the formation whole after ${Math.round(reformedMs)} ms`,
  );
  const victimCaughtUpMs = await catchUp(fleet, victim, progress);
  await until(`${writesInAll} writes`, withinMs, async () =>
    writers.acknowledged.length >= writesInAll ? true : undefined,
  );
  await writers.stop();
  progress.done(
    `${writers.acknowledged.length} writes acknowledged, ${writers.refused} refused, ${writers.unknown.length} of unknown outcome`,
  );
  return { writers, writeBackMs, reformedMs, promoted, victimCaughtUpMs };
}

function promotedSince(before: Observed, after: Observed): string {
  const masters = new Set(before.status.members.filter((member) => member.role === "master").map(({ id }) => id));
  const promoted = after.status.members.find((member) => member.role === "master" && !masters.has(member.id));
  if (promoted === undefined) throw new DemonstrationError("the formation is whole, but nobody was promoted");
  return promoted.id;
}

async function catchUp(fleet: Fleet, victim: Daemon, progress: Progress): Promise<number> {
  progress.step(`restarting ${victim.name} from its data directory`);
  const startMs = performance.now();
  await fleet.restart(victim);
  await until(`${victim.name} to catch up`, withinMs, async () => {
    const leader = await fleet.leader();
    const commitIndex = leader.status.consensus.commitIndex;
    const { consensus, state, replica } = await victim.status();
    const replicates = replica !== "none" && state === "active" && consensus.role !== "outsider";
    return replicates && consensus.appliedIndex >= commitIndex ? true : undefined;
  });
  const caughtUpMs = performance.now() - startMs;
  await fleet.whole({ alive: fleet.daemons.length });
  progress.done(`${victim.name} is back as a worker, level with the leader after ${Math.round(caughtUpMs)} ms`);
  return caughtUpMs;
}

/** Exports the chain, stops everybody, verifies the file with nothing running, and starts everybody again. */
async function restartEverything(
  fleet: Fleet,
  names: { readonly chainFile: string; readonly cluster: string },
  progress: Progress,
): Promise<DemonstrationResult["chain"]> {
  const { daemon, status } = await fleet.whole({ alive: fleet.daemons.length });
  progress.step("exporting the chain, and stopping every node");
  await writeFile(names.chainFile, await daemon.ask((client) => client.chainExport()));
  await fleet.stopAll();
  const verified = await verifyOffline(names.chainFile, names.cluster);
  progress.done(
    `with no node running, the chain of ${status.chain.height} blocks ${verified ? "verifies" : "DOES NOT VERIFY"} from its file and the cluster id`,
  );
  progress.step("starting every node again");
  await fleet.restartAll();
  await fleet.whole({ alive: fleet.daemons.length });
  progress.done("everybody is back in the same formation");
  return { blocks: status.chain.height, sealed: status.chain.sealedHeight, verified };
}

/** As anybody would: by the command, in a process of its own, with nothing but the file and the cluster id. */
async function verifyOffline(file: string, cluster: string): Promise<boolean> {
  const entry = new URL("../main.ts", import.meta.url).pathname;
  const args = [...process.execArgv, entry, "chain", "verify", file, "--cluster", cluster, "-o", "json"];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args);
    return (JSON.parse(stdout) as { readonly ok?: unknown }).ok === true;
  } catch {
    return false;
  }
}

async function countLost(fleet: Fleet, writers: Writers, progress: Progress): Promise<number> {
  progress.step("reading every acknowledged write back from every replica");
  let lost = 0;
  for (const daemon of fleet.daemons) {
    const entries = await readEntries(daemon);
    for (const { name, value } of writers.acknowledged) if (entries.get(name) !== value) lost += 1;
  }
  progress.done(
    `${writers.acknowledged.length} writes read back from each of ${fleet.daemons.length} replicas, ${lost} lost`,
  );
  return lost;
}

/** State hashes compare at one index only: asks until everybody stands at the same. */
async function levelHashes(fleet: Fleet, progress: Progress): Promise<readonly string[]> {
  return until("replicas at one index", withinMs, async () => {
    const states = await Promise.all(fleet.daemons.map((daemon) => daemon.ask((client) => client.stateHash())));
    const [first] = states;
    if (first === undefined || states.some((state) => state.appliedIndex !== first.appliedIndex)) return undefined;
    const equal = states.every((state) => state.hash === first.hash);
    progress.done(
      `${states.length} replicas ${equal ? "have one state hash" : "DIFFER"} at log index ${first.appliedIndex}`,
    );
    return states.map((state) => state.hash);
  });
}
