import { limits } from "@revoada/membership-gossip/unstable/core";
import { InvariantViolation, require } from "../violation.ts";
import { idealSpread } from "./ideal.ts";
import type { GossipTotals } from "./totals.ts";
import { fairWeather, GossipWorld, type GossipWorldOptions } from "./world.ts";

export interface GossipRunOptions extends GossipWorldOptions {
  /** Shares of frames that are lost while it is measured how news spreads; 0, 0.1 and 0.3 unless told. */
  readonly losses?: readonly number[];
  /** How many keys are set at each of them; 5 unless told. */
  readonly keys?: number;
  /** Measures what is sent at rest and how news spreads, and leaves it at that. */
  readonly spreadOnly?: boolean;
}

/** How news of one key spread while a share of the frames was lost. */
export interface Spread {
  readonly loss: number;
  /** Gossip rounds until everybody knew, one for each key. */
  readonly rounds: readonly number[];
  /** The same in the model of the theory, as often. */
  readonly idealRounds: readonly number[];
  /** Mean share of the nodes that knew, at the end of each tenth of a round. */
  readonly curve: readonly number[];
  /** The same in the model, at the end of each round. */
  readonly idealCurve: readonly number[];
}

/** Bytes that a node sends in a second where nothing happens. */
export interface GossipIdle {
  readonly livenessBytes: number;
  readonly stateBytes: number;
}

export interface GossipRunResult {
  readonly seed: number;
  readonly nodes: number;
  readonly spreads: readonly Spread[];
  readonly idle: GossipIdle;
  /** From a kill until everybody living knew, and from the beginning of a silence. */
  readonly closedMs: number | undefined;
  readonly silentMs: number | undefined;
  readonly totals: GossipTotals;
  readonly virtualMs: number;
  readonly traceHash: string;
  readonly violation: { readonly message: string; readonly latest: readonly string[] } | undefined;
}

/** How many times the ideal the mean of a spread may take. */
const idealFactor = 1.5;
/** How many are cut off at most: as many as share a rack. */
const cutOffMax = 20;
const heavyWeather = { loss: 0.3, duplication: 0.05, latencyMs: [1, 60] } as const;

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

/** One key is set somewhere, and it is watched how it spreads. */
function spreadOnce(
  world: GossipWorld,
  serial: number,
): { readonly rounds: number; readonly curve: readonly number[] } {
  const { gossipCadenceMs } = world.strategy;
  const origin = world.random.pick(world.living);
  const value = String(serial);
  const waiting = new Set(world.living.filter((node) => node !== origin));
  const total = waiting.size + 1;
  origin.set("serial", value);
  const beganMs = world.calendar.nowMs;
  const curve: number[] = [];
  for (let step = 1; waiting.size > 0; step++) {
    require(step <= 100 * 10, "news reaches everybody", () => `${waiting.size} of ${total} never heard of ${value}`);
    world.advance(gossipCadenceMs / 10);
    for (const node of waiting) if (node.core.member(origin.id)?.keys.get("serial") === value) waiting.delete(node);
    curve.push((total - waiting.size) / total);
  }
  return { rounds: (world.calendar.nowMs - beganMs) / gossipCadenceMs, curve };
}

/** Of several that end at one, at different times. */
function meanCurve(curves: readonly (readonly number[])[]): readonly number[] {
  const longest = Math.max(...curves.map(({ length }) => length));
  return Array.from({ length: longest }, (_, step) => mean(curves.map((curve) => curve[step] ?? 1)));
}

/** A world in which everybody knows everybody, and has for a while. */
export function settledWorld(options: GossipWorldOptions, settleMs = 2_000): GossipWorld {
  const world = new GossipWorld(options);
  settle(world, settleMs);
  return world;
}

function settle(world: GossipWorld, settleMs: number): void {
  world.introduceAll();
  world.startAll();
  world.advance(settleMs);
  require(world.sightings.length === 0, "nobody is accused at rest", () => JSON.stringify(world.sightings[0]));
}

