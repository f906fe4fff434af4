/**
 * Figures as pictures.
 */
import type { Figures } from "./figures.ts";
import type { DetectionFigures } from "./gossip/detection.ts";
import type { SimulatedSize } from "./gossip/spread.ts";
import type { MasterFigures } from "./masters.ts";
import type { FailoverFigures } from "./raft/failover.ts";
import type { Growth } from "./raft/growth.ts";
import { lineChart, stripChart, type Panel, type Series } from "./svg/chart.ts";
import { payloadName } from "./table.ts";
import type { Comparison, Standing } from "./turns.ts";

const callersAxis = { label: "callers, each with one operation out", kind: "log" } as const;
/** Which mark a program has, in every picture. */
const kinds: Readonly<Record<string, number>> = {
  leader: 0,
  follower: 1,
  bare: 2,
  etcd: 3,
  // Where there is a bare program there are no leases.
  "leader, lease": 2,
  "follower, lease": 4,
};
const names: Readonly<Record<string, string>> = {
  leader: "callers on the leader",
  follower: "callers on a follower",
  bare: "bare program",
  etcd: "etcd",
  "leader, lease": "leader, lease",
  "follower, lease": "follower, lease",
};

function seriesOf(comparisons: readonly Comparison[], value: (standing: Standing) => number): readonly Series[] {
  const present = Object.keys(names).filter((name) => comparisons.some(({ standings }) => name in standings));
  return present.map((name) => ({
    name: names[name] as string,
    kind: kinds[name] as number,
    points: comparisons.flatMap(({ callers, standings }) => {
      const standing = standings[name];
      return standing === undefined ? [] : [[callers, value(standing)] as const];
    }),
  }));
}

function payloadsOf(commits: readonly Comparison[]): readonly number[] {
  return [...new Set(commits.map(({ payloadBytes }) => payloadBytes))];
}

function commitsChart(commits: readonly Comparison[]): string {
  const panels: Panel[] = payloadsOf(commits).map((payloadBytes) => ({
    title: payloadName(payloadBytes),
    series: seriesOf(
      commits.filter((each) => each.payloadBytes === payloadBytes),
      ({ perSecond }) => perSecond,
    ),
  }));
  return lineChart({
    title: "Commits per second, three processes, every write synced",
    x: callersAxis,
    y: { label: "commits per second", kind: "log" },
    panels,
  });
}

function latencyChart(title: string, comparisons: readonly Comparison[]): string {
  const panel = (name: string, value: (standing: Standing) => number): Panel => ({
    title: name,
    series: seriesOf(comparisons, value),
  });
  return lineChart({
    title,
    x: callersAxis,
    y: { label: "milliseconds", kind: "log" },
    panels: [
      panel("p50", ({ p50Ms }) => p50Ms),
      panel("p99", ({ p99Ms }) => p99Ms),
      panel("p99.9", ({ p999Ms }) => p999Ms),
    ],
  });
}

function readsChart(reads: readonly Comparison[]): string {
  return lineChart({
    title: "Linearizable reads",
    x: callersAxis,
    y: { label: "reads per second", kind: "log" },
    panels: [{ title: "", series: seriesOf(reads, ({ perSecond }) => perSecond) }],
  });
}

function failoverChart({ killedMs, transferGapMs, etcdKilledMs }: FailoverFigures): string {
  return stripChart({
    title: "Time without writes, one mark for each loss, a line at the median",
    x: { label: "milliseconds", kind: "log" },
    rows: [
      { name: "planned transfer", kind: 1, samples: transferGapMs },
      { name: "leader killed", kind: 0, samples: killedMs },
      { name: "etcd: leader killed", kind: 3, samples: etcdKilledMs ?? [] },
    ],
  });
}

function growthChart(growth: readonly Growth[]): string {
  const series = (value: (growth: Growth) => number): readonly Series[] =>
    [true, false].map((compacted) => ({
      name: compacted ? "compacted every 10,000 entries" : "never compacted",
      kind: compacted ? 0 : 1,
      points: growth.filter((each) => each.compacted === compacted).map((each) => [each.entries, value(each)] as const),
    }));
  return lineChart({
    title: "Restart of a member, until everything is applied",
    x: { label: "entries of 256 B", kind: "log" },
    y: { label: "milliseconds", kind: "log" },
    panels: [{ title: "", series: series(({ restart }) => restart.appliedMs) }],
  });
}

