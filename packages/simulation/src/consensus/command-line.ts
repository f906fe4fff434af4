import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { formatEvents, parseEvents } from "./events.ts";
import { runMutations } from "./mutation-gate.ts";
import { mutations } from "./mutations.ts";
import { runInPool } from "./pool.ts";
import { shrinkEvents } from "./shrink.ts";
import { noTotals, sumTotals, unseenEvents } from "./totals.ts";
import type { ConsensusRunOptions, ConsensusRunResult } from "./world.ts";

/** What `pnpm sim` takes. */
export const consensusUsage = `pnpm sim [--seeds N] [--seed S] [--nodes N] [--minutes M] [--workers N] [--only EVENTS] [--stop] [--keep]
pnpm sim --mutations [--mutation N] [--seed S] [--seeds N] [--workers N]
pnpm sim cluster ...     whole nodes: cluster, catalog, gossip and consensus (--help)
pnpm sim gossip ...      membership of thousands of nodes
pnpm sim formation ...   what a leader does about its formation, all topologies (--help)`;

interface Flags {
  readonly seeds: readonly number[];
  readonly single: boolean;
  readonly nodes: number | undefined;
  readonly minutes: number | undefined;
  readonly workers: number;
  readonly only: readonly number[] | undefined;
  readonly stop: boolean;
  readonly keep: boolean;
  readonly mutations: boolean;
  /** Only this one of them. */
  readonly mutation: number | undefined;
}

class BadFlagError extends Error {}

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= least && number <= most) return number;
  throw new BadFlagError(`--${name} is ${JSON.stringify(text)}, expected a whole number from ${least} to ${most}`);
}

function parseFlags(args: readonly string[]): Flags {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: "string" },
      seed: { type: "string" },
      nodes: { type: "string" },
      minutes: { type: "string" },
      workers: { type: "string", default: String(Math.min(availableParallelism(), 8)) },
      only: { type: "string" },
      stop: { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
      mutations: { type: "boolean", default: false },
      mutation: { type: "string" },
    },
  });
  const single = values.seed !== undefined && values.seeds === undefined;
  const from = wholeNumber("seed", values.seed ?? "1", 0, 2 ** 31);
  const count = single ? 1 : wholeNumber("seeds", values.seeds ?? (values.mutations ? "5000" : "100"), 1, 1_000_000);
  const only = values.only === undefined ? undefined : parseEvents(values.only);
  if (values.only !== undefined && only === undefined)
    throw new BadFlagError(`--only is ${JSON.stringify(values.only)}, expected events such as 3,7,12-20`);
  return {
    seeds: Array.from({ length: count }, (_, at) => from + at),
    single,
    nodes: values.nodes === undefined ? undefined : wholeNumber("nodes", values.nodes, 1, 7),
    minutes: values.minutes === undefined ? undefined : wholeNumber("minutes", values.minutes, 1, 60),
    workers: wholeNumber("workers", values.workers, 1, 64),
    only,
    stop: values.stop,
    keep: values.keep,
    mutations: values.mutations,
    mutation: values.mutation === undefined ? undefined : wholeNumber("mutation", values.mutation, 1, mutations.length),
  };
}

/** What a seed is run with; the flags that say it again. */
function runOptions(seed: number, flags: Flags, only: readonly number[] | undefined = flags.only): ConsensusRunOptions {
  return {
    seed,
    ...(flags.nodes === undefined ? {} : { nodes: flags.nodes }),
    ...(flags.minutes === undefined ? {} : { minutes: flags.minutes }),
    ...(only === undefined ? {} : { only }),
  };
}

function again({ seed, nodes, minutes, only }: ConsensusRunOptions): string {
  const flags = [`--seed ${seed}`];
  if (nodes !== undefined) flags.push(`--nodes ${nodes}`);
  if (minutes !== undefined) flags.push(`--minutes ${minutes}`);
  if (only !== undefined) flags.push(`--only ${formatEvents(only) || '""'}`);
  return `pnpm sim ${flags.join(" ")}`;
}

/** The commit that is being run; what is not committed shows as a plus. */
function commitOf(): string {
  try {
    const git = (...args: string[]): string => execFileSync("git", args, { encoding: "utf8" }).trim();
    return `${git("rev-parse", "--short", "HEAD")}${git("status", "--porcelain") === "" ? "" : "+"}`;
  } catch {
    return "unknown";
  }
}

function print(result: ConsensusRunResult): void {
  const { totals, violation } = result;
  const facts = `${totals.operations} operations, ${totals.elections} elections, ${result.faultKinds} kinds of fault, trace ${result.traceHash.slice(0, 16)}`;
  console.log(`seed ${result.seed}: ${violation === undefined ? "ok" : `BROKEN ${violation.message}`} (${facts})`);
}

const shrinkWithinMs = 120_000;

