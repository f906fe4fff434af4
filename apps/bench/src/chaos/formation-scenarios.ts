import { join } from "node:path";
import { until, type Daemon } from "@revoada/node/unstable/fleet";
import { fillUp, removeFile } from "../torture/host.ts";
import { rollingRestart } from "./membership-scenarios.ts";
import type { Scenario } from "./scenario.ts";
import { pause, type Expectation, type Stage } from "./stage.ts";

/** Within this time every call ends, whatever happens to the cluster. */
const callBoundMs = 15_000;

/** So heavy that the room which a log has made ahead is used up within seconds. */
const entryBytes = 48 * 1024;

function names(stage: Stage, daemons: readonly Daemon[]): ReadonlySet<string> {
  return new Set(daemons.map((daemon) => stage.name(daemon)));
}

/** Fails where a call at these daemons, which answered all the time, took longer than it may. */
function unended(stage: Stage, daemons: readonly Daemon[], sinceMs: number): readonly string[] {
  const longestMs = stage.ledger.longestCallMs(daemons, sinceMs);
  return longestMs > callBoundMs ? [`a call took ${Math.round(longestMs)} ms to end`] : [];
}

async function minorityCutOff(stage: Stage): Promise<Expectation> {
  const sinceMs = performance.now();
  const { leader, voters, others } = await stage.cast();
  const half = Math.floor((stage.setting.nodes - 1) / 2);
  const away = [...voters.slice(0, 1), ...others].slice(0, half);
  const stay = stage.fleet.daemons.filter((daemon) => !away.includes(daemon));
  stage.cut(away, stay);
  await stage.writesGoOn();
  await pause(8000);
  const findings = stage.fleet.daemons.includes(leader) ? unended(stage, stage.fleet.daemons, sinceMs) : [];
  stage.heal();
  const cut = names(stage, away);
  return {
    // The minority may see the others go, which says nothing to anybody.
    mayDie: (observer, subject) => cut.has(observer) !== cut.has(subject) || cut.has(subject),
    mustDie: [...cut],
    findings,
  };
}

async function majorityCutOff(stage: Stage): Promise<Expectation> {
  const sinceMs = performance.now();
  stage.cut(...stage.fleet.daemons.map((daemon) => [daemon]));
  await pause(3000);
  const { acknowledged } = stage.ledger;
  await pause(7000);
  const findings = [
    ...(stage.ledger.acknowledged > acknowledged ? ["operations were acknowledged without a quorum"] : []),
    ...unended(stage, stage.fleet.daemons, sinceMs),
  ];
  stage.heal();
  return { mayDie: (observer, subject) => observer !== subject, findings };
}

async function slowLinks(stage: Stage): Promise<Expectation> {
  stage.note("20 s of ordinary work over slow links");
  await pause(20_000);
  return { mayDie: () => false, noShift: true };
}

async function clockSkew(stage: Stage): Promise<Expectation> {
  const gone = new Set<string>();
  // Leadership wanders over clocks that are ten minutes apart.
  for (let round = 0; round < 2; round += 1) {
    const { leader } = await stage.cast();
    gone.add(stage.name(leader));
    await killed(stage, [leader]);
    await stage.fleet.whole({ alive: stage.setting.nodes - 1 });
    await restarted(stage, [leader]);
    await stage.whole();
  }
  return { mayDie: (_, subject) => gone.has(subject), mustDie: [...gone] };
}

async function killed(stage: Stage, daemons: readonly Daemon[]): Promise<void> {
  stage.note(`killed: ${daemons.map((daemon) => stage.name(daemon)).join(" ")}`);
  await Promise.all(daemons.map((daemon) => daemon.kill()));
}

async function restarted(stage: Stage, daemons: readonly Daemon[]): Promise<void> {
  stage.note(`started again: ${daemons.map((daemon) => stage.name(daemon)).join(" ")}`);
  await Promise.all(daemons.map((daemon) => stage.fleet.restart(daemon)));
}