function memoryChart(growth: readonly Growth[]): string {
  const series = (compacted: boolean, value: (growth: Growth) => number): Series => ({
    name: compacted ? "compacted every 10,000 entries" : "never compacted",
    kind: compacted ? 0 : 1,
    points: growth
      .filter((each) => each.compacted === compacted)
      .map((each) => [each.entries, value(each) / 2 ** 20] as const),
  });
  const both = (value: (growth: Growth) => number): readonly Series[] => [series(true, value), series(false, value)];
  return lineChart({
    title: "Resident memory of the largest member",
    x: { label: "entries of 256 B", kind: "log" },
    y: { label: "MiB", kind: "linear" },
    panels: [
      {
        title: "after collections",
        series: both(({ leader, follower }) => Math.max(leader.steadyBytes, follower.steadyBytes)),
      },
      { title: "peak", series: both(({ leader, follower }) => Math.max(leader.peakBytes, follower.peakBytes)) },
    ],
  });
}

const transportNames = [
  { key: "transport", name: "this package", kind: 0 },
  { key: "bare", name: "bare TLS", kind: 2 },
] as const;

function requestsChart(requests: readonly Comparison[]): string {
  const panels: Panel[] = payloadsOf(requests).map((payloadBytes) => ({
    title: payloadName(payloadBytes),
    series: transportNames.map(({ key, name, kind }) => ({
      name,
      kind,
      points: requests
        .filter((each) => each.payloadBytes === payloadBytes)
        .map(({ callers, standings }) => [callers, standings[key]?.perSecond ?? Number.NaN] as const),
    })),
  }));
  return lineChart({
    title: "Requests per second over one connection between two processes",
    x: callersAxis,
    y: { label: "requests per second", kind: "log" },
    panels,
  });
}

function detectionChart({ killedMs, silentMs, newsMs, serf }: DetectionFigures): string {
  return stripChart({
    title: "Until the last of the others knows, one mark for each time, a line at the median",
    x: { label: "milliseconds", kind: "log" },
    rows: [
      { name: "a value is set", kind: 2, samples: newsMs },
      { name: "killed", kind: 0, samples: killedMs },
      { name: "stopped", kind: 1, samples: silentMs },
      { name: "serf: killed", kind: 3, samples: serf?.killedMs ?? [] },
    ],
  });
}

function mastersChart(masters: readonly MasterFigures[]): string {
  const samples = (loss: MasterFigures["loss"], led: boolean): readonly number[] =>
    masters
      .filter((each) => each.loss === loss)
      .flatMap((each) => each.samples.filter((sample) => sample.led === led).map(({ replacedMs }) => replacedMs));
  return stripChart({
    title: "Time until a master is replaced, one mark for each loss, a line at the median",
    x: { label: "milliseconds", kind: "log" },
    rows: [
      { name: "killed: a follower", kind: 1, samples: samples("kill", false) },
      { name: "killed: the leader", kind: 0, samples: samples("kill", true) },
      { name: "stopped: a follower", kind: 2, samples: samples("pause", false) },
      { name: "stopped: the leader", kind: 3, samples: samples("pause", true) },
    ],
  });
}

function spreadChart(sizes: readonly SimulatedSize[]): string {
  const losses = sizes[0]?.spreads.map(({ loss }) => loss) ?? [];
  const largest = sizes.at(-1);
  return lineChart({
    title: "Who knows of a new value, simulated",
    x: { label: "rounds of gossip", kind: "linear" },
    y: { label: "% of the nodes", kind: "linear" },
    panels: losses.map((loss, at) => {
      const ours: Series[] = sizes.map(({ nodes, spreads }, kind) => ({
        name: `${nodes.toLocaleString("en-US")} nodes`,
        kind,
        points: [
          [0, 100 / nodes],
          ...(spreads[at]?.curve ?? []).map((share, step) => [(step + 1) / 10, share * 100] as const),
        ],
      }));
      const ideal: Series = {
        name: `ideal, ${largest?.nodes.toLocaleString("en-US")}`,
        kind: 4,
        points: [
          [0, 0],
          ...(largest?.spreads[at]?.idealCurve ?? []).map((share, step) => [step + 1, share * 100] as const),
        ],
      };
      return { title: `${Math.round(loss * 100)} % of frames lost`, series: [...ours, ideal] };
    }),
  });
}

/** Every picture by file name; undefined where these figures do not fill it. */
export function plotsOf({
  commits,
  reads,
  failover,
  growth,
  masters,
  requests,
  detection,
  spread,
}: Figures): Readonly<Record<string, string | undefined>> {
  const middle = commits?.filter(({ payloadBytes }) => payloadBytes === 256);
  return {
    "commits.svg": commits && commitsChart(commits),
    "latency.svg": middle && latencyChart("Latency of a commit of 256 B", middle),
    "reads.svg": reads && readsChart(reads),
    "failover.svg": failover && failoverChart(failover),
    "masters.svg": masters && mastersChart(masters),
    "restart.svg": growth && growthChart(growth),
    "memory.svg": growth && memoryChart(growth),
    "requests.svg": requests && requestsChart(requests),
    "detection.svg": detection && detectionChart(detection),
    "spread.svg": spread && spreadChart(spread),
  };
}
