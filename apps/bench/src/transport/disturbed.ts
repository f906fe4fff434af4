import type { Scope } from "../scope.ts";
import { median } from "../statistics.ts";
import type { Attack, AttackResult, PaceResult, Place } from "./orders.ts";
import { Member, Pair } from "./pair.ts";

const everyMs = 2;

/** The same steady requests with and without something going on beside them: the median of each figure over all rounds. */
export interface DisturbedFigures {
  readonly what: string;
  readonly idle: PaceResult;
  readonly during: PaceResult;
  /** The p99 during to the idle one in the same round, round by round. */
  readonly p99Ratios: readonly number[];
  /** What went on, in words and figures. */
  readonly beside: string;
}

interface Round {
  readonly idle: PaceResult;
  readonly during: PaceResult;
}

const names = ["requests", "failed", "p50Ms", "p99Ms", "worstMs"] as const;

function medians(results: readonly PaceResult[]): PaceResult {
  const entries = names.map((name) => [name, median(results.map((result) => result[name]))]);
  return Object.fromEntries(entries) as PaceResult;
}

function figuresOf(what: string, beside: string, rounds: readonly Round[]): DisturbedFigures {
  return {
    what,
    beside,
    idle: medians(rounds.map(({ idle }) => idle)),
    during: medians(rounds.map(({ during }) => during)),
    p99Ratios: rounds.map(({ idle, during }) => during.p99Ms / idle.p99Ms),
  };
}

interface BulkRound extends Round {
  readonly bytesPerSecond: number;
}

/** One round beside a bulk transfer, and how fast that went. */
async function besideBulk(pair: Pair, forMs: number): Promise<BulkRound> {
  const idle = await pair.pace(everyMs, forMs);
  const [during, { bytes, tookMs }] = await Promise.all([pair.pace(everyMs, forMs), pair.bulk(1_048_576, forMs + 100)]);
  return { idle, during, bytesPerSecond: (bytes * 1000) / tookMs };
}

/** Requests of one channel while another carries all that it can, in the same two processes; the programs take turns. */
export async function measureChannels({ quick, say }: Scope): Promise<readonly DisturbedFigures[]> {
  await using transport = await Pair.open("transport");
  await using bare = await Pair.open("bare");
  const forMs = quick ? 500 : 2500;
  const sides: readonly { readonly pair: Pair; readonly what: string; readonly rounds: BulkRound[] }[] = [
    { pair: transport, what: "a bulk transfer, same processes", rounds: [] },
    { pair: bare, what: "the bare program, likewise", rounds: [] },
  ];
  for (const { pair } of sides) await besideBulk(pair, forMs);
  for (let number = 1; number <= (quick ? 1 : 7); number += 1) {
    for (const { pair, rounds } of sides) {
      const round = await besideBulk(pair, forMs);
      rounds.push(round);
      const [before, beside] = [round.idle, round.during].map(({ p99Ms }) => p99Ms.toFixed(2));
      say(`${pair.name}, round ${number}: p99 ${before} ms idle, ${beside} ms during bulk`);
    }
  }
  return sides.map(({ what, rounds }) => {
    const rate = median(rounds.map(({ bytesPerSecond }) => bytesPerSecond));
    return figuresOf(what, `${Math.round(rate / 1e6)} MB/s`, rounds);
  });
}

const attacks: Readonly<Record<Attack, string>> = {
  strangers: "strangers: TLS handshakes with keys that are not admitted, and bytes that are no TLS",
  member: "an admitted peer: random frames, connection after connection",
};

/** What attackers did to a listener, and what it did to a good peer. */
export interface HostileFigures extends DisturbedFigures {
  readonly attack: Attack;
  readonly attempts: AttackResult;
  /** By how much the resident memory of the listener grew from before the first attack to after the last. */
  readonly grownBytes: number;
}

async function underAttack(pair: Pair, attacker: Member, attack: Attack, scope: Scope): Promise<HostileFigures> {
  const forMs = scope.quick ? 500 : 3000;
  const seed = new Uint8Array(32).fill(attack === "member" ? 3 : 4);
  const once = async (): Promise<{ readonly during: PaceResult; readonly attempts: AttackResult }> => {
    await attacker.tell({ type: "attack", seed, victim: pair.place, attack });
    const during = await pair.pace(everyMs, forMs);
    return { during, attempts: await attacker.tell<AttackResult>({ type: "end-attack" }) };
  };
  await pair.pace(everyMs, forMs);
  const rounds: Round[] = [];
  const total = { connections: 0, frames: 0 };
  const before = pair.server.worker.residentBytes;
  for (let round = 1; round <= (scope.quick ? 1 : 5); round += 1) {
    const idle = await pair.pace(everyMs, forMs);
    const { during, attempts } = await once();
    rounds.push({ idle, during });
    total.connections += attempts.connections;
    total.frames += attempts.frames;
    scope.say(`${attack}, round ${round}: p99 ${idle.p99Ms.toFixed(2)} ms idle, ${during.p99Ms.toFixed(2)} ms during`);
  }
  const grownBytes = pair.server.worker.residentBytes - before;
  const perSecond = (total.connections * 1000) / (forMs * rounds.length);
  const beside = `${Math.round(perSecond)} connections/s`;
  return { ...figuresOf(attacks[attack], beside, rounds), attack, attempts: total, grownBytes };
}

/** A good peer's requests while others attack its listener as fast as a process of their own can. */
export async function measureHostile(scope: Scope): Promise<readonly HostileFigures[]> {
  await using attacker = new Member();
  const seed = new Uint8Array(32).fill(3);
  const member = await attacker.tell<Place>({ type: "open", program: "transport", seed });
  await using pair = await Pair.open("transport", [member]);
  const figures: HostileFigures[] = [];
  for (const attack of ["strangers", "member"] as const) figures.push(await underAttack(pair, attacker, attack, scope));
  return figures;
}
