/**
 * `pnpm torture kills [--kills 200] [--all 50]` and `pnpm torture disk [FAULT]...`: real processes under load, taken down and
 * robbed of their disks, and a judge of what is left.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { diskFaults, type DiskVerdict, torturedByDisk } from "./disk.ts";
import { spread, torturedByKills } from "./kills.ts";
import { bounded, inScratch, wholeNumber } from "./scratch.ts";

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const kinds = ["kills", "disk"] as const;

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

/** A fault that this host cannot make is named and counted, and proves nothing. */
async function disk(wanted: readonly string[], flags: Flags, signal: AbortSignal): Promise<boolean> {
  const seed = wholeNumber("seed", flags.seed, { from: 0, to: 2 ** 32 - 1 });
  const clients = wholeNumber("clients", flags.clients, { from: 1, to: 1000 });
  say(`seed ${seed}`);
  const verdicts: DiskVerdict[] = [];
  let wrong = 0;
  for (const name of wanted.length === 0 ? diskFaults : wanted) {
    const verdict = await inScratch(
      "torture-disk",
      (directory) => torturedByDisk(name, { directory, signal, seed, clients, report: say }),
      (result) => flags.keep && (result === undefined || ("findings" in result && result.findings.length > 0)),
    );
    verdicts.push(verdict);
    if ("skipped" in verdict) {
      say(`SKIPPED: ${name}: ${verdict.skipped}`);
    } else {
      verdictOf(verdict.findings);
      wrong += verdict.findings.length;
    }
  }
  const skipped = verdicts.filter((verdict) => "skipped" in verdict).length;
  say(`${verdicts.length - skipped} faults played, ${skipped} skipped, ${wrong} findings`);
  if (flags.json !== undefined) await writeFile(flags.json, `${JSON.stringify({ seed, verdicts }, undefined, 2)}\n`);
  return wrong === 0;
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
  const known = kind === "disk" ? diskFaults : [];
  const strange = kinds.includes(kind as (typeof kinds)[number]) ? rest.find((each) => !known.includes(each)) : "";
  if (strange !== undefined) {
    const usage = `torture kills, or torture disk [${diskFaults.join(" | ")}]...`;
    process.stderr.write(`error CLI_BAD_VALUE: ${usage}\n`);
    process.exitCode = 2;
    return;
  }
  const maxMinutes = wholeNumber("max-minutes", values["max-minutes"], { from: 1, to: 24 * 60 });
  await bounded(maxMinutes, (signal) => (kind === "kills" ? kills(values, signal) : disk(rest, values, signal)));
}

await main();
