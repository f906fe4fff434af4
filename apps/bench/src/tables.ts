/**
 * Figures as tables in Markdown: what is printed, and what stands in the page.
 */
import { aimsTable } from "./aims.ts";
import { chainsTable } from "./chain/chain.ts";
import type { Conditions, Figures } from "./figures.ts";
import type { DetectionFigures } from "./gossip/detection.ts";
import type { SimulatedSize } from "./gossip/spread.ts";
import { groupsTable } from "./groups/groups.ts";
import type { Loss, LossFigures } from "./losses.ts";
import type { MasterFigures } from "./masters.ts";
import type { SnapshotFigures } from "./snapshot/snapshot.ts";
import type { FailoverFigures } from "./raft/failover.ts";
import type { CatchUp, Growth, Weight } from "./raft/growth.ts";
import { distribution } from "./statistics.ts";
import { figure, markdownTable, mebibytes, milliseconds, payloadName, ratio } from "./table.ts";
import { bulkTable, channelsTable, hostileTable, requestsTable } from "./transport/tables.ts";
import type { Comparison, Standing } from "./turns.ts";

/** What stands in the page where there are no figures. */
export const notMeasured = "*Not measured.*";

const words = (heading: string) => ({ heading, words: true }) as const;

function perSecond(standing: Standing | undefined): string {
  return standing === undefined ? "no etcd" : figure(standing.perSecond);
}

function hostOf({ node, etcd, serf, system, cores, model, memoryGiB, fileSystem }: Conditions): string {
  const versions = `Node ${node.replace(/^v/, "")}, ${etcd === undefined ? "**no etcd on the path: nothing is compared with it**" : `etcd ${etcd}`}${serf === undefined ? "" : `, serf ${serf}`}`;
  return `${versions}; ${system}, ${cores} cores (${model.trim()}), ${memoryGiB} GiB, logs on ${fileSystem}.`;
}

/** The host once where all sections had the same, and each section's own circumstances. */
function conditionsTable(conditions: Figures["conditions"]): string {
  const measured = Object.entries(conditions);
  if (measured.length === 0) return notMeasured;
  const hosts = [...new Set(measured.map(([, each]) => hostOf(each)))];
  const rows = measured.map(([section, each]) => [
    section,
    each.date,
    `${figure(each.tookSeconds)} s`,
    `${figure(each.loadBefore, 1)} on ${each.cores} cores`,
    [...(each.quick ? ["**quick: too short to mean much**"] : []), ...(hosts.length > 1 ? [hostOf(each)] : [])].join(
      "; ",
    ),
  ]);
  const columns = [words("section"), words("date"), "took", "busy processes, the minute before", words("")];
  return `${hosts.length > 1 ? "" : `${hosts[0]}\n\n`}${markdownTable(columns, rows)}`;
}

function commitsTable(commits: readonly Comparison[]): string {
  const rows = commits.map(({ callers, payloadBytes, standings }) => {
    const { bare, leader, follower, etcd } = standings;
    return [
      payloadName(payloadBytes),
      figure(callers),
      perSecond(bare),
      perSecond(leader),
      ratio(leader?.ratios["bare"]),
      ratio(leader?.ratios["etcd"]),
      perSecond(follower),
      ratio(follower?.ratios["bare"]),
      ratio(follower?.ratios["etcd"]),
      perSecond(etcd),
    ];
  });
  const beside = (who: string): readonly string[] => [who, "to bare", "to etcd"];
  return markdownTable(["payload", "callers", "bare", ...beside("leader"), ...beside("follower"), "etcd"], rows);
}

function latenciesTable(comparisons: readonly Comparison[], names: readonly string[], withPayload: boolean): string {
  const rows = comparisons.map(({ callers, payloadBytes, standings }) => [
    ...(withPayload ? [payloadName(payloadBytes)] : []),
    figure(callers),
    ...names.map((name) => {
      const standing = standings[name];
      if (standing === undefined) return "no etcd";
      const { p50Ms, p99Ms, p999Ms } = standing;
      return [p50Ms, p99Ms, p999Ms].map((ms) => figure(ms, ms < 10 ? 2 : ms < 100 ? 1 : 0)).join(" / ");
    }),
  ]);
  return markdownTable([...(withPayload ? ["payload"] : []), "callers", ...names], rows);
}

