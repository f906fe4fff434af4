import { ClusterDeclaration } from "@revoada/cluster";
import {
  isFabricError,
  quorumSizeOf,
  replicasOf,
  type Configuration,
  type Declared,
  type FabricStrategy,
  type Formation,
  type Role,
  type NodeId,
  type Transition,
} from "@revoada/fabric";
import type { SeededRandom } from "@revoada/fabric/memory";
import { require } from "../violation.ts";
import { shapes } from "./scenario.ts";
import type { FormationTotals } from "./totals.ts";

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}

/** Has other shapes declared in the middle of everything, and holds what becomes of them against what was promised. */
export class Switches {
  readonly #random: SeededRandom;
  readonly #totals: FormationTotals;
  readonly #known: ClusterDeclaration[];
  /** Voters beyond the declared ones that a shape which was taken back left behind. */
  #leftOver = 0;

  constructor(declaration: ClusterDeclaration, random: SeededRandom, totals: FormationTotals) {
    this.#known = [declaration];
    this.#random = random;
    this.#totals = totals;
  }

  /** What a formation is held to. */
  inForce({ declared }: Formation): ClusterDeclaration {
    const [first] = this.#known;
    return declared === undefined ? (first as ClusterDeclaration) : this.#understand(declared.declaration);
  }

  /** Another shape, which may be one that the nodes are too few for; undefined where there is nothing else to be. */
  next(formation: Formation): Extract<Transition, { verb: "declare" }> | undefined {
    const before = this.inForce(formation);
    if (before.topology.mayVote !== undefined || formation.declared?.pending !== undefined) return undefined;
    const { topology, voters } = this.#random.pick(shapes)();
    if (topology.mayVote !== undefined) return undefined;
    const strategy = withVoters(before.strategy, voters);
    let declaration: ClusterDeclaration;
    try {
      declaration = ClusterDeclaration.create(strategy, before.face, topology);
    } catch (error) {
      if (isFabricError(error)) return undefined;
      throw error;
    }
    this.#known.push(declaration);
    const [node] = replicasOf(formation, "voter");
    const withinMs = 3000 + this.#random.below(25_000);
    return { verb: "declare", node: node as NodeId, declaration: declaration.encode(), withinMs };
  }

  /** What was declared changed from one to the other. */
  changed(
    verb: Transition["verb"] | undefined,
    before: Formation,
    after: Formation,
    configuration: Configuration,
  ): void {
    const [was, is] = [before.declared, after.declared] as [Declared, Declared];
    if (verb === "declare") {
      this.#totals.switches += 1;
      return;
    }
    const { pending } = was;
    require(pending !== undefined, "declared-before-concluded", () => "a switch ended that nobody began");
    if (verb === "confirm") {
      this.#totals.confirmedSwitches += 1;
      this.#checkStands(after, configuration);
      return;
    }
    this.#totals.revertedSwitches += 1;
    const isBack = pending !== undefined && sameBytes(is.declaration, pending.previous);
    require(isBack, "taken-back-means-back", () =>
      "what is in force after a switch was taken back is not what was before it");
    this.#leftOver = Math.max(0, replicasOf(after, "voter").length - quorumSizeOf(this.inForce(after).strategy));
  }

  /** As many as may vote now: those of either shape while one goes over into the other, and what a shape left behind until it is taken away. */
  mostVoters(formation: Formation): number {
    const { pending } = formation.declared ?? {};
    const size = quorumSizeOf(this.inForce(formation).strategy);
    const before = pending === undefined ? 0 : quorumSizeOf(this.#understand(pending.previous).strategy);
    if (pending === undefined)
      this.#leftOver = Math.min(this.#leftOver, Math.max(0, replicasOf(formation, "voter").length - size));
    return Math.max(size + this.#leftOver, before);
  }

  #understand(bytes: Uint8Array): ClusterDeclaration {
    const found = this.#known.find((declaration) => sameBytes(declaration.encode(), bytes));
    require(found !== undefined, "declared-is-known", () => "nobody has ever declared what is in force");
    return found as ClusterDeclaration;
  }

  #checkStands(formation: Formation, configuration: Configuration): void {
    const { topology, strategy } = this.inForce(formation);
    const voters = replicasOf(formation, "voter");
    const idle = voters.filter((id) => formation.nodes.get(id)?.state !== "active");
    const logged = configuration.voters.map(({ id }) => id).toSorted();
    const holders = new Map<NodeId, Role>();
    for (const [id, { state, role, flags }] of formation.nodes)
      if (state === "active" && role !== undefined && !flags.includes("quarantined")) holders.set(id, role);
    const violation = topology.validate(holders)[0];
    const stands =
      voters.length === quorumSizeOf(strategy) &&
      idle.length === 0 &&
      configuration.outgoing === undefined &&
      logged.join() === voters.toSorted().join() &&
      violation === undefined;
    require(stands, "confirmed-stands", () =>
      `confirmed with ${voters.length} voters of ${quorumSizeOf(strategy)}, ${idle.length} idle, ${violation?.message ?? "no violation"}`);
  }
}

/** The strategy with so many seats. */
function withVoters(strategy: FabricStrategy, voters: number): FabricStrategy {
  const { autopilot } = strategy;
  const consensus = { ...strategy.consensus, quorumSize: voters } as FabricStrategy["consensus"];
  if (autopilot === undefined) return { ...strategy, consensus };
  return {
    ...strategy,
    consensus,
    autopilot: { ...autopilot, minQuorum: Math.min(autopilot.minQuorum ?? voters, voters) },
  };
}
