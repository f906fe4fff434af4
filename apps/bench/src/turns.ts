/**
 * Programs that are compared take turns, round by round, so that a change of the machine's mood meets all of them.
 */
import type { Worker } from "./processes.ts";
import type { LoadOptions, LoadResult } from "./load.ts";
import { median } from "./statistics.ts";

/** What is measured of one program in one turn. */
export interface Turn extends LoadResult {
  /** CPU seconds per 100,000 operations: of the leader, and of all members. */
  readonly leaderCpuSeconds: number;
  readonly allCpuSeconds: number;
  /** Of the callers' own process, where it is not a member. */
  readonly callerCpuSeconds?: number;
  /** Resident bytes of the largest member, afterwards. */
  readonly residentBytes: number;
}

/** A process whose use of the machine is looked at. */
export type Member = Pick<Worker, "cpuSeconds" | "residentBytes">;

/** One of the programs that take turns. */
export interface Program {
  readonly name: string;
  /** The members as they stand now, the leader first. */
  members(): Promise<readonly Member[]>;
  /** Who calls, where that is not a member. */
  readonly caller?: Member;
  load(options: LoadOptions): Promise<LoadResult>;
}

/** One turn of one program. */
async function takeTurn(program: Program, options: LoadOptions): Promise<Turn> {
  const members = await program.members();
  const before = members.map((member) => member.cpuSeconds);
  const callerBefore = program.caller?.cpuSeconds;
  const result = await program.load(options);
  const per = 100_000 / Math.max(result.allOperations, 1);
  const used = members.map((member, at) => (member.cpuSeconds - (before[at] ?? 0)) * per);
  return {
    ...result,
    leaderCpuSeconds: used[0] ?? Number.NaN,
    allCpuSeconds: used.reduce((sum, each) => sum + each, 0),
    ...(program.caller !== undefined && callerBefore !== undefined
      ? { callerCpuSeconds: (program.caller.cpuSeconds - callerBefore) * per }
      : {}),
    residentBytes: Math.max(...members.map((member) => member.residentBytes)),
  };
}

/** What stands for all rounds of one program under one load: the median of each figure. */
export interface Standing extends Turn {
  readonly rounds: readonly number[];
  /** Median over the rounds of this program's operations per second to another's in the same round, by the other's name. */
  readonly ratios: Readonly<Record<string, number>>;
  /** This program's p99 to another's in the same round, round by round, by the other's name. */
  readonly p99Ratios?: Readonly<Record<string, readonly number[]>>;
}

/** One load, and how each program stood. A program that is not there has none. */
export interface Comparison {
  readonly callers: number;
  readonly payloadBytes: number;
  readonly standings: Readonly<Record<string, Standing>>;
}

const figures = [
  "callers",
  "operations",
  "allOperations",
  "failed",
  "perSecond",
  "p50Ms",
  "p99Ms",
  "p999Ms",
  "leaderCpuSeconds",
  "allCpuSeconds",
  "residentBytes",
] as const;

/** The median of each figure over all rounds. */
function summarise(turns: readonly Turn[]): Turn {
  const callerCpu = turns.flatMap((turn) => turn.callerCpuSeconds ?? []);
  const medians = figures.map((name) => [name, median(turns.map((turn) => turn[name]))]);
  return {
    ...(Object.fromEntries(medians) as unknown as Turn),
    ...(callerCpu.length > 0 ? { callerCpuSeconds: median(callerCpu) } : {}),
  };
}

/** Puts the rounds of all programs under one load together. Each element of `rounds` holds one turn of each program. */
export function compare(
  load: Pick<LoadOptions, "callers" | "payloadBytes">,
  rounds: readonly Readonly<Record<string, Turn>>[],
): Comparison {
  const names = Object.keys(rounds[0] ?? {});
  const standings: Record<string, Standing> = {};
  for (const name of names) {
    const turns = rounds.map((round) => round[name] as Turn);
    const ratios: Record<string, number> = {};
    const p99Ratios: Record<string, readonly number[]> = {};
    for (const other of names) {
      if (other === name) continue;
      ratios[other] = median(rounds.map((round) => (round[name] as Turn).perSecond / (round[other] as Turn).perSecond));
      p99Ratios[other] = rounds.map((round) => (round[name] as Turn).p99Ms / (round[other] as Turn).p99Ms);
    }
    standings[name] = { ...summarise(turns), rounds: turns.map((turn) => turn.perSecond), ratios, p99Ratios };
  }
  return { callers: load.callers, payloadBytes: load.payloadBytes, standings };
}

/** How often programs take turns: so many rounds, but none is begun that would end later than it may. */
export interface Rounds {
  readonly rounds: number;
  readonly withinMs: number;
}

/** Before anything is counted. Clients in Node and members in Go take this long to come to their pace. */
const firstWarmUpMs = 2000;

/** Runs every load on every program, taking turns, and lets somebody know of each. One round is always run. */
export async function takeTurns(
  programs: readonly Program[],
  loads: readonly LoadOptions[],
  { rounds, withinMs }: Rounds,
  say: (line: string) => void,
): Promise<readonly Comparison[]> {
  const endMs = performance.now() + withinMs;
  // Just-in-time compilers want to have seen the code: a turn before the first round is not counted.
  const heaviest = loads.at(-1);
  if (heaviest !== undefined)
    for (const program of programs) await takeTurn(program, { ...heaviest, warmUpMs: firstWarmUpMs });
  const taken: Record<string, Turn>[][] = loads.map(() => []);
  for (let round = 1, tookMs = 0; round <= rounds; round += 1) {
    const beganMs = performance.now();
    if (round > 1 && beganMs + tookMs > endMs) {
      say(`no time for more than ${round - 1} of ${rounds} rounds`);
      break;
    }
    for (const [at, load] of loads.entries()) {
      const turns: Record<string, Turn> = {};
      for (const program of programs) turns[program.name] = await takeTurn(program, load);
      taken[at]?.push(turns);
      const told = programs.map(({ name }) => `${name} ${Math.round(turns[name]?.perSecond ?? 0)}/s`);
      say(`round ${round}/${rounds}, ${load.callers} callers, ${load.payloadBytes} B: ${told.join(", ")}`);
    }
    tookMs = performance.now() - beganMs;
  }
  return loads.map((load, at) => compare(load, taken[at] ?? []));
}