function costsTable(commits: readonly Comparison[]): string {
  const cpu = (standing: Standing | undefined): string =>
    standing === undefined
      ? "no etcd"
      : `${figure(standing.leaderCpuSeconds, 2)} / ${figure(standing.allCpuSeconds, 2)}`;
  const rows = commits.map(({ callers, payloadBytes, standings: { bare, leader, follower, etcd } }) => [
    payloadName(payloadBytes),
    figure(callers),
    ...[bare, leader, follower, etcd].map(cpu),
    mebibytes(bare?.residentBytes),
    mebibytes(leader?.residentBytes),
    mebibytes(etcd?.residentBytes),
  ]);
  const columns = ["payload", "callers", "bare", "leader", "follower", "etcd", "RSS: bare", "this package", "etcd"];
  return markdownTable(columns, rows);
}

const readPrograms = ["leader", "follower", "leader, lease", "follower, lease", "etcd"];

function readProgramsOf(reads: readonly Comparison[]): readonly string[] {
  return readPrograms.filter((name) => reads.some(({ standings }) => standings[name] !== undefined));
}

function readsTable(reads: readonly Comparison[]): string {
  const names = readProgramsOf(reads);
  const rows = reads.map(({ callers, standings }) => [
    figure(callers),
    ...names.map((name) => perSecond(standings[name])),
    ratio(standings["leader"]?.ratios["etcd"]),
    ratio(standings["follower"]?.ratios["etcd"]),
  ]);
  return markdownTable(["callers", ...names, "leader to etcd", "follower to etcd"], rows);
}

function failoverTable({
  killedMs,
  transferMs,
  transferGapMs,
  transfersRefused,
  etcdKilledMs,
}: FailoverFigures): string {
  const row = (what: string, samples: readonly number[] | undefined): readonly string[] => {
    if (samples === undefined) return [what, "no etcd", "–", "–", "–", "–"];
    const { p50, p90, p99, worst } = distribution(samples);
    return [what, figure(samples.length), ...[p50, p90, p99, worst].map(milliseconds)];
  };
  const table = markdownTable(
    [words("what"), "times", "p50", "p90", "p99", "longest"],
    [
      row("leader killed → next write", killedMs),
      row("planned transfer, until done", transferMs),
      row("planned transfer, longest time without a write", transferGapMs),
      row("etcd: leader killed → next write", etcdKilledMs),
    ],
  );
  return transfersRefused > 0
    ? `${table}\n\nTransfers that the leader gave up, and that were asked for again: ${transfersRefused}.`
    : table;
}

function weightOf({ peakBytes, residentBytes, steadyBytes }: Weight): string {
  return `${[peakBytes, residentBytes, steadyBytes].map((bytes) => figure(bytes / 2 ** 20)).join(" / ")} MiB`;
}

function growthTable(growth: readonly Growth[]): string {
  const rows = growth.map((each) => [
    figure(each.entries),
    each.compacted ? "every 10,000" : "never",
    weightOf(each.leader),
    weightOf(each.follower),
    `${mebibytes(each.leader.heapBytes)} + ${mebibytes(each.leader.externalBytes)}`,
    milliseconds(each.restart.openMs),
    milliseconds(each.restart.appliedMs),
    mebibytes(each.restartedResidentBytes),
  ]);
  return markdownTable(
    [
      "entries",
      words("compacted"),
      "RSS: leader",
      "follower",
      "leader: heap + external",
      "restart: log open",
      "all applied",
      "RSS then",
    ],
    rows,
  );
}

function catchUpTable({ entries, payloadBytes, tookMs, entriesPerSecond }: CatchUp): string {
  const rate = `${figure((entriesPerSecond * payloadBytes) / 2 ** 20, 1)} MiB/s`;
  return markdownTable(
    ["entries missed", "payload", "caught up in", "entries/s", "payload/s"],
    [[figure(entries), payloadName(payloadBytes), milliseconds(tookMs), figure(entriesPerSecond), rate]],
  );
}

const lossNames: Readonly<Record<Loss, string>> = {
  kill: "`SIGKILL`: closed evidence",
  pause: "`SIGSTOP`: silent evidence",
};

