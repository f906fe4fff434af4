import { mayVote, quorumSizeOf, replicasOf, type Formation, type NodeId } from "@revoada/fabric";
import { isFormed, memberKeys, compareVersions, reactorLimits, type Observation } from "@revoada/topology";
import type { TopologyStrategy } from "@revoada/fabric";
import { require } from "../violation.ts";

/** The promises of the reactor, held against what it decides and what becomes of it. */
export class Judge {
  readonly #inForce: () => TopologyStrategy;

  constructor(inForce: () => TopologyStrategy) {
    this.#inForce = inForce;
  }

  get #topology(): TopologyStrategy {
    return this.#inForce();
  }

  /** What must hold at every moment. */
  observed(formation: Formation, most: number): void {
    const voters = replicasOf(formation, "voter");
    require(voters.length % 2 === 1, "odd-voters", () => `${voters.length} voters`);
    require(voters.length <= most, "not-too-many-voters", () => `${voters.length} of ${most} voters`);
    if (this.#topology.mayVote === undefined || !isFormed(formation)) return;
    const held = new Map<string, number>();
    for (const id of voters) {
      const region = (formation.nodes.get(id)?.zone ?? "").split(".")[0] as string;
      held.set(region, (held.get(region) ?? 0) + 1);
    }
    const largest = Math.max(...held.values());
    require(largest <= voters.length / 2, "quorum-in-no-region", () =>
      `one region holds ${largest} of ${voters.length} votes`);
  }

  /** What holds once everybody lives and nothing is left to decide; `switched` where another shape was declared on the way. */
  settled(observation: Observation, switched: boolean): void {
    const { formation, strategy } = observation;
    for (const [id, { state, flags, replica }] of formation.nodes) {
      // A topology may leave a vote with whoever leaves, until somebody comes who may have it.
      const waits = state === "departing" && replica === "voter" && this.#topology.mayVote !== undefined;
      const isWhole = (state === "active" || state === "standby") && flags.length === 0;
      require(waits || isWhole, "whole-again", () => `${id} is ${state}`);
    }
    const eligible = [...formation.nodes].filter(([, record]) => mayVote(record));
    if (!isFormed(formation)) {
      const isEnough = eligible.length >= this.#topology.minNodes && this.#topology.mayVote === undefined;
      require(!isEnough, "formed", () => `${eligible.length} nodes are there, and no shape`);
      return;
    }
    const voters = replicasOf(formation, "voter");
    const quorumSize = quorumSizeOf(strategy);
    const isPlain = this.#topology.mayVote === undefined && eligible.length >= quorumSize;
    require(!isPlain || voters.length === quorumSize, "whole-quorum", () => `${voters.length} of ${quorumSize} voters`);
    const holders = new Map(eligible.flatMap(([id, { role }]) => (role === undefined ? [] : [[id, role] as const])));
    // An arbiter of an earlier shape gives its vote away before it can be a master, and nobody may be there to take it.
    const isKept = switched && eligible.length === voters.length && [...holders.values()].includes("arbiter");
    const isJudged = eligible.length >= this.#topology.minNodes && !isKept;
    const violations = isJudged ? this.#topology.validate(holders) : [];
    require(violations.length === 0, "shape", () => violations[0]?.message ?? "");
    if (this.#topology.mayVote === undefined) this.#checkPlaces(observation, quorumSize);
  }

  /** Zones are even, spares are hot, and an upgrade that can be finished is. */
  #checkPlaces({ formation, view, strategy }: Observation, quorumSize: number): void {
    const limits = reactorLimits(strategy);
    const version = (id: NodeId): string => view.members.get(id)?.keys.get(memberKeys.version) ?? "";
    const nodes = [...formation.nodes];
    const voters = nodes.filter(([, { replica }]) => replica === "voter");
    const others = nodes.filter(([, { replica }]) => replica !== "voter");
    const newest = nodes.map(([id]) => version(id)).toSorted((a, b) => compareVersions(b, a))[0] ?? "";
    const newer = nodes.filter(([id]) => version(id) === newest).length;
    const isUpgraded = limits.upgradeMigration && newer >= quorumSize;
    const fits = (id: NodeId): boolean => !isUpgraded || version(id) === newest;
    for (const [id] of voters) require(fits(id), "migrated", () => `${id} votes at ${version(id)}, ${newest} could`);
    const isMixed = nodes.some(([id]) => version(id) !== newest);
    const { policy } = strategy.placement;
    if (policy !== "zone-aware" || (isMixed && limits.upgradeMigration && !isUpgraded)) return;
    const count = (zone: string): number => voters.filter(([, record]) => record.zone === zone).length;
    for (const [, { zone }] of voters)
      for (const [id, other] of others)
        require(!fits(id) || count(zone) - count(other.zone) < 2, "zones-spread", () =>
          `${count(zone)} votes in zone ${zone}, ${count(other.zone)} in ${other.zone} of ${id}`);
    if (!limits.redundancyZones) return;
    for (const [, { zone }] of voters) {
      const spares = others.filter(([, record]) => record.zone === zone);
      require(spares.length === 0 || spares.some(([, { replica }]) => replica === "learner"), "hot-spares", () =>
        `zone ${zone} has a voter and no hot spare`);
    }
  }
}
