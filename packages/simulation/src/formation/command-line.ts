/**
 * `pnpm sim formation [--seeds N] [--from S] [--seed S] [--chaos-seconds N] [--workers N] [--bugs]`: formations from seeds.
 *
 * Prints what broke and how to see it again, the totals of what was seen to happen, and fails where anything broke or one of the
 * totals is 0. With `--bugs` it plants known bugs, one after the other, and fails where one of them is not found.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { formationBugs, type FormationBug } from "./bugs.ts";
import { runFormationsInPool } from "./pool.ts";
import { runFormationSeed, type FormationRunOptions, type FormationRunResult } from "./run.ts";
import { noFormationTotals, sumFormationTotals, unseenFormationEvents } from "./totals.ts";

class BadFlagError extends Error {}

const options = {
  seeds: { type: "string", default: "81" },
  from: { type: "string", default: "1" },
  seed: { type: "string" },
  "chaos-seconds": { type: "string", default: "60" },
  workers: { type: "string", default: String(Math.min(availableParallelism(), 8)) },
  bugs: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

const usage = `pnpm sim formation: formations of one to nine nodes under chaos, all topologies by turns

  --seeds N           how many seeds (81: each topology with each number of nodes once)
  --from S            the first of them (1)
  --seed S            this one alone, with the latest events
  --chaos-seconds N   virtual seconds in which things break (60)
  --workers N         processes (one for each core)
  --bugs              plant known bugs and see that each is found
`;

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= least && number <= most) return number;
  throw new BadFlagError(`--${name} is ${JSON.stringify(text)}, expected a whole number from ${least} to ${most}`);
}

function print(result: FormationRunResult, chaosMs: number, always: boolean): void {
  const { seed, scenario, totals, virtualMs, traceHash, violation } = result;
  const facts = `${scenario}; ${totals.decisions} decisions, ${totals.voterChanges} voter changes, ${(virtualMs / 1000).toFixed(0)} virtual seconds, trace ${traceHash.slice(0, 16)}`;
  if (violation === undefined) {
    if (always) console.log(`seed ${seed}: ok (${facts})`);
    return;
  }
  console.log(`seed ${seed}: BROKEN ${violation.message} (${facts})`);
  for (const line of violation.latest) console.log(`    ${line}`);
  console.log(`    again: pnpm sim formation --seed ${seed} --chaos-seconds ${chaosMs / 1000}`);
}

/** Runs seeds of the formation world and says what was seen. Returns the exit status. */
export async function formationCommand(args: readonly string[]): Promise<number> {
  try {
    const { values } = parseArgs({ args: [...args], options });
    if (values.help) {
      console.log(usage);
      return 0;
    }
    const chaosMs = wholeNumber("chaos-seconds", values["chaos-seconds"], 1, 3600) * 1000;
    if (values.seed !== undefined) return runOne(wholeNumber("seed", values.seed, 0, 2 ** 31), chaosMs);
    const from = wholeNumber("from", values.from, 0, 2 ** 31);
    const count = wholeNumber("seeds", values.seeds, 1, 1_000_000);
    const runs = Array.from({ length: count }, (_, index): FormationRunOptions => ({ seed: from + index, chaosMs }));
    const workers = wholeNumber("workers", values.workers, 1, 64);
    return values.bugs ? await findBugs(runs, workers) : await runAll(runs, workers, chaosMs);
  } catch (error) {
    const isFlag = error instanceof BadFlagError || (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS");
    if (isFlag !== true) throw error;
    console.error(`error CLI_BAD_VALUE: ${(error as Error).message}`);
    return 2;
  }
}

function runOne(seed: number, chaosMs: number): number {
  const result = runFormationSeed({ seed, chaosMs });
  print(result, chaosMs, true);
  console.log(JSON.stringify(result.totals));
  return result.violation === undefined ? 0 : 1;
}

async function runAll(runs: readonly FormationRunOptions[], workers: number, chaosMs: number): Promise<number> {
  const startMs = performance.now();
  const totals = noFormationTotals();
  let broken = 0;
  await runFormationsInPool(runs, {
    workers,
    onResult: (result) => {
      print(result, chaosMs, runs.length <= 20);
      sumFormationTotals(totals, result.totals);
      if (result.violation !== undefined) broken += 1;
      return false;
    },
  });
  const unseen = unseenFormationEvents(totals);
  console.log(`totals: ${JSON.stringify(totals)}`);
  console.log(`${runs.length - broken} of ${runs.length} seeds held, ${seconds(startMs)} s`);
  if (unseen.length > 0) console.log(`never seen to happen: ${unseen.join(", ")}`);
  return broken === 0 && unseen.length === 0 ? 0 : 1;
}

async function findBugs(runs: readonly FormationRunOptions[], workers: number): Promise<number> {
  const startMs = performance.now();
  let found = 0;
  for (const bug of formationBugs) {
    const seen = await findBug(bug, runs, workers);
    if (seen.hit !== undefined) found += 1;
    const outcome =
      seen.hit === undefined
        ? `NOT FOUND in ${seen.ran} seeds`
        : `found by seed ${seen.hit.seed}, ${seen.ran} seeds: ${seen.hit.violation?.message.slice(0, 160)}`;
    console.log(`${String(bug.number).padStart(2)} ${bug.title}: ${outcome}`);
  }
  console.log(`${found} of ${formationBugs.length} found, ${seconds(startMs)} s`);
  return found === formationBugs.length ? 0 : 1;
}

async function findBug(
  bug: FormationBug,
  runs: readonly FormationRunOptions[],
  workers: number,
): Promise<{ readonly hit: FormationRunResult | undefined; readonly ran: number }> {
  let hit: FormationRunResult | undefined;
  let ran = 0;
  await runFormationsInPool(runs, {
    workers,
    arguments: ["--bug", String(bug.number)],
    onResult: (result) => {
      ran += 1;
      const isIt = result.violation !== undefined && bug.breaks.includes(result.violation.invariant);
      if (isIt && (hit === undefined || result.seed < hit.seed)) hit = result;
      return hit !== undefined;
    },
  });
  return { hit, ran };
}

function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1000).toFixed(0);
}