async function diskFull(stage: Stage): Promise<Expectation> {
  const sinceMs = performance.now();
  const { leader } = await stage.cast();
  const filler = join(leader.directory, "filler");
  stage.note(`the disk of ${stage.name(leader)} is full but for 64 KiB`);
  await fillUp(leader.directory, filler, 64 * 1024);
  // The log has made room for itself ahead: only once that is used up is the disk full for it.
  stage.ledger.burden(entryBytes);
  const other = await until("another leader", 30_000, async () => {
    const { daemon } = await stage.fleet.leader();
    return daemon === leader ? undefined : daemon;
  });
  stage.note(`${stage.name(other)} leads instead`);
  stage.ledger.burden(0);
  await stage.writesGoOn();
  await pause(5000);
  const findings = unended(stage, stage.fleet.daemons, sinceMs);
  await removeFile(filler);
  stage.note("there is room again");
  // Its disk is full and its process lives: nobody has a reason to take it for dead.
  return { mayDie: () => false, findings };
}

async function leaderKilled(stage: Stage): Promise<Expectation> {
  const gone = new Set<string>();
  stage.ledger.hurry(true);
  for (let round = 0; round < 3; round += 1) {
    const { leader } = await stage.cast();
    gone.add(stage.name(leader));
    await stage.writesGoOn();
    await killed(stage, [leader]);
    await stage.writesGoOn();
    await restarted(stage, [leader]);
    await stage.whole();
  }
  stage.ledger.hurry(false);
  return { mayDie: (_, subject) => gone.has(subject), mustDie: [...gone] };
}

async function threeAtOnce(stage: Stage): Promise<Expectation> {
  const { leader, voters } = await stage.cast();
  const gone = [leader, ...voters].slice(0, 3);
  const left = stage.fleet.daemons.filter((daemon) => !gone.includes(daemon));
  const sinceMs = performance.now();
  await killed(stage, gone);
  const seen = await until("somebody to say that there is no quorum", 20_000, async () => {
    const reports = await Promise.all(left.map((daemon) => daemon.ask((client) => client.health())));
    return reports.find(({ condition }) => condition === "no-quorum");
  });
  stage.note(`those who are left say ${seen.condition}`);
  const { acknowledged } = stage.ledger;
  await pause(6000);
  const findings = [
    ...(stage.ledger.acknowledged > acknowledged ? ["operations were acknowledged without a quorum"] : []),
    ...unended(stage, left, sinceMs),
  ];
  await restarted(stage, gone);
  const dead = names(stage, gone);
  return { mayDie: (_, subject) => dead.has(subject), mustDie: [...dead], findings };
}

/** Who does what, under everything that takes those away who do it. */
export const formationScenarios: readonly Scenario[] = [
  {
    name: "minority-cut",
    about: "the smaller half, one voter in it, cut off: the others replace it and go on",
    sizes: [5, 7],
    needs: ["namespaces"],
    play: minorityCutOff,
  },
  {
    name: "majority-cut",
    about: "every node cut off from every other one: nobody decides anything, and all ends in time",
    sizes: [5, 7],
    needs: ["namespaces"],
    play: majorityCutOff,
  },
  {
    name: "slow-links",
    about: "round trips of 250 ± 100 ms under the datacenter strategy: no churn",
    sizes: [5, 7],
    needs: [],
    setting: {
      delay: { oneWayMs: 125, jitterMs: 50 },
      ...{ topology: "cluster_5m_nw", strategy: "datacenter", masters: 5 },
    },
    play: slowLinks,
  },
  {
    name: "clock-skew",
    about: "clocks five minutes ahead and behind since the beginning, and the leader killed twice",
    sizes: [5],
    needs: ["clock"],
    setting: { clocks: (index) => ([0, 300, -300] as const)[index % 3] ?? 0 },
    play: clockSkew,
  },
  {
    name: "disk-full",
    about: "the leader's disk is full: somebody else leads, and it recovers without a restart",
    sizes: [5],
    needs: ["mounts"],
    setting: { diskBytes: 64 * 1024 * 1024 },
    play: diskFull,
  },
  {
    name: "mid-commit",
    about: "the leader killed three times while callers do not pause",
    sizes: [5, 7],
    needs: [],
    play: leaderKilled,
  },
  {
    name: "rolling-restart-7",
    about: "seven nodes restarted one after the other",
    sizes: [7],
    needs: [],
    play: rollingRestart,
  },
  {
    name: "three-at-once",
    about: "all three voters killed at once: no quorum, whole again after their restart",
    sizes: [5, 7],
    needs: [],
    play: threeAtOnce,
  },
];
