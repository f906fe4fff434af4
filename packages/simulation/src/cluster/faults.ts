import type { NodeId } from "@revoada/fabric";
import type { SeededRandom } from "@revoada/fabric/memory";

/** One fault of a run, at a virtual time counted from the beginning of chaos. */
export type Fault =
  | {
      readonly kind: "crash";
      readonly node: number;
      readonly downMs: number;
      readonly disk: "nothing-lost" | "unsynced-lost" | "random";
    }
  | { readonly kind: "partition"; readonly minority: readonly number[]; readonly forMs: number }
  | { readonly kind: "one-way"; readonly from: number; readonly to: number; readonly forMs: number }
  | {
      readonly kind: "weather";
      readonly drop: number;
      readonly duplicate: number;
      readonly delayMs: number;
      readonly forMs: number;
    }
  | { readonly kind: "stall"; readonly node: number; readonly forMs: number }
  | { readonly kind: "clock-jump"; readonly node: number; readonly byMs: number }
  | { readonly kind: "sync-failure"; readonly node: number; readonly downMs: number };

export interface TimedFault {
  readonly atMs: number;
  readonly fault: Fault;
}

/** The kinds that every schedule holds at least once, in an order of its own. */
const everyKind: readonly Fault["kind"][] = [
  "crash",
  "partition",
  "one-way",
  "weather",
  "stall",
  "clock-jump",
  "sync-failure",
];

function makeFault(kind: Fault["kind"], nodes: number, random: SeededRandom): Fault {
  const node = random.below(nodes);
  switch (kind) {
    case "crash":
      return {
        kind,
        node,
        downMs: random.chance(0.4) ? 5000 + random.below(5000) : 200 + random.below(2500),
        disk: random.pick(["nothing-lost", "unsynced-lost", "random"]),
      };
    case "partition": {
      const size = 1 + random.below(Math.max(Math.floor((nodes - 1) / 2), 1));
      const minority = random.shuffle(Array.from({ length: nodes }, (_, index) => index)).slice(0, size);
      return { kind, minority, forMs: 300 + random.below(5000) };
    }
    case "one-way":
      return { kind, from: node, to: (node + 1 + random.below(nodes - 1)) % nodes, forMs: 300 + random.below(4000) };
    case "weather":
      return {
        kind,
        drop: random.float() * 0.3,
        duplicate: random.float() * 0.2,
        delayMs: random.below(60),
        forMs: 1000 + random.below(4000),
      };
    case "stall":
      return { kind, node, forMs: 100 + random.below(4000) };
    case "clock-jump":
      return { kind, node, byMs: (random.chance(0.5) ? 1 : -1) * (1000 + random.below(3_600_000)) };
    case "sync-failure":
      return { kind, node, downMs: 200 + random.below(3000) };
  }
}

/**
 * The faults of one seed: every kind at least once, the rest drawn, spread over the chaos phase. Half of them may overlap with the
 * one before. The first is always the long death of a voter, so that each run changes the voters.
 */
export function scheduleFaults(nodes: number, durationMs: number, random: SeededRandom): readonly TimedFault[] {
  const drawn = Array.from({ length: 4 + random.below(6) }, () => random.pick(everyKind));
  const kinds = random.shuffle([...everyKind, ...drawn]);
  const step = durationMs / (kinds.length + 1);
  const faults = kinds.map((kind, position) => ({
    atMs: Math.floor(step * (position + 1) - random.float() * step * 0.8),
    fault: makeFault(kind, nodes, random),
  }));
  return [{ atMs: 500, fault: { kind: "crash", node: 0, downMs: 9000, disk: "unsynced-lost" } }, ...faults];
}

/** One line for people. */
export function describeFault(fault: Fault, name: (node: number) => NodeId): string {
  const { kind, ...rest } = fault;
  const facts = Object.entries(rest).map(([field, value]) => {
    const isNode = field === "node" || field === "from" || field === "to";
    return `${field}=${isNode ? name(value as number).slice(-4) : String(value)}`;
  });
  return `${kind} ${facts.join(" ")}`;
}