/** Watches how so many keys spread while a share of the frames is lost. Throws where that takes too long or kills. */
export function measureSpread(world: GossipWorld, loss: number, keys: number): Spread {
  world.weather = { ...fairWeather, loss };
  // Until detectors have seen some intervals of this weather.
  if (loss > 0) world.advance(500);
  const rounds: number[] = [];
  const curves: (readonly number[])[] = [];
  const idealCurves: (readonly number[])[] = [];
  for (let key = 1; key <= keys; key++) {
    if (key > 1) world.advance(200);
    const once = spreadOnce(world, world.calendar.nowMs);
    rounds.push(once.rounds);
    curves.push(once.curve);
    idealCurves.push(idealSpread(world.living.length, loss, world.random));
  }
  world.weather = fairWeather;
  require(world.sightings.every(({ status }) => status !== "dead"), "no death without a reason", () =>
    `at a loss of ${loss}: ${JSON.stringify(world.sightings.find(({ status }) => status === "dead"))}`);
  const idealRounds = idealCurves.map(({ length }) => length);
  const [took, could] = [mean(rounds), mean(idealRounds)];
  require(took <= idealFactor * could, "news spreads as the theory says", () =>
    `${took.toFixed(1)} rounds at a loss of ${loss} where the ideal is ${could.toFixed(1)}`);
  return { loss, rounds, idealRounds, curve: meanCurve(curves), idealCurve: meanCurve(idealCurves) };
}

/** What a node sends where nothing happens. */
export function measureIdle(world: GossipWorld): GossipIdle {
  const before = { ...world.traffic };
  const seconds = 2;
  world.advance(seconds * 1_000);
  const per = (bytes: number): number => bytes / seconds / world.nodes.length;
  return {
    livenessBytes: per(world.traffic.liveness - before.liveness),
    stateBytes: per(world.traffic.state - before.state),
  };
}

const stallMs = 1_000;

/**
 * A tenth of the nodes stand still for less than a suspicion takes, in heavy weather. Nobody may be dead for that, and they hold nothing
 * against anybody for about as long again. What they suspect later is due to the weather, as with everybody else.
 */
function stallSome(world: GossipWorld): void {
  world.weather = heavyWeather;
  world.sightings.length = 0;
  world.accusations.length = 0;
  const stalled = world.random.shuffle(world.nodes).slice(0, Math.max(1, Math.floor(world.nodes.length / 10)));
  for (const node of stalled) world.stall(node.number, stallMs);
  const doubtUntilMs = world.calendar.nowMs + 1.9 * stallMs;
  world.advance(4_000);
  world.weather = fairWeather;
  const dead = world.sightings.find(({ status }) => status === "dead");
  require(dead === undefined, "who stalls briefly does not die", () => JSON.stringify(dead));
  const numbers = new Set(stalled.map(({ number }) => number));
  const early = world.accusations.find(({ atMs, observer }) => numbers.has(observer) && atMs < doubtUntilMs);
  require(early === undefined, "who stalled doubts itself first", () => JSON.stringify(early));
  const late = world.accusations.filter(({ atMs, member }) => atMs >= doubtUntilMs && !numbers.has(member));
  const perHead = (isStalled: boolean, heads: number): number =>
    late.filter(({ observer }) => numbers.has(observer) === isStalled).length / heads;
  const [theirs, usual] = [perHead(true, stalled.length), perHead(false, world.nodes.length - stalled.length)];
  require(theirs <= 1.5 * usual + 1, "who stalled accuses no more readily than others", () =>
    `${theirs.toFixed(2)} accusations each, ${usual.toFixed(2)} of each other node`);
  require(world.until(() => world.isWhole, 20_000) !== undefined, "a stall heals", () => "somebody is not alive");
}

/** Some are killed: everybody learns of it, by closed connections; then they come back. */
function killSome(world: GossipWorld): number {
  const victims = world.random
    .shuffle(world.nodes)
    .filter(({ number }) => number !== 0)
    .slice(0, Math.max(1, Math.min(5, Math.floor(world.nodes.length / 10))))
    .map(({ number }) => number);
  for (const victim of victims) world.kill(victim);
  const tookMs = world.until(() => world.allSee(victims, "dead"), 10_000);
  require(tookMs !== undefined, "the killed are known dead everywhere", () => `${victims.join(", ")} are not`);
  for (const victim of victims) world.restart(victim);
  const backMs = world.until(() => world.isWhole, 30_000, 50);
  require(backMs !== undefined, "the restarted are known alive everywhere", () => `${victims.join(", ")} are not`);
  return tookMs ?? Number.NaN;
}

/** One falls silent for longer than a suspicion takes: it is evicted, and comes back by itself. */
function silenceOne(world: GossipWorld): number {
  const { number } = world.random.pick(world.nodes.slice(1));
  world.stall(number, 5_000);
  const others = (status: "alive" | "dead"): boolean =>
    world.living.every((node) => node.number === number || world.sees(node.number, number) === status);
  const tookMs = world.until(() => others("dead"), 4_900);
  require(tookMs !== undefined, "the silent are known dead everywhere", () => `${number} is not`);
  require(tookMs !== undefined && tookMs >= world.strategy.suspicionMs, "silence is no death before suspicionMs", () =>
    `${number} was dead after ${tookMs} ms`);
  const backMs = world.until(() => world.isWhole, 60_000, 50);
  require(backMs !== undefined, "an evicted node comes back by itself", () => `${number} did not`);
  return tookMs ?? Number.NaN;
}

