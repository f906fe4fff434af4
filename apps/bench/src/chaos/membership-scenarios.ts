import type { Daemon } from "@revoada/node/unstable/fleet";
import { Guest } from "./guest.ts";
import { Starved } from "./host.ts";
import type { Scenario } from "./scenario.ts";
import { pause, type Expectation, type Stage } from "./stage.ts";

const nobody = (): boolean => false;
/** What is left to happen after a fault has ended, before it is asked whether all is well. */
const settleMs = 3000;

/** Stops a process for a while; the kernel answers for it, so that nobody can tell that from a slow one. */
async function stopped(stage: Stage, daemon: Daemon, forMs: number): Promise<void> {
  stage.note(`${stage.name(daemon)} stopped`);
  daemon.signal("SIGSTOP");
  await pause(forMs);
  daemon.signal("SIGCONT");
  stage.note(`${stage.name(daemon)} continued`);
}

async function shortStall(stage: Stage): Promise<Expectation> {
  const { leader, others } = await stage.cast();
  for (const daemon of [others[0], leader]) {
    if (daemon === undefined) continue;
    await stopped(stage, daemon, 1000);
    await pause(settleMs);
  }
  return { mayDie: nobody, noShift: true };
}

async function longStall(stage: Stage): Promise<Expectation> {
  const { voters, leader } = await stage.cast();
  const victim = voters[0] ?? leader;
  await stopped(stage, victim, 10_000);
  const name = stage.name(victim);
  return { mayDie: (observer, subject) => subject === name && observer !== name, mustDie: [name] };
}

async function starvedOfCpu(stage: Stage): Promise<Expectation> {
  const { others, leader } = await stage.cast();
  const victim = others[0] ?? leader;
  const name = stage.name(victim);
  {
    using starved = new Starved(victim.pid ?? 0, 0.05);
    stage.note(`${name} has 5 % of a core (${starved.how})`);
    await pause(15_000);
  }
  stage.note(`${name} has its core back`);
  // Others may lose it, as it may stand still for longer than the suspicion; it may accuse nobody.
  return { mayDie: (observer, subject) => subject === name && observer !== name };
}

async function clockJumps(stage: Stage): Promise<Expectation> {
  const { leader, voters, others } = await stage.cast();
  const jumping = [leader, voters[0], others[0]].filter((daemon) => daemon !== undefined);
  for (const hours of [1, -1]) {
    for (const [at, daemon] of jumping.entries()) {
      const offset = at % 2 === 0 ? hours : -hours;
      stage.note(`the clock of ${stage.name(daemon)} jumps to ${offset > 0 ? "+" : "−"}1 h`);
      stage.clocks[stage.index(daemon)]?.jump(offset * 3600);
      await pause(settleMs);
    }
  }
  for (const clock of stage.clocks) clock.jump(0);
  stage.note("all clocks are right again");
  await pause(settleMs);
  return { mayDie: nobody, noShift: true };
}

async function lossy(stage: Stage): Promise<Expectation> {
  stage.note("every node loses 20 % of what comes in");
  stage.network.drop(stage.fleet.daemons.map((_, to) => ({ to, share: 20 })));
  await pause(20_000);
  stage.heal();
  return { mayDie: nobody };
}

async function oneWay(stage: Stage): Promise<Expectation> {
  const { leader, voters, others } = await stage.cast();
  const [deaf, worker] = [voters[0] ?? leader, others[0] ?? leader];
  stage.note(
    `${stage.name(deaf)} hears nothing of ${stage.name(leader)}, which hears it; nor ${stage.name(worker)} of ${stage.name(deaf)}`,
  );
  stage.network.drop([
    { to: stage.index(deaf), from: [stage.index(leader)] },
    { to: stage.index(worker), from: [stage.index(deaf)] },
  ]);
  await pause(12_000);
  stage.heal();
  return { mayDie: nobody };
}

async function halves(stage: Stage): Promise<Expectation> {
  const { leader, voters, others } = await stage.cast();
  // The leader is on the smaller side, so that the others have to get along without it.
  const small = [leader, ...others.slice(0, 1)];
  const large = [...voters, ...others.slice(1)];
  stage.cut(small, large);
  await pause(10_000);
  const findings: string[] = [];
  const sinceMs = performance.now() - 9000;
  const longestMs = stage.ledger.longestCallMs(small, sinceMs);
  if (longestMs > 9000) findings.push(`a call on the smaller side took ${Math.round(longestMs)} ms to end`);
  stage.heal();
  const side = new Map([
    ...small.map((daemon) => [stage.name(daemon), 0] as const),
    ...large.map((daemon) => [stage.name(daemon), 1] as const),
  ]);
  return {
    mayDie: (observer, subject) =>
      side.get(observer) !== side.get(subject) || small.some((each) => stage.name(each) === subject),
    mustDie: small.map((daemon) => stage.name(daemon)),
    findings,
  };
}