function lossesTable(losses: readonly LossFigures[]): string {
  const rows = losses.map(({ loss, samples, acknowledged, unknown }) => {
    const back = distribution(samples.map((sample) => sample.writeBackMs));
    const reformed = distribution(samples.map((sample) => sample.reformedMs));
    const times = [back.p50, back.p99, reformed.p50, reformed.p99].map(milliseconds);
    return [lossNames[loss], figure(samples.length), ...times, figure(acknowledged), figure(unknown)];
  });
  const columns = ["writes back p50", "p99", "re-formed p50", "p99", "acknowledged meanwhile", "outcome unknown"];
  return markdownTable([words("loss"), "times", ...columns], rows);
}

function mastersTable(masters: readonly MasterFigures[]): string {
  const rows = masters.map(({ loss, samples, acknowledged, unknown }) => {
    const replaced = distribution(samples.map(({ replacedMs }) => replacedMs));
    const times = [replaced.p50, replaced.p90, replaced.p99, replaced.worst].map(milliseconds);
    const led = samples.filter((sample) => sample.led).length;
    return [lossNames[loss], figure(samples.length), figure(led), ...times, figure(acknowledged), figure(unknown)];
  });
  const columns = ["p50", "p90", "p99", "longest", "acknowledged meanwhile", "outcome unknown"];
  return markdownTable([words("loss"), "times", "of which leaders", ...columns], rows);
}

const phaseNames: Readonly<Record<"idle" | "saved" | "sent" | "received" | "installed", string>> = {
  idle: "nothing",
  saved: "saves",
  sent: "sends",
  received: "receives",
  installed: "installs",
};

function snapshotsTable(snapshots: readonly SnapshotFigures[]): string {
  const rows = snapshots.flatMap(({ store, keys, ...phases }) =>
    Object.entries(phaseNames).map(([name, does]) => {
      const phase = phases[name as keyof typeof phaseNames];
      const { longestStallMs, p99StallMs, longestTurnCpuMs, longestCollectionMs } = phase;
      const times = [longestStallMs, p99StallMs, longestTurnCpuMs, longestCollectionMs].map(milliseconds);
      return [store, figure(keys), does, milliseconds(phase.ms), ...times, `${figure(phase.residentMiB)} MiB`];
    }),
  );
  const columns = ["took", "longest stall", "p99", "CPU of a turn", "collection", "RSS"];
  return markdownTable([words("store"), "keys", words("replica"), ...columns], rows);
}

function detectionTable(figures: DetectionFigures): string {
  const { killedMs, silentMs, backMs, newsMs, restCoreShare, restBytesPerSecond, serf } = figures;
  const row = (what: string, samples: readonly number[] | undefined): readonly string[] => {
    if (samples === undefined) return [what, "no serf", "–", "–", "–", "–"];
    const { p50, p90, p99, worst } = distribution(samples);
    return [what, figure(samples.length), ...[p50, p90, p99, worst].map(milliseconds)];
  };
  const table = markdownTable(
    [words("what"), "times", "p50", "p90", "p99", "longest"],
    [
      row("`SIGKILL` → known dead by the four others", killedMs),
      row("`SIGSTOP` → known dead by the four others", silentMs),
      row("`SIGCONT` of one taken for dead → alive for all", backMs),
      row("a value is set → the four others have it", newsMs),
      row("serf, three agents: `SIGKILL` → failed for both others", serf?.killedMs),
    ],
  );
  const ours = distribution(killedMs).p50;
  const beside = serf === undefined ? "" : ` serf takes ${ratio(distribution(serf.killedMs).p50 / ours)} as long.`;
  const cost = `At rest each of the five takes ${figure(restCoreShare * 100, 1)} % of a core, and its gossip sends ${figure(restBytesPerSecond / 1_000, 1)} kB/s.`;
  return `${table}\n\n${cost}${beside}`;
}

function spreadTable(sizes: readonly SimulatedSize[]): string {
  const shown = (values: readonly number[]): string =>
    `${figure(values.reduce((sum, each) => sum + each, 0) / values.length, 1)} (${figure(Math.max(...values), 1)})`;
  const rows = sizes.flatMap(({ nodes, idle, spreads }) =>
    spreads.map(({ loss, rounds, idealRounds }, index) => [
      figure(nodes),
      `${figure(loss * 100)} %`,
      shown(rounds),
      shown(idealRounds),
      ratio(rounds.reduce((sum, each) => sum + each, 0) / idealRounds.reduce((sum, each) => sum + each, 0)),
      ...(index === 0 ? [figure(idle.livenessBytes), figure(idle.stateBytes)] : ["", ""]),
    ]),
  );
  const columns = ["nodes", "frames lost", "rounds, mean (longest)", "ideal", "to it"];
  return markdownTable([...columns, "idle: signs of life, B/s per node", "state, B/s"], rows);
}

