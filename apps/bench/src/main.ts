/**
 * `pnpm bench [consensus | losses]... [--quick] [--json FILE]`: figures, each beside what it is compared with in the same run.
 */
import { writeFile } from "node:fs/promises";
import { availableParallelism, cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { runBare } from "./bare/bare.ts";
import { distribution, measureLosses, type LossFigures } from "./failover.ts";
import type { LoadOptions, LoadResult } from "./load.ts";
import { runRaft } from "./raft/raft.ts";

const suites = ["consensus", "losses"] as const;
type Suite = (typeof suites)[number];

interface ConsensusRow {
  readonly callers: number;
  readonly bare: LoadResult & { readonly leaderCpuSeconds: number };
  readonly raft: LoadResult & { readonly leaderCpuSeconds: number };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function cell(value: number, digits = 0): string {
  return value.toFixed(digits);
}

/** The two programs take turns, so that a change of the machine's mood meets both. */
async function measureConsensus(quick: boolean): Promise<readonly ConsensusRow[]> {
  const rows: ConsensusRow[] = [];
  for (const callers of [1, 100, 1000]) {
    const load: LoadOptions = {
      callers,
      warmUpMs: quick ? 300 : 1000,
      measureMs: quick ? 1500 : 5000,
      payloadBytes: 256,
    };
    const rounds = quick ? 1 : 3;
    const pairs: { bare: ConsensusRow["bare"]; raft: ConsensusRow["raft"] }[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const [bare] = await runBare([load]);
      const [raft] = await runRaft([load]);
      if (bare !== undefined && raft !== undefined) pairs.push({ bare, raft });
    }
    // The median round by ratio stands for all of them.
    const sorted = pairs.toSorted((a, b) => a.raft.perSecond / a.bare.perSecond - b.raft.perSecond / b.bare.perSecond);
    const median = sorted[Math.floor(sorted.length / 2)];
    if (median !== undefined) rows.push({ callers, ...median });
  }
  return rows;
}

function printConsensus(rows: readonly ConsensusRow[]): void {
  say("");
  say("Commits, three processes, 256 B, fsync: this package beside a bare append + fdatasync + majority program");
  say(
    "| callers | commits/s | bare | ratio | p50 ms | bare | ratio | p99 ms | bare | p99.9 ms | leader CPU s / 100k |",
  );
  say("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
  for (const { callers, bare, raft } of rows) {
    const cpu = (raft.leaderCpuSeconds / Math.max(raft.operations, 1)) * 100_000;
    say(
      `| ${callers} | ${cell(raft.perSecond)} | ${cell(bare.perSecond)} | ${cell(raft.perSecond / bare.perSecond, 2)} | ${cell(raft.p50Ms, 2)} | ${cell(bare.p50Ms, 2)} | ${cell(raft.p50Ms / bare.p50Ms, 2)} | ${cell(raft.p99Ms, 1)} | ${cell(bare.p99Ms, 1)} | ${cell(raft.p999Ms, 1)} | ${cell(cpu, 2)} |`,
    );
  }
}

function printLosses(figures: readonly LossFigures[]): void {
  say("");
  say("Losing the leader of five daemons (Cluster3MNW, homelab strategy) under load");
  say("| loss | times | writes back p50 | p99 | worst | re-formed p50 | p99 | worst | writes acknowledged | unknown |");
  say("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
  for (const { loss, samples, acknowledged, unknown } of figures) {
    const back = distribution(samples.map((sample) => sample.writeBackMs));
    const reformed = distribution(samples.map((sample) => sample.reformedMs));
    say(
      `| ${loss === "kill" ? "SIGKILL (closed evidence)" : "SIGSTOP (silent evidence)"} | ${samples.length} | ${cell(back.p50)} ms | ${cell(back.p99)} ms | ${cell(back.worst)} ms | ${cell(reformed.p50)} ms | ${cell(reformed.p99)} ms | ${cell(reformed.worst)} ms | ${acknowledged} | ${unknown} |`,
    );
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: "boolean", default: false }, json: { type: "string" } },
  });
  const unknown = positionals.find((name) => !suites.includes(name as Suite));
  if (unknown !== undefined) {
    process.stderr.write(
      `error CLI_BAD_VALUE: no such suite ${JSON.stringify(unknown)} (known: ${suites.join(", ")})\n`,
    );
    process.exitCode = 2;
    return;
  }
  const wanted = positionals.length === 0 ? suites : suites.filter((suite) => positionals.includes(suite));
  const machine = {
    node: process.version,
    cores: availableParallelism(),
    model: cpus()[0]?.model ?? "",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
  };
  say(
    `Node ${machine.node}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${new Date().toISOString().slice(0, 10)}`,
  );
  const consensus = wanted.includes("consensus") ? await measureConsensus(values.quick) : undefined;
  if (consensus !== undefined) printConsensus(consensus);
  const losses: LossFigures[] = [];
  if (wanted.includes("losses")) {
    losses.push(await measureLosses("kill", values.quick ? 3 : 20, say));
    losses.push(await measureLosses("pause", values.quick ? 2 : 10, say));
    printLosses(losses);
  }
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify({ machine, consensus, losses }, undefined, 2)}\n`);
}

await main();
