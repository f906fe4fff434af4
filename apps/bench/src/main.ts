/**
 * `pnpm bench [raft | losses]... [--only NAME,...] [--quick] [--json FILE] [--plots DIR] [--report FILE] [--from FILE]`: figures,
 * each beside what it is compared with in the same run.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, release, tmpdir, totalmem, type as systemName } from "node:os";
import { dirname, join } from "node:path";
import { etcdVersion } from "./etcd/cluster.ts";
import type { Conditions, Figures } from "./figures.ts";
import { fileSystemOf } from "./host.ts";
import { boundRun } from "./leftovers.ts";
import { parseCommand, UsageError, type Command } from "./command.ts";
import { plotsOf } from "./plots.ts";
import { fillPage } from "./report.ts";
import { measureSection, type SectionName } from "./sections.ts";
import type { Scope } from "./scope.ts";
import { tablesOf } from "./tables.ts";

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function conditionsOf(quick: boolean, etcd: string | undefined): Conditions {
  return {
    date: new Date().toISOString().slice(0, 10),
    node: process.version,
    ...(etcd === undefined ? {} : { etcd }),
    system: `${systemName()} ${release()}`,
    cores: availableParallelism(),
    model: cpus()[0]?.model ?? "",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    fileSystem: fileSystemOf(tmpdir()),
    quick,
  };
}

async function measure(sections: readonly SectionName[], quick: boolean): Promise<Figures> {
  const etcd = etcdVersion();
  const scope: Scope = { quick, etcd, say };
  if (etcd === undefined) say("NO etcd ON THE PATH: its columns stay empty, and nothing is compared with it");
  const startedMs = performance.now();
  let figures: Figures = { conditions: conditionsOf(quick, etcd) };
  for (const name of sections) {
    say(`# ${name}`);
    figures = { ...figures, ...(await measureSection(name, scope)) };
  }
  const tookSeconds = Math.round((performance.now() - startedMs) / 1000);
  return { ...figures, conditions: { ...figures.conditions, tookSeconds } };
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  say(`wrote ${path}`);
}

function deliver(figures: Figures, { json, plots, report }: Command): void {
  const tables = tablesOf(figures);
  for (const { caption, markdown } of tables) say(`\n${caption}\n\n${markdown}`);
  say("");
  if (json !== undefined) write(json, `${JSON.stringify(figures, undefined, 1)}\n`);
  if (plots !== undefined)
    for (const [name, picture] of Object.entries(plotsOf(figures))) write(join(plots, name), picture);
  if (report !== undefined) write(report, fillPage(readFileSync(report, "utf8"), tables));
}

async function main(): Promise<void> {
  const command = parseCommand(process.argv.slice(2));
  if (command.from !== undefined) return deliver(JSON.parse(readFileSync(command.from, "utf8")) as Figures, command);
  const unbound = boundRun(command.limitMs, say);
  try {
    deliver(await measure(command.sections, command.quick), command);
  } finally {
    unbound();
  }
}

try {
  await main();
} catch (error) {
  const usage = error instanceof UsageError;
  process.stderr.write(
    `error ${usage ? `CLI_BAD_VALUE: ${error.message}` : String((error as Error).stack ?? error)}\n`,
  );
  process.exitCode = usage ? 2 : 1;
}
