/**
 * `pnpm bench [SUITE]... [--only NAME,...] [--quick] [--json FILE] [--plots DIR] [--report FILE] [--from FILE]`: figures, each
 * beside what it is compared with in the same run.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, tmpdir, totalmem, type as systemName } from "node:os";
import { dirname, join } from "node:path";
import { etcdVersion } from "./etcd/cluster.ts";
import { serfVersion } from "./gossip/serf.ts";
import { parseFigures, type Conditions, type Figures } from "./figures.ts";
import { fileSystemOf } from "./host.ts";
import { boundRun } from "./leftovers.ts";
import { parseCommand, UsageError, type Command } from "./command.ts";
import { plotsOf } from "./plots.ts";
import { fillPage } from "./report.ts";
import { measureSection } from "./sections.ts";
import type { Scope } from "./scope.ts";
import { tablesOf } from "./tables.ts";

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function conditionsNow({ quick, etcd, serf }: Scope): Omit<Conditions, "tookSeconds"> {
  return {
    date: new Date().toISOString().slice(0, 10),
    node: process.version,
    ...(etcd === undefined ? {} : { etcd }),
    ...(serf === undefined ? {} : { serf }),
    system: `${systemName()} ${release()}`,
    cores: availableParallelism(),
    model: cpus()[0]?.model ?? "",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    fileSystem: fileSystemOf(tmpdir()),
    quick,
    loadBefore: Math.round((loadavg()[0] ?? Number.NaN) * 10) / 10,
  };
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  say(`wrote ${path}`);
}

function writeFigures(figures: Figures, { json }: Command): void {
  if (json !== undefined) write(json, `${JSON.stringify(figures, undefined, 1)}\n`);
}

/** Figures of earlier runs: those to be shown, or those that new ones are put beside. */
function figuresBefore({ from, json }: Command): Figures {
  const path = from ?? json;
  if (path === undefined || (from === undefined && !existsSync(path))) return { conditions: {} };
  try {
    return parseFigures(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UsageError(`cannot read figures from ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** What is known at any time, so that it can be delivered at any time. */
class Run {
  figures: Figures;
  readonly failed: string[] = [];
  readonly #command: Command;

  constructor(command: Command) {
    this.#command = command;
    this.figures = figuresBefore(command);
  }

  /** Measures section by section. One that fails does not take the others with it, and what is measured is written at once. */
  async measure(): Promise<void> {
    const { sections, quick } = this.#command;
    const etcd = etcdVersion();
    const serf = sections.includes("detection") ? serfVersion() : undefined;
    const scope: Scope = { quick, etcd, serf, say };
    if (etcd === undefined) say("NO etcd ON THE PATH: its columns stay empty, and nothing is compared with it");
    if (sections.includes("detection") && serf === undefined)
      say("NO serf ON THE PATH: its row stays empty, and nothing is compared with it");
    for (const name of sections) {
      const before = conditionsNow(scope);
      say(`# ${name}, ${before.loadBefore} processes busy`);
      const beganMs = performance.now();
      const seconds = (): number => Math.round((performance.now() - beganMs) / 1000);
      try {
        const measured = await measureSection(name, scope);
        const conditions = { ...this.figures.conditions, [name]: { ...before, tookSeconds: seconds() } };
        this.figures = { ...this.figures, ...measured, conditions };
        say(`# ${name} took ${seconds()} s`);
        writeFigures(this.figures, this.#command);
      } catch (error) {
        this.failed.push(name);
        say(`# ${name} FAILED after ${seconds()} s: ${String((error as Error).stack ?? error)}`);
      }
    }
  }

  deliver(): void {
    const { plots, report } = this.#command;
    const tables = tablesOf(this.figures);
    for (const { caption, markdown } of tables) if (markdown !== undefined) say(`\n${caption}\n\n${markdown}`);
    say("");
    writeFigures(this.figures, this.#command);
    if (plots !== undefined) {
      for (const [name, picture] of Object.entries(plotsOf(this.figures))) {
        if (picture === undefined) rmSync(join(plots, name), { force: true });
        else write(join(plots, name), picture);
      }
    }
    if (report !== undefined) write(report, fillPage(readFileSync(report, "utf8"), tables));
  }
}

async function main(): Promise<void> {
  const command = parseCommand(process.argv.slice(2));
  const run = new Run(command);
  if (command.from !== undefined) return run.deliver();
  const unbound = boundRun(command.limitMs, say, () => run.deliver());
  try {
    await run.measure();
    run.deliver();
  } finally {
    unbound();
  }
  if (run.failed.length > 0) throw new Error(`not measured: ${run.failed.join(", ")}`);
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