/** Stops every node in order and starts it again, one after the other, each time waiting until all is as declared. */
export async function rollingRestart(stage: Stage): Promise<Expectation> {
  for (const daemon of stage.fleet.daemons) {
    const name = stage.name(daemon);
    stage.note(`${name} is stopped in order`);
    await daemon.stop();
    await stage.fleet.restart(daemon);
    stage.note(`${name} runs again`);
    await stage.whole();
  }
  // A node that says that it will be back is dead meanwhile; its place is kept.
  return { mayDie: (observer, subject) => observer !== subject };
}

/** A removal holds everywhere within this time of its commit, where nothing is cut off. */
const removalMs = 1000;

async function removedMember(stage: Stage): Promise<Expectation> {
  const { leader } = await stage.cast();
  const { daemons } = stage.fleet;
  await using guest = await Guest.enter(leader, daemons);
  stage.note(`a guest is a member and has ${2 * daemons.length} connections open`);
  await leader.ask((client) => client.removeNode(guest.id));
  const ended = await guest.shutOut();
  const removal = (await stage.blocks()).find(({ verb, node }) => verb === "remove" && node === guest.id);
  const took = [...ended].map(([id, atMs]) => ({
    name: stage.timeline.nameOfId(id),
    ms: atMs - (removal?.timeMs ?? 0),
  }));
  const told = took.toSorted((a, b) => a.ms - b.ms).map(({ name, ms }) => `${name} after ${Math.round(ms)} ms`);
  stage.note(`the guest was removed and its connections closed by ${told.join(", ")}`);
  const welcome = await guest.welcomedBy(ended.keys());
  return {
    mayDie: nobody,
    findings: [
      ...took
        .filter(({ ms }) => ms > removalMs)
        .map(({ name, ms }) => `${name} closed the connections of a removed node only after ${Math.round(ms)} ms`),
      ...welcome.map((id) => `${stage.timeline.nameOfId(id)} still takes what a removed node says`),
    ],
  };
}

/** Who is there and who is alive, under everything that makes one doubt it. */
export const membershipScenarios: readonly Scenario[] = [
  {
    name: "stall-1s",
    about: "a worker, then the leader, stopped for 1 s, which is shorter than the suspicion: nobody dies",
    sizes: [5],
    needs: [],
    play: shortStall,
  },
  {
    name: "stall-10s",
    about: "a voter stopped for 10 s: evicted, replaced, and back by itself",
    sizes: [5],
    needs: [],
    play: longStall,
  },
  {
    name: "cpu-5",
    about: "a worker with 5 % of a core for 15 s: it accuses nobody",
    sizes: [5],
    needs: ["cpu"],
    play: starvedOfCpu,
  },
  {
    name: "clock-jumps",
    about: "clocks of the leader, a voter and a worker jump by an hour, to and fro: nothing happens",
    sizes: [5],
    needs: ["clock"],
    setting: { clocks: () => 0 },
    play: clockJumps,
  },
  {
    name: "loss-20",
    about: "20 % of all packets lost for 20 s: nobody dies",
    sizes: [5],
    needs: ["namespaces"],
    play: lossy,
  },
  {
    name: "one-way",
    about: "a voter does not hear the leader, and a worker not that voter, for 12 s: nobody dies",
    sizes: [5],
    needs: ["namespaces"],
    play: oneWay,
  },
  {
    name: "partition",
    about: "two, the leader among them, cut off from three for 10 s: three go on, two come back",
    sizes: [5],
    needs: ["namespaces"],
    play: halves,
  },
  {
    name: "removed-member",
    about: "a member with connections to every node is removed: all of them end within a second of the commit",
    sizes: [5],
    needs: [],
    play: removedMember,
  },
  {
    name: "rolling-restart-5",
    about: "five nodes restarted one after the other",
    sizes: [5],
    needs: [],
    play: rollingRestart,
  },
];