/** A table that stands in the page under a name of its own, and the pictures below it. */
export interface NamedTable {
  readonly name: string;
  readonly caption: string;
  /** Undefined where nothing was measured. */
  readonly markdown: string | undefined;
  readonly pictures?: readonly (readonly [file: string, alternative: string])[];
}

type Add = (
  name: string,
  caption: string,
  markdown: string | undefined,
  ...pictures: (readonly [file: string, alternative: string])[]
) => void;

/** Every table, those that these figures do not fill too. */
export function tablesOf(figures: Figures): readonly NamedTable[] {
  const tables: NamedTable[] = [];
  const add: Add = (name, caption, markdown, ...pictures) => void tables.push({ name, caption, markdown, pictures });
  add("conditions", "Conditions", conditionsTable(figures.conditions));
  add("aims", "Aims", aimsTable(figures));
  addRaft(figures, add);
  addLosses(figures, add);
  addTransport(figures, add);
  addGossip(figures, add);
  return tables;
}

function addRaft({ commits, reads, failover, growth, catchUp }: Figures, add: Add): void {
  const programs = ["bare", "leader", "follower", "etcd"];
  const cost = "CPU seconds per 100,000 commits, leader's / all members', and RSS";
  add("commits", "Commits per second", commits && commitsTable(commits), [
    "commits.svg",
    "Commits per second by callers, for three sizes of payload",
  ]);
  add("latencies", "Latency of a commit, p50 / p99 / p99.9 in ms", commits && latenciesTable(commits, programs, true), [
    "latency.svg",
    "Latency of a commit by callers",
  ]);
  add("costs", cost, commits && costsTable(commits));
  add("reads", "Linearizable reads per second", reads && readsTable(reads), [
    "reads.svg",
    "Linearizable reads per second by callers",
  ]);
  const latencies = reads && latenciesTable(reads, readProgramsOf(reads), false);
  add("read-latencies", "Latency of a read, p50 / p99 / p99.9 in ms", latencies);
  add("failover", "Time without writes", failover && failoverTable(failover), ["failover.svg", "Times without writes"]);
  add(
    "growth",
    "Memory and restart",
    growth && growthTable(growth),
    ["restart.svg", "Restart of a member by entries"],
    ["memory.svg", "Resident memory by entries"],
  );
  add("catch-up", "A follower catches up", catchUp && catchUpTable(catchUp));
}

function addLosses({ groups, losses, masters, snapshots, chain }: Figures, add: Add): void {
  add("groups", "Many groups in one process", groups && groupsTable(groups));
  add("losses", "Losing the leader of five daemons", losses && lossesTable(losses));
  add("masters", "Replacing a master of seven daemons", masters && mastersTable(masters), [
    "masters.svg",
    "Times until a lost master was replaced",
  ]);
  add("chain", "Verifying a chain offline", chain && chainsTable(chain));
  add("snapshots", "Event loops while a snapshot goes through", snapshots && snapshotsTable(snapshots));
}

function addTransport({ requests, bulk, channels, hostile }: Figures, add: Add): void {
  add("requests", "Requests per second over one connection", requests && requestsTable(requests), [
    "requests.svg",
    "Requests per second by callers, for three sizes of payload",
  ]);
  add("bulk", "Bytes one way", bulk && bulkTable(bulk));
  add("channels", "Requests during a bulk transfer", channels && channelsTable(channels));
  add("hostile", "A good peer's requests during an attack", hostile && hostileTable(hostile));
}

function addGossip({ detection, spread }: Figures, add: Add): void {
  add("detection", "Five members, and one of them gone", detection && detectionTable(detection), [
    "detection.svg",
    "Times until a death is known, and until news is everywhere",
  ]);
  add("spread", "News among many simulated nodes", spread && spreadTable(spread), [
    "spread.svg",
    "Share of the nodes that know, by rounds, for three shares of lost frames",
  ]);
}
