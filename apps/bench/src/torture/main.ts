/**
 * `pnpm torture kills [--kills 200] [--all 50] [--seed N]`: real processes, taken down again and again, and a judge of what is left.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { spread, torturedByKills } from "./kills.ts";
import { bounded, inScratch, wholeNumber } from "./scratch.ts";

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const kinds = ["kills"] as const;

interface Flags {
  readonly kills: string;
  readonly all: string;
  readonly clients: string;
  readonly seed: string;
  readonly "election-timeout-ms": string;
  readonly "snapshot-entries": string;
  readonly "max-minutes": string;
  readonly json?: string | undefined;
  readonly keep: boolean;
}

function verdictOf(findings: readonly string[]): void {
  for (const finding of findings) say(`WRONG: ${finding}`);
  say(findings.length === 0 ? "verdict: nothing lost, nothing doubled" : `verdict: ${findings.length} findings`);
}

async function kills(flags: Flags, signal: AbortSignal): Promise<boolean> {
  const count = (name: keyof Flags, to: number, from = 0): number =>
    wholeNumber(name, String(flags[name]), { from, to });
  const seed = count("seed", 2 ** 32 - 1);
  const electionTimeoutMs = count("election-timeout-ms", 60_000, 50);
  const snapshotIntervalEntries = count("snapshot-entries", 1_000_000, 10);
  say(`seed ${seed}, election timeout ${electionTimeoutMs} ms`);
  const figures = await inScratch(
    "torture-kills",
    (directory) =>
      torturedByKills({
        ...{ directory, signal, seed, report: say, settings: { electionTimeoutMs, snapshotIntervalEntries } },
        ...{ kills: count("kills", 100_000), all: count("all", 100_000), clients: count("clients", 1000, 1) },
      }),
    (result) => flags.keep && (result === undefined || result.findings.length > 0),
  );
  const { operations, acknowledged, unknown, refused, leaderLossMs, allLossMs, findings } = figures;
  say(`${figures.kills} kills of the leader, ${figures.all} of all three`);
  say(`${operations} operations: ${acknowledged} acknowledged, ${unknown} unknown, ${refused} refused`);
  if (leaderLossMs.length > 0) say(`without writes, the leader killed: ${spread(leaderLossMs)}`);
  if (allLossMs.length > 0) say(`without writes, all three killed and started again: ${spread(allLossMs)}`);
  verdictOf(findings);
  if (flags.json !== undefined) await writeFile(flags.json, `${JSON.stringify({ seed, ...figures }, undefined, 2)}\n`);
  return findings.length === 0;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      kills: { type: "string", default: "200" },
      all: { type: "string", default: "50" },
      clients: { type: "string", default: "8" },
      seed: { type: "string", default: String(Date.now() % 2 ** 32) },
      "election-timeout-ms": { type: "string", default: "150" },
      "snapshot-entries": { type: "string", default: "1000" },
      "max-minutes": { type: "string", default: "60" },
      json: { type: "string" },
      keep: { type: "boolean", default: false },
    },
  });
  const [kind, ...rest] = positionals;
  if (rest.length > 0 || !kinds.includes(kind as (typeof kinds)[number])) {
    process.stderr.write(`error CLI_BAD_VALUE: say what to do, one of: ${kinds.join(", ")}\n`);
    process.exitCode = 2;
    return;
  }
  const maxMinutes = wholeNumber("max-minutes", values["max-minutes"], { from: 1, to: 24 * 60 });
  await bounded(maxMinutes, (signal) => kills(values, signal));
}

await main();