/** A few are cut off for longer than a suspicion takes: the many see them dead and nobody of their own, and all is whole once healed. */
function cutSomeOff(world: GossipWorld): void {
  const count = Math.max(1, Math.min(cutOffMax, Math.floor(world.nodes.length / 10)));
  const numbers = world.random.shuffle(world.nodes.map(({ number }) => number));
  const [few, many] = [numbers.slice(0, count), numbers.slice(count)];
  const isFew = new Set(few);
  world.sightings.length = 0;
  world.split(few, many);
  const seen = (): boolean => many.every((observer) => few.every((member) => world.sees(observer, member) === "dead"));
  const tookMs = world.until(seen, 10_000, 50);
  require(tookMs !== undefined, "those cut off are known dead to the others", () => `${few.join(", ")} are not`);
  require(tookMs !== undefined && tookMs >= world.strategy.suspicionMs, "silence is no death before suspicionMs", () =>
    `dead after ${tookMs} ms`);
  const wrong = world.sightings.find(
    ({ status, observer, member }) => status === "dead" && isFew.has(observer) === isFew.has(member),
  );
  require(wrong === undefined, "a partition kills nobody on one's own side", () => JSON.stringify(wrong));
  world.heal();
  require(world.until(() => world.isWhole, 60_000, 50) !== undefined, "a healed partition is whole again", () =>
    "somebody is not alive");
}

/** Some say good-bye: they are gone for everybody and dead for nobody; then they are back, in a newer generation. */
function letSomeLeave(world: GossipWorld): void {
  const leavers = world.random
    .shuffle(world.nodes)
    .filter(({ number }) => number !== 0)
    .slice(0, Math.max(1, Math.min(5, Math.floor(world.nodes.length / 10))))
    .map(({ number }) => number);
  world.sightings.length = 0;
  for (const leaver of leavers) world.leave(leaver);
  const leftMs = world.until(() => world.allSee(leavers, "left"), 10_000);
  require(leftMs !== undefined, "who leaves is known to have left everywhere", () => `${leavers.join(", ")} are not`);
  const dead = world.sightings.find(({ status, member }) => status === "dead" && leavers.includes(member));
  require(dead === undefined, "leaving is not dying", () => JSON.stringify(dead));
  for (const leaver of leavers) world.restart(leaver);
  const backMs = world.until(() => world.isWhole, 30_000, 50);
  require(backMs !== undefined, "who left and is back is alive everywhere", () => `${leavers.join(", ")} are not`);
}

/**
 * Runs one world from one seed: idle, news under loss, stalls, kills and restarts, a long silence, a partition, leaving and being back.
 * Whatever it breaks is in the result.
 */
export function runGossipSeed(options: GossipRunOptions): GossipRunResult {
  const { seed, nodes, losses = [0, 0.1, 0.3], keys = 5 } = options;
  const world = new GossipWorld(options);
  const spreads: Spread[] = [];
  let idle: GossipIdle = { livenessBytes: Number.NaN, stateBytes: Number.NaN };
  let closedMs: number | undefined;
  let silentMs: number | undefined;
  let violation: GossipRunResult["violation"];
  try {
    settle(world, 2_000);
    idle = measureIdle(world);
    for (const loss of losses) spreads.push(measureSpread(world, loss, keys));
    require(world.until(() => world.isWhole, 20_000) !== undefined, "losses heal", () => "somebody is not alive");
    if (options.spreadOnly !== true) {
      stallSome(world);
      closedMs = killSome(world);
      silentMs = silenceOne(world);
      cutSomeOff(world);
      letSomeLeave(world);
    }
    require(world.largestFrameBytes <= limits.frameMaxBytes, "no frame is larger than allowed", () =>
      `${world.largestFrameBytes} bytes`);
    require(world.refusals.size === 0, "honest nodes refuse nothing of each other", () =>
      JSON.stringify([...world.refusals]));
  } catch (error) {
    if (!(error instanceof InvariantViolation)) throw error;
    violation = { message: error.message, latest: world.trace.latest(20) };
  }
  const { totals, trace, calendar } = world;
  const measured = { idle, closedMs, silentMs, spreads };
  return { seed, nodes, ...measured, totals, virtualMs: calendar.nowMs, traceHash: trace.digest(), violation };
}
