import type { SeededRandom } from "@revoada/fabric/memory";

/** What may go wrong, or be asked for, beside the clients' operations. */
export type FaultKind = (typeof everyFaultKind)[number];

export const everyFaultKind = [
  "kill",
  "power-cut",
  "blackout",
  "restart",
  "partition",
  "one-way",
  "weather",
  "stall",
  "freeze-leader",
  "last-word",
  "short-reigns",
  "clock-jump",
  "bit-flip",
  "wipe",
  "failing-sync",
  "failing-write",
  "full-disk",
  "hanging-disk",
  "slow-disk",
  "reconfigure",
  "transfer",
] as const;

/** These need others to talk to, and these need others that hold what one loses. */
const needOthers: readonly FaultKind[] = [
  "partition",
  "one-way",
  "weather",
  "freeze-leader",
  "last-word",
  "short-reigns",
  "reconfigure",
  "transfer",
];
const needMajority: readonly FaultKind[] = ["bit-flip", "wipe", "failing-write"];

/** The kinds that make sense among so many nodes. */
export function faultKindsFor(nodes: number): readonly FaultKind[] {
  return everyFaultKind.filter(
    (kind) => (nodes > 1 || !needOthers.includes(kind)) && (nodes > 2 || !needMajority.includes(kind)),
  );
}

/** Whatever these meet, they happen: who was not there in their moment meets them later. */
const certain: readonly FaultKind[] = [
  "kill",
  "blackout",
  "restart",
  "partition",
  "one-way",
  "stall",
  "freeze-leader",
  "clock-jump",
  "failing-sync",
  "hanging-disk",
  "slow-disk",
];

/** The first `count` of `shuffled`, and before them as many more as it takes that `least` of them are certain to happen. */
export function chooseKinds(shuffled: readonly FaultKind[], count: number, least: number): readonly FaultKind[] {
  const sure = shuffled.filter((kind) => certain.includes(kind)).slice(0, least);
  return [...sure, ...shuffled.slice(0, count).filter((kind) => !sure.includes(kind))];
}

/** Something that is planned for a moment of the chaos phase. What it meets when its moment comes decides what it does. */
export interface Fault {
  readonly kind: FaultKind;
  /** Which node it means, as a fraction of those that are there. */
  readonly at: number;
  /** It means whoever leads, where somebody does. */
  readonly leader: boolean;
  readonly forMs: number;
  /** Decides whatever else is to be drawn. */
  readonly label: string;
}

export interface TimedFault {
  readonly atMs: number;
  readonly fault: Fault;
}

/** These are no faults: voters change and leadership moves in every run. */
const operations: readonly FaultKind[] = ["reconfigure", "transfer"];

function lengthOf(kind: FaultKind, random: SeededRandom, electionTimeoutMs: number): number {
  switch (kind) {
    case "kill":
    case "power-cut":
    case "blackout":
    case "restart":
    case "bit-flip":
    case "wipe":
    case "last-word":
      return random.chance(0.25) ? 3000 + random.below(4000) : 50 + random.below(2000);
    case "stall":
      return random.float() * 4 * electionTimeoutMs;
    case "freeze-leader":
      return (2 + random.float() * 3.5) * electionTimeoutMs;
    case "short-reigns":
      return (3 + random.float() * 6) * electionTimeoutMs;
    case "partition":
    case "one-way":
      return (0.5 + random.float() * 12) * electionTimeoutMs;
    case "hanging-disk":
    case "slow-disk":
    case "full-disk":
      return (1 + random.float() * 15) * electionTimeoutMs;
    default:
      return 500 + random.below(4000);
  }
}

/** Plans the chaos phase: kinds drawn from those that the seed tries, and changes of voters and of leaders throughout. */
export function planFaults(
  plan: {
    readonly kinds: readonly FaultKind[];
    readonly faults: number;
    readonly chaosMs: number;
    readonly electionTimeoutMs: number;
  },
  random: SeededRandom,
): readonly TimedFault[] {
  const planned: TimedFault[] = [];
  for (let number = 0; number < plan.faults; number += 1) {
    const own = random.fork(`fault-${number}`);
    // Every kind once, then whatever comes.
    const kind = plan.kinds[number] ?? (own.chance(0.3) ? own.pick(operations) : own.pick(plan.kinds));
    const fault: Fault = {
      kind,
      at: own.float(),
      leader: own.chance(0.4),
      forMs: lengthOf(kind, own, plan.electionTimeoutMs),
      label: `fault-${number}`,
    };
    planned.push({ atMs: 400 + own.float() * (plan.chaosMs - 1000), fault });
  }
  return planned.toSorted((left, right) => left.atMs - right.atMs);
}

/** One line for people. */
export function describeFault({ atMs, fault }: TimedFault): string {
  const whom = fault.leader ? "the leader" : `node at ${fault.at.toFixed(2)}`;
  return `${atMs.toFixed(0)} ms: ${fault.kind}, ${whom}, ${fault.forMs.toFixed(0)} ms`;
}
