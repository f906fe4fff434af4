import { aimOf, type Aim } from "./aim.ts";
import type { ChainFigures } from "./chain/chain.ts";
import type { Figures } from "./figures.ts";
import type { Phase } from "./snapshot/replica.ts";
import { distribution } from "./statistics.ts";
import { figure, markdownTable, mebibytes, milliseconds, ratio } from "./table.ts";
import { transportAims } from "./transport/tables.ts";
import type { Comparison } from "./turns.ts";

function standing(comparisons: readonly Comparison[] | undefined, callers: number, payloadBytes: number, name: string) {
  const found = comparisons?.find((each) => each.callers === callers && each.payloadBytes === payloadBytes);
  return found?.standings[name];
}

function commitAims({ commits }: Figures): readonly Aim[] {
  const many = standing(commits, 1000, 256, "leader");
  const one = standing(commits, 1, 256, "leader");
  const bareOne = standing(commits, 1, 256, "bare");
  const slower = one === undefined || bareOne === undefined ? undefined : one.p50Ms / bareOne.p50Ms;
  return [
    aimOf(
      "commits/s of 1,000 callers, 256 B: at least 0.5 of the bare program",
      many?.ratios["bare"],
      ratio,
      (is) => is >= 0.5,
    ),
    aimOf("commits/s of 1,000 callers, 256 B: at least 10 times etcd", many?.ratios["etcd"], ratio, (is) => is >= 10),
    aimOf("p50 of one caller, 256 B: at most 1.5 times the bare program's", slower, ratio, (is) => is <= 1.5),
  ];
}

function readAims({ reads }: Figures): readonly Aim[] {
  const perSecond = standing(reads, 1000, 0, "leader")?.perSecond;
  return [
    aimOf(
      "linearizable reads/s of 1,000 callers on the leader: at least 100,000",
      perSecond,
      (is) => `${figure(is)}/s`,
      (is) => is >= 100_000,
    ),
  ];
}

function failoverAims({ failover }: Figures): readonly Aim[] {
  const killed = failover && distribution(failover.killedMs);
  const transfers = failover && distribution(failover.transferMs);
  const gaps = failover && distribution(failover.transferGapMs);
  return [
    aimOf("leader killed → next write, p50: at most 400 ms", killed?.p50, milliseconds, (is) => is <= 400),
    aimOf("leader killed → next write, p99: at most 800 ms", killed?.p99, milliseconds, (is) => is <= 800),
    aimOf("planned transfer, p50: at most 50 ms", transfers?.p50, milliseconds, (is) => is <= 50),
    aimOf("time without writes at a planned transfer, p50: at most 50 ms", gaps?.p50, milliseconds, (is) => is <= 50),
  ];
}

function growthAims({ growth }: Figures): readonly Aim[] {
  const at = (compacted: boolean) => growth?.find((each) => each.entries === 1_000_000 && each.compacted === compacted);
  const long = at(false);
  const short = at(true);
  const larger = (of: "steadyBytes" | "peakBytes") => short && Math.max(short.leader[of], short.follower[of]);
  return [
    aimOf("replay of 1M entries of 256 B: at most 5 s", long?.restart.appliedMs, milliseconds, (is) => is <= 5000),
    aimOf(
      "RSS with 1M entries, compacted, at rest after collections: at most 150 MiB",
      larger("steadyBytes"),
      (is) => `${mebibytes(is)} (peak ${mebibytes(larger("peakBytes"))})`,
      (is) => is <= 150 * 2 ** 20,
    ),
  ];
}

function groupsAims({ groups }: Figures): readonly Aim[] {
  const many = groups?.find((fleet) => fleet.groups === 100);
  return [aimOf("100 idle groups: at most 2 times the CPU of one", many?.cpuRatio, ratio, (is) => is <= 2)];
}