/** Runs one seed in a process of its own. */
async function runApart(options: ConsensusRunOptions, args: readonly string[] = []): Promise<ConsensusRunResult> {
  let found: ConsensusRunResult | undefined;
  await runInPool([options], {
    workers: 1,
    arguments: args,
    onResult: (result) => {
      found = result;
      return true;
    },
  });
  if (found === undefined) throw new Error(`seed ${options.seed} gave no result`);
  return found;
}

/** Shows what broke, with as few events as it still breaks with. */
async function explain(result: ConsensusRunResult, flags: Flags): Promise<void> {
  const { seed, plan, violation } = result;
  if (violation === undefined) return;
  const all = flags.only ?? plan.map((_, event) => event);
  const endMs = performance.now() + shrinkWithinMs;
  const shrunk = await shrinkEvents(
    all,
    async (only) => {
      const tried = await runApart(runOptions(seed, flags, only));
      return tried.violation?.invariant === violation.invariant;
    },
    { isLate: () => performance.now() > endMs },
  );
  const smallest = await runApart(runOptions(seed, flags, shrunk.events));
  const shown = smallest.violation === undefined ? result : smallest;
  console.log(`seed ${seed}: ${shown.violation?.message}`);
  console.log(`  ${shrunk.events.length} of ${all.length} events, after ${shrunk.attempts} attempts:`);
  for (const event of shrunk.events) console.log(`    ${event}: ${plan[event]}`);
  console.log("  what happened last:");
  for (const line of shown.violation?.latest ?? []) console.log(`    ${line}`);
  console.log(`  again: ${again(runOptions(seed, flags, shown === result ? flags.only : shrunk.events))}`);
}

/** Seeds that have failed once, which the tests run from then on. */
const corpusUrl = new URL("./corpus.json", import.meta.url);

async function keep(results: readonly ConsensusRunResult[], flags: Flags): Promise<void> {
  const kept = JSON.parse(await readFile(corpusUrl, "utf8")) as ConsensusRunOptions[];
  for (const { seed } of results) {
    const entry = runOptions(seed, flags);
    if (!kept.some((known) => JSON.stringify(known) === JSON.stringify(entry))) kept.push(entry);
  }
  await writeFile(corpusUrl, `${JSON.stringify(kept, undefined, 2)}\n`);
  console.log(`kept: ${kept.length} runs in ${corpusUrl.pathname}`);
}

async function runSeeds(flags: Flags): Promise<number> {
  const commit = commitOf();
  console.log(`consensus world, commit ${commit}, seeds ${flags.seeds[0]} to ${flags.seeds.at(-1)}`);
  const startMs = performance.now();
  const totals = noTotals();
  const broken: ConsensusRunResult[] = [];
  let ran = 0;
  await runInPool(
    flags.seeds.map((seed) => runOptions(seed, flags)),
    {
      workers: flags.workers,
      onResult: (result) => {
        ran += 1;
        sumTotals(totals, result.totals);
        if (result.violation !== undefined) broken.push(result);
        if (result.violation !== undefined || flags.seeds.length <= 100) print(result);
        else if (ran % 100 === 0) console.log(`${ran} of ${flags.seeds.length} seeds, ${broken.length} broken`);
        return flags.stop && broken.length > 0;
      },
    },
  );
  // One is explained: the first, so that it is the same one again.
  const [first] = broken.toSorted((left, right) => left.seed - right.seed);
  if (first !== undefined) await explain(first, flags);
  if (flags.keep && broken.length > 0) await keep(broken, flags);
  const unseen = flags.single ? [] : unseenEvents(totals);
  console.log(`totals: ${JSON.stringify(totals)}`);
  const worth = totals.acknowledged * 2 >= totals.operations;
  if (!worth) console.log(`only ${totals.acknowledged} of ${totals.operations} operations succeeded`);
  if (unseen.length > 0) console.log(`never seen to happen: ${unseen.join(", ")}`);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  console.log(`${ran - broken.length} of ${ran} seeds held, ${seconds} s, commit ${commit}`);
  return broken.length === 0 && unseen.length === 0 && worth && ran === flags.seeds.length ? 0 : 1;
}

/** `pnpm sim`: runs the consensus world from seeds and says what was seen. Returns the exit status. */
export async function consensusCommand(args: readonly string[]): Promise<number> {
  let flags: Flags;
  try {
    flags = parseFlags(args);
  } catch (error) {
    console.error(`error CLI_BAD_VALUE: ${error instanceof Error ? error.message : String(error)}\n${consensusUsage}`);
    return 2;
  }
  if (!flags.mutations) return await runSeeds(flags);
  console.log(`mutations of the consensus world, commit ${commitOf()}, at most ${flags.seeds.length} seeds each`);
  const runs = flags.seeds.map((seed) => runOptions(seed, flags));
  return (await runMutations({ runs, workers: flags.workers, only: flags.mutation })) ? 0 : 1;
}
