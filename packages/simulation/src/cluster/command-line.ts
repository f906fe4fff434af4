/**
 * `pnpm sim cluster [--seeds N] [--from S] [--seed S] [--nodes N] [--chaos-seconds N] [--workers N]`: runs whole clusters from seeds.
 *
 * Prints what broke and how to see it again, the totals of what was seen to happen, and fails where anything broke or one of the
 * totals is 0.
 */
import { fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { runSeed, type RunOptions, type RunResult } from "./run.ts";
import { addTotals, emptyTotals, missingEvents } from "./totals.ts";

const options = {
  seeds: { type: "string", default: "10" },
  from: { type: "string", default: "1" },
  seed: { type: "string" },
  nodes: { type: "string", default: "5" },
  "chaos-seconds": { type: "string", default: "60" },
  workers: { type: "string", default: String(Math.min(availableParallelism(), 8)) },
  help: { type: "boolean", default: false },
} as const;

const usage = `pnpm sim cluster: whole nodes under chaos, from seeds

  --seeds N           how many seeds (10)
  --from S            the first of them (1)
  --seed S            this one alone
  --nodes N           nodes of each cluster, 3 to 7 (5)
  --chaos-seconds N   virtual seconds in which things break (60)
  --workers N         processes (one for each core)
`;

function parsed(): ReturnType<typeof parseArgs<{ options: typeof options }>>["values"] {
  try {
    return parseArgs({ args: process.argv.slice(3), options }).values;
  } catch (error) {
    console.error(`error CLI_BAD_VALUE: ${error instanceof Error ? error.message : String(error)}\n${usage}`);
    process.exit(2);
  }
}

const values = parsed();

function wholeNumber(name: Exclude<keyof typeof values, "help">, least: number, most: number): number {
  const number = Number(values[name]);
  if (Number.isSafeInteger(number) && number >= least && number <= most) return number;
  console.error(
    `error CLI_BAD_VALUE: --${name} is ${JSON.stringify(values[name])}, expected a whole number from ${least} to ${most}`,
  );
  process.exit(2);
}

const nodes = wholeNumber("nodes", 3, 7);
const chaosMs = wholeNumber("chaos-seconds", 1, 3600) * 1000;

function print(result: RunResult): void {
  const { violation } = result;
  const facts = `${result.totals.acknowledged} writes, ${result.committedEntries} entries, ${result.totals.elections} elections, trace ${result.traceHash.slice(0, 16)}`;
  if (violation === undefined) {
    console.log(`seed ${result.seed}: ok (${facts})`);
    return;
  }
  console.log(`seed ${result.seed}: BROKEN ${violation.message} (${facts})`);
  for (const line of violation.latest) console.log(`    ${line}`);
  console.log(`    again: pnpm sim cluster --seed ${result.seed} --nodes ${nodes} --chaos-seconds ${chaosMs / 1000}`);
}

/** Hands seeds out to processes and yields results as they come. */
async function runAll(seeds: readonly number[], workers: number): Promise<readonly RunResult[]> {
  const results: RunResult[] = [];
  const queue = [...seeds];
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(new URL("./worker.ts", import.meta.url), { execArgv: process.execArgv });
      const next = (): void => {
        const seed = queue.shift();
        if (seed === undefined) child.disconnect();
        else child.send({ seed, nodes, chaosMs } satisfies RunOptions);
      };
      child.on("message", (message: RunResult | "ready") => {
        if (message !== "ready") {
          results.push(message);
          print(message);
        }
        next();
      });
      child.on("exit", (code) => {
        if (code === 0) resolve();
        else reject(new Error(`a worker ended with ${code}`));
      });
    });
  await Promise.all(Array.from({ length: Math.min(workers, seeds.length) }, work));
  return results;
}

/** Runs seeds of the cluster world and says what was seen. Returns the exit status. */
export async function clusterCommand(): Promise<number> {
  if (values.help) {
    console.log(usage);
    return 0;
  }
  if (values.seed !== undefined) {
    const result = await runSeed({ seed: wholeNumber("seed", 0, 2 ** 31), nodes, chaosMs });
    print(result);
    console.log(JSON.stringify(result.totals));
    return result.violation === undefined ? 0 : 1;
  }
  const from = wholeNumber("from", 0, 2 ** 31);
  const seeds = Array.from({ length: wholeNumber("seeds", 1, 1_000_000) }, (_, index) => from + index);
  const startMs = performance.now();
  const results = await runAll(seeds, wholeNumber("workers", 1, 64));
  const totals = emptyTotals();
  for (const result of results) addTotals(totals, result.totals);
  const broken = results.filter((result) => result.violation !== undefined);
  const missing = missingEvents(totals);
  console.log(`totals: ${JSON.stringify(totals)}`);
  console.log(
    `${results.length - broken.length} of ${results.length} seeds held, ${((performance.now() - startMs) / 1000).toFixed(0)} s`,
  );
  if (missing.length > 0) console.log(`never seen to happen: ${missing.join(", ")}`);
  return broken.length === 0 && missing.length === 0 ? 0 : 1;
}