function snapshotAims({ snapshots }: Figures): readonly Aim[] {
  const million = snapshots?.filter(({ keys }) => keys === 1_000_000) ?? [];
  const phases = million.flatMap(({ saved, sent, received, installed }) => [saved, sent, received, installed]);
  const longest = (pick: (phase: Phase) => number): number | undefined =>
    phases.length === 0 ? undefined : Math.max(...phases.map(pick));
  const cpu = longest(({ longestTurnCpuMs }) => longestTurnCpuMs);
  const idle = Math.max(...million.map((each) => each.idle.longestStallMs));
  return [
    aimOf(
      "a million keys saved, sent, received, installed: no stall above 20 ms",
      longest(({ longestStallMs }) => longestStallMs),
      (is) => `${milliseconds(is)} (CPU of one turn ${milliseconds(cpu)}; idle ${milliseconds(idle)})`,
      (is) => is <= 20,
    ),
  ];
}

function chainAims({ chain }: Figures): readonly Aim[] {
  const single = chain?.filter(({ blocksPerCommand }) => blocksPerCommand === 1);
  const many = chain?.filter(({ blocksPerCommand }) => blocksPerCommand > 1);
  const least = (of: typeof chain, share: (each: ChainFigures) => number): number | undefined =>
    of === undefined || of.length === 0 ? undefined : Math.min(...of.map(share));
  const alone = ({ signaturesMs, verifyMs }: ChainFigures): number => signaturesMs / verifyMs;
  const together = (each: ChainFigures): number => each.parallelSignaturesMs / each.parallelMs;
  const wanted = (is: number): boolean => is >= 0.7;
  return [
    aimOf(
      "a chain verified, a block per command: at least 0.7 of the bare rate of its signatures",
      least(single, alone),
      ratio,
      wanted,
    ),
    aimOf("the same on all cores, to the bare rate there: at least 0.7", least(single, together), ratio, wanted),
    aimOf(
      "a chain verified, a hundred blocks per command: at least 0.7 of the bare rate of its signatures",
      least(many, alone),
      ratio,
      wanted,
    ),
  ];
}

function gossipAims({ detection, spread }: Figures): readonly Aim[] {
  const killed = detection && distribution(detection.killedMs);
  const worst = spread?.flatMap(({ spreads }) =>
    spreads.map(({ rounds, idealRounds }) => distribution(rounds).p50 / distribution(idealRounds).p50),
  );
  return [
    aimOf(
      "one of five killed → known dead by the others, p50: at most 700 ms",
      killed?.p50,
      milliseconds,
      (is) => is <= 700,
    ),
    aimOf(
      "simulated news, up to 30 % of frames lost: at most 1.5 times the ideal rounds",
      worst && Math.max(...worst),
      ratio,
      (is) => is <= 1.5,
    ),
  ];
}

function masterAims({ masters }: Figures): readonly Aim[] {
  const of = (loss: "kill" | "pause") => {
    const samples = masters?.find((each) => each.loss === loss)?.samples.map(({ replacedMs }) => replacedMs);
    return samples && distribution(samples);
  };
  const [killed, paused] = [of("kill"), of("pause")];
  return [
    aimOf("a master of seven killed → replaced, p50: at most 1.5 s", killed?.p50, milliseconds, (is) => is <= 1500),
    aimOf("a master of seven killed → replaced, p99: at most 3 s", killed?.p99, milliseconds, (is) => is <= 3000),
    aimOf(
      "a master of seven stopped → replaced, the longest: at most 1.5 s beyond the suspicion of 2 s",
      paused?.worst,
      milliseconds,
      (is) => is <= 3500,
    ),
  ];
}

/** Each aim, and whether it was met. */
function aimsOf(figures: Figures): readonly Aim[] {
  const parts = [
    commitAims,
    readAims,
    failoverAims,
    growthAims,
    groupsAims,
    masterAims,
    snapshotAims,
    chainAims,
    transportAims,
    gossipAims,
  ];
  return parts.flatMap((aims) => aims(figures));
}

/** The aims as a table. */
export function aimsTable(figures: Figures): string {
  const said = (met: boolean | undefined): string => (met === undefined ? "not measured" : met ? "met" : "**missed**");
  return markdownTable(
    [{ heading: "aim", words: true }, "measured", { heading: "", words: true }],
    aimsOf(figures).map(({ aim, measured, met }) => [aim, measured, said(met)]),
  );
}
