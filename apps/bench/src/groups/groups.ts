import { pause } from "../host.ts";
import type { LoadResult } from "../load.ts";
import type { Scope } from "../scope.ts";
import { median } from "../statistics.ts";
import { figure, markdownTable, mebibytes, ratio } from "../table.ts";
import { Fleet } from "./fleet.ts";
import type { Usage } from "./orders.ts";

const electionTimeoutMs = 150;
const callers = 100;
const payloadBytes = 256;
/** Groups come to rest, and compilers and collectors to an end, before anything is counted. */
const settleMs = 3000;

/** What three idle processes use per second, all together. */
export interface IdleCost {
  /** CPU seconds per second. */
  readonly cpu: number;
  readonly frames: number;
  readonly bytes: number;
}

/** What three processes commit, callers in the processes of the leaders. */
export interface FleetLoad {
  readonly perSecond: number;
  /** Of the process where it is longest. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failed: number;
  readonly cpuSecondsPer100k: number;
}

/** How one fleet stood: the median of each figure over all turns. */
export interface FleetFigures {
  readonly name: string;
  readonly groups: number;
  readonly idle: IdleCost;
  readonly idleTurns: readonly IdleCost[];
  /** Median over the turns of this fleet's CPU to that of the first one in the same turn. */
  readonly cpuRatio: number;
  readonly load: FleetLoad;
  readonly residentBytes: number;
}

interface Taken {
  readonly idle: IdleCost[];
  readonly load: FleetLoad[];
}

async function idleTurn(fleet: Fleet, turnMs: number): Promise<IdleCost> {
  const beganMs = performance.now();
  const before = await fleet.usage();
  await pause(turnMs);
  const after = await fleet.usage();
  const seconds = (performance.now() - beganMs) / 1000;
  const rate = (pick: (usage: Usage) => number): number => (pick(after) - pick(before)) / seconds;
  return {
    cpu: rate((usage) => usage.cpuSeconds),
    frames: rate((usage) => usage.sentFrames),
    bytes: rate((usage) => usage.sentBytes),
  };
}

async function loadTurn(fleet: Fleet, quick: boolean): Promise<FleetLoad> {
  const before = await fleet.usage();
  const timing = quick ? { warmUpMs: 200, measureMs: 600 } : { warmUpMs: 500, measureMs: 2000 };
  const results = await fleet.load({ callers, payloadBytes, ...timing });
  const { cpuSeconds } = await fleet.usage();
  const sum = (pick: (result: LoadResult) => number): number => results.reduce((all, each) => all + pick(each), 0);
  return {
    perSecond: sum((each) => each.perSecond),
    p50Ms: Math.max(...results.map((each) => each.p50Ms)),
    p99Ms: Math.max(...results.map((each) => each.p99Ms)),
    failed: sum((each) => each.failed),
    cpuSecondsPer100k:
      ((cpuSeconds - before.cpuSeconds) * 100_000) /
      Math.max(
        1,
        sum((each) => each.allOperations),
      ),
  };
}

function medians<T extends { readonly [Name in keyof T]: number }>(turns: readonly T[]): T {
  const [first] = turns;
  if (first === undefined) throw new Error("no turn was taken");
  const names = Object.keys(first) as (keyof T)[];
  return Object.fromEntries(names.map((name) => [name, median(turns.map((turn) => turn[name]))])) as T;
}

function figuresOf(fleet: Fleet, { idle, load }: Taken, reference: readonly IdleCost[]): FleetFigures {
  return {
    name: fleet.name,
    groups: fleet.groups,
    idle: medians(idle),
    idleTurns: idle,
    cpuRatio: median(idle.map(({ cpu }, turn) => cpu / (reference[turn]?.cpu ?? Number.NaN))),
    load: medians(load),
    residentBytes: fleet.residentBytes,
  };
}

/**
 * What 1 and 100 groups cost that idle, beside one group of `raft`, and what 100 callers commit on each: three fleets of three processes
 * at the same time, taking turns.
 */
export async function measureGroups({ quick, say }: Pick<Scope, "quick" | "say">): Promise<readonly FleetFigures[]> {
  await using stack = new AsyncDisposableStack();
  const fleets: Fleet[] = [];
  const open = async (...args: Parameters<typeof Fleet.open>): Promise<void> =>
    void fleets.push(stack.use(await Fleet.open(...args)));
  await open("one of raft", { alone: true }, electionTimeoutMs);
  await open("1 on a host", { groups: 1 }, electionTimeoutMs);
  await open("100 on a host", { groups: 100 }, electionTimeoutMs);
  const taken = fleets.map((): Taken => ({ idle: [], load: [] }));
  // Compilers want to have seen the code: a load before the first turn is not counted.
  for (const fleet of fleets) await loadTurn(fleet, quick);
  for (let turn = 1; turn <= (quick ? 2 : 3); turn += 1) {
    for (const [at, fleet] of fleets.entries()) taken[at]?.load.push(await loadTurn(fleet, quick));
    for (const fleet of fleets) await fleet.whole();
    await pause(settleMs);
    for (const [at, fleet] of fleets.entries()) taken[at]?.idle.push(await idleTurn(fleet, quick ? 2000 : 8000));
    const told = fleets.map(({ name }, at) => {
      const { idle, load } = taken[at] as Taken;
      return `${name} ${figure((idle.at(-1)?.cpu ?? 0) * 1000, 1)} ms/s idle, ${figure(load.at(-1)?.perSecond)} commits/s`;
    });
    say(`turn ${turn}: ${told.join("; ")}`);
  }
  return fleets.map((fleet, at) => figuresOf(fleet, taken[at] as Taken, taken[0]?.idle ?? []));
}

/** The figures as a table. */
export function groupsTable(fleets: readonly FleetFigures[]): string {
  const [first] = fleets;
  const rows = fleets.map(({ name, idle, cpuRatio, load, residentBytes }) => [
    name,
    `${figure(idle.cpu * 1000, 1)} ms/s`,
    ratio(cpuRatio),
    `${figure(idle.frames)}/s`,
    `${figure(idle.bytes / 1024, 1)} KiB/s`,
    `${figure(load.perSecond)}/s`,
    ratio(first && load.perSecond / first.load.perSecond),
    `${figure(load.p50Ms, 1)} / ${figure(load.p99Ms, 1)} ms`,
    figure(load.cpuSecondsPer100k, 2),
    mebibytes(residentBytes),
  ]);
  const idle = ["idle CPU", "to the first", "frames", "bytes"];
  const load = ["commits, 100 callers", "to the first", "p50 / p99", "CPU s per 100k"];
  return markdownTable([{ heading: "groups", words: true }, ...idle, ...load, "RSS of all three"], rows);
}
