/**
 * `pnpm sim gossip [--nodes N] [--seeds N] [--seed S] [--loss P[,P]] [--keys N] [--spread]`: worlds of gossip from seeds.
 *
 * Prints how news spread beside the ideal, what an idle node sends, how long deaths took, and the totals of what was seen to
 * happen; fails where a promise was broken or one of the totals is 0. With `--spread` nobody stalls and nobody is killed.
 */
import { spawnSync } from "node:child_process";
import { getHeapStatistics } from "node:v8";
import { parseArgs } from "node:util";
import { type GossipRunResult, mean, runGossipSeed } from "./run.ts";
import { noGossipTotals, sumGossipTotals, unseenGossipEvents } from "./totals.ts";

class BadFlagError extends Error {}

interface Flags {
  readonly seeds: readonly number[];
  readonly nodes: number;
  readonly losses: readonly number[];
  readonly keys: number;
  readonly spreadOnly: boolean;
}

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= least && number <= most) return number;
  throw new BadFlagError(`--${name} is ${JSON.stringify(text)}, expected a whole number from ${least} to ${most}`);
}

function lossOf(text: string): number {
  const loss = Number(text);
  if (text.trim() !== "" && loss >= 0 && loss <= 0.5) return loss;
  throw new BadFlagError(`--loss is ${JSON.stringify(text)}, expected shares from 0 to 0.5`);
}

function parseFlags(args: readonly string[]): Flags {
  const { values } = parseArgs({
    args: [...args],
    options: {
      nodes: { type: "string", default: "1000" },
      seeds: { type: "string", default: "1" },
      seed: { type: "string", default: "1" },
      loss: { type: "string", default: "0,0.1,0.3" },
      keys: { type: "string", default: "5" },
      spread: { type: "boolean", default: false },
    },
  });
  const from = wholeNumber("seed", values.seed, 0, 2 ** 31);
  return {
    seeds: Array.from({ length: wholeNumber("seeds", values.seeds, 1, 10_000) }, (_, index) => from + index),
    nodes: wholeNumber("nodes", values.nodes, 10, 10_000),
    losses: values.loss.split(",").map(lossOf),
    keys: wholeNumber("keys", values.keys, 1, 1_000),
    spreadOnly: values.spread,
  };
}

function shown(values: readonly number[]): string {
  return `${mean(values).toFixed(1)} (${Math.max(...values).toFixed(1)})`;
}

function print(result: GossipRunResult, seconds: number): void {
  const { seed, nodes, spreads, idle, closedMs, silentMs, violation, virtualMs } = result;
  const said = violation === undefined ? "ok" : `BROKEN ${violation.message}`;
  console.log(
    `seed ${seed}, ${nodes} nodes: ${said} (${(virtualMs / 1000).toFixed(0)} virtual seconds in ${seconds.toFixed(0)} s, trace ${result.traceHash.slice(0, 16)})`,
  );
  for (const { loss, rounds, idealRounds } of spreads) {
    const ratio = (mean(rounds) / mean(idealRounds)).toFixed(2);
    console.log(
      `    loss ${(loss * 100).toFixed(0)} %: ${shown(rounds)} rounds, mean (longest); ideal ${shown(idealRounds)}; ${ratio} times it`,
    );
  }
  console.log(
    `    idle: ${idle.livenessBytes.toFixed(0)} B/s of signs of life and ${idle.stateBytes.toFixed(0)} B/s of state per node`,
  );
  console.log(`    known dead everywhere: killed ${closedMs ?? "–"} ms, silent ${silentMs ?? "–"} ms`);
  for (const line of violation?.latest ?? []) console.log(`    ${line}`);
  if (violation !== undefined) console.log(`    again: pnpm sim gossip --seed ${seed} --nodes ${nodes}`);
}

/**
 * What a node needs of another, while many are spoken against, is about 160 bytes, and a third of it at rest. In a heap that is only just large enough
 * the collector marks all of it again and again, ten seconds each time at five thousand nodes.
 */
const heapMiBPerPair = 480 / 2 ** 20;
const youngMiB = 64;
/**
 * Frames lie outside the heap, and V8 would mark all of a heap of gigabytes each time that some ten megabytes of them have come and gone: at two thousand
 * nodes that was most of the time.
 */
const framesCountWithTheHeap = "--external-memory-accounted-in-global-limit";
/** Above so many nodes that is worth another process. */
const smallWorld = 1000;

/** Runs itself again with a larger heap, and one that counts otherwise, where this one would not do. Undefined where it does. */
function withLargerHeap(nodes: number): number | undefined {
  const neededMiB = Math.ceil(1_024 + nodes * nodes * heapMiBPerPair);
  const isEnough = getHeapStatistics().heap_size_limit / 2 ** 20 >= neededMiB;
  if (isEnough && (nodes <= smallWorld || process.execArgv.includes(framesCountWithTheHeap))) return undefined;
  const heap = [framesCountWithTheHeap, `--max-old-space-size=${neededMiB + 64}`, `--max-semi-space-size=${youngMiB}`];
  const { status } = spawnSync(process.execPath, [...process.execArgv, ...heap, ...process.argv.slice(1)], {
    stdio: "inherit",
  });
  return status ?? 1;
}

/** Runs seeds of the world of gossip and says what was seen. Returns the exit status. */
export function gossipCommand(args: readonly string[]): number {
  let flags: Flags;
  try {
    flags = parseFlags(args);
  } catch (error) {
    console.error(`error CLI_BAD_VALUE: ${(error as Error).message}`);
    return 2;
  }
  const elsewhere = withLargerHeap(flags.nodes);
  if (elsewhere !== undefined) return elsewhere;
  const { seeds, nodes, losses, keys, spreadOnly } = flags;
  const totals = noGossipTotals();
  let broken = 0;
  for (const seed of seeds) {
    const beganMs = performance.now();
    const result = runGossipSeed({ seed, nodes, losses, keys, spreadOnly });
    print(result, (performance.now() - beganMs) / 1000);
    sumGossipTotals(totals, result.totals);
    if (result.violation !== undefined) broken += 1;
  }
  const unseen = spreadOnly ? [] : unseenGossipEvents(totals);
  console.log(`totals: ${JSON.stringify(totals)}`);
  console.log(`${seeds.length - broken} of ${seeds.length} seeds held`);
  if (unseen.length > 0) console.log(`never seen to happen: ${unseen.join(", ")}`);
  return broken === 0 && unseen.length === 0 ? 0 : 1;
}
