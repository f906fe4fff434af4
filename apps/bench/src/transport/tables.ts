/**
 * The transport's figures as tables.
 */
import { aimOf, type Aim } from "../aim.ts";
import type { Figures } from "../figures.ts";
import { median } from "../statistics.ts";
import { figure, markdownTable, mebibytes, milliseconds, payloadName, ratio, ratioOfRounds } from "../table.ts";
import type { Comparison } from "../turns.ts";
import type { BulkFigures } from "./bulk.ts";
import type { DisturbedFigures, HostileFigures } from "./disturbed.ts";

/** Round by round, or of the medians where an earlier run kept no more. */
function p99Ratios({ standings: { bare, transport } }: Comparison): readonly number[] {
  return transport?.p99Ratios?.["bare"] ?? [(transport?.p99Ms ?? Number.NaN) / (bare?.p99Ms ?? Number.NaN)];
}

export function requestsTable(requests: readonly Comparison[]): string {
  const rows = requests.map((comparison) => {
    const { bare, transport } = comparison.standings;
    const cpu = [bare, transport].map((each) =>
      figure(((each?.leaderCpuSeconds ?? Number.NaN) + (each?.callerCpuSeconds ?? 0)) * 10, 1),
    );
    return [
      payloadName(comparison.payloadBytes),
      figure(comparison.callers),
      figure(bare?.perSecond),
      figure(transport?.perSecond),
      ratio(transport?.ratios["bare"]),
      ...[bare, transport].map((each) => [each?.p50Ms, each?.p99Ms].map((ms) => figure(ms, 2)).join(" / ")),
      ratioOfRounds(p99Ratios(comparison)),
      cpu.join(" / "),
    ];
  });
  const columns = ["payload", "callers", "bare", "transport", "ratio", "bare p50 / p99 ms", "transport p50 / p99 ms"];
  return markdownTable([...columns, "p99 ratio", "CPU µs per request, bare / transport"], rows);
}

export function bulkTable(bulk: readonly BulkFigures[]): string {
  const rows = bulk.map(({ messageBytes, bare, transport, ratios }) => [
    payloadName(messageBytes),
    ...[bare, transport].map(({ bytesPerSecond }) => `${figure(bytesPerSecond / 1e6)} MB/s`),
    ratioOfRounds(ratios),
    [bare, transport].map(({ cpuSecondsPerGiB }) => figure(cpuSecondsPerGiB, 2)).join(" / "),
  ]);
  return markdownTable(["messages of", "bare", "transport", "ratio", "CPU s per GiB, bare / transport"], rows);
}

function disturbedRow({ what, beside, idle, during, p99Ratios: toIdle }: DisturbedFigures): readonly string[] {
  const times = [idle.p50Ms, during.p50Ms, idle.p99Ms, during.p99Ms].map(milliseconds);
  return [what, beside, ...times, ratioOfRounds(toIdle)];
}

const disturbedColumns = [
  { heading: "beside", words: true },
  "at",
  "p50 idle",
  "p50 during",
  "p99 idle",
  "p99 during",
  "p99 ratio",
] as const;

export function channelsTable(channels: readonly DisturbedFigures[]): string {
  return markdownTable(disturbedColumns, channels.map(disturbedRow));
}

export function hostileTable(hostile: readonly HostileFigures[]): string {
  const rows = hostile.map((each) => [
    ...disturbedRow(each),
    figure(each.attempts.frames),
    figure(each.during.failed),
    mebibytes(Math.max(0, each.grownBytes)),
  ]);
  return markdownTable([...disturbedColumns, "frames sent", "good requests failed", "RSS growth"], rows);
}

/** What was aimed at in the transport, and what came of it. */
export function transportAims({ requests, bulk, channels, hostile }: Figures): readonly Aim[] {
  const least = (values: readonly number[] | undefined): number | undefined =>
    values === undefined || values.length === 0 ? undefined : Math.min(...values);
  const most = (values: readonly number[] | undefined): number | undefined =>
    values === undefined || values.length === 0 ? undefined : Math.max(...values);
  const toBare = requests?.map(({ standings }) => standings["transport"]?.ratios["bare"] ?? Number.NaN);
  const beside = channels?.[0] && median(channels[0].p99Ratios);
  return [
    aimOf(
      "requests/s over one connection, every load: at least 0.7 of bare TLS",
      least(toBare),
      ratio,
      (is) => is >= 0.7,
    ),
    aimOf(
      "p99 of a request, every load: at most 1.5 times that of bare TLS",
      most(requests?.map((each) => median(p99Ratios(each)))),
      ratio,
      (is) => is <= 1.5,
    ),
    aimOf("bulk: at least 0.8 of bare TLS", least(bulk?.map(({ ratios }) => median(ratios))), ratio, (is) => is >= 0.8),
    aimOf("p99 on the consensus channel during a bulk transfer: at most 3 times idle", beside, ratio, (is) => is <= 3),
    aimOf(
      "p99 of a good peer during an attack: at most 2 times idle",
      most(hostile?.map(({ p99Ratios: each }) => median(each))),
      ratio,
      (is) => is <= 2,
    ),
    aimOf(
      "growth of a listener's RSS through an attack: at most 64 MiB",
      most(hostile?.map(({ grownBytes }) => Math.max(0, grownBytes))),
      mebibytes,
      (is) => is <= 64 * 2 ** 20,
    ),
  ];
}
