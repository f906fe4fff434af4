import { replicasOf, type NodeId } from "@revoada/fabric";
import type { SeededRandom } from "@revoada/fabric/memory";
import type { SimulatedMachine } from "./machine.ts";
import type { FormationWorld } from "./world.ts";

const blows = [
  "kill",
  "kill",
  "kill-leader",
  "kill-leader-at-entry",
  "kill-leader-at-entry",
  "wipe",
  "stall",
  "partition",
  "blink",
  "slow",
  "flap",
  "upgrade",
  "demote",
  "quarantine",
  "restore",
  "depart",
  "long-death",
] as const;

type Blow = (typeof blows)[number];

/** Something that is to happen at a time. */
interface Planned {
  readonly atMs: number;
  readonly happens: () => void;
}

/** Breaks machines, the network between them and the peace of operators, and mends again what it broke. */
export class Chaos {
  readonly #world: FormationWorld;
  readonly #random: SeededRandom;
  #planned: Planned[] = [];
  #nextBlowMs = 0;
  #nextIsland = 1;

  constructor(world: FormationWorld, random: SeededRandom) {
    this.#world = world;
    this.#random = random;
  }

  /** What is due at this moment. */
  strike(): void {
    const { nowMs } = this.#world;
    const due = this.#planned.filter(({ atMs }) => atMs <= nowMs);
    this.#planned = this.#planned.filter(({ atMs }) => atMs > nowMs);
    for (const { happens } of due) happens();
    if (nowMs < this.#nextBlowMs) return;
    this.#nextBlowMs = nowMs + 300 + this.#random.below(4000);
    this.#deal(this.#random.pick(blows), this.#random.pick(this.#members()));
  }

  /** All that can be mended is, and operators take their words back. */
  end(): void {
    this.#planned = [];
    this.#world.strikeLeader(0, () => undefined);
    const { machines, nowMs } = this.#world;
    for (const machine of machines) {
      machine.island = 0;
      machine.isSlow = false;
      machine.stalledUntilMs = 0;
      if (machine.isMember && !machine.isUp) machine.start(nowMs);
    }
    this.#world.pass(5000);
    for (let tries = 0; tries < 20; tries += 1) {
      for (const [id, { flags }] of this.#world.log.state.formation.nodes)
        if (flags.length > 0) this.#world.order([{ verb: "restore", node: id }]);
      this.#world.pass(1000);
    }
  }

  #members(): readonly SimulatedMachine[] {
    return this.#world.machines.filter(({ isMember }) => isMember);
  }

  #deal(blow: Blow, machine: SimulatedMachine): void {
    const { totals, leader, nowMs } = this.#world;
    switch (blow) {
      case "kill":
        return this.#kill(machine, 200 + this.#random.below(6000));
      case "long-death":
        return this.#kill(machine, 15_000 + this.#random.below(30_000));
      case "kill-leader":
        return leader === undefined ? undefined : this.#kill(leader, 300 + this.#random.below(5000));
      case "kill-leader-at-entry":
        return this.#world.strikeLeader(1 + this.#random.below(5), () => this.#killLeader());
      case "wipe":
        return this.#wipe(machine);
      case "stall":
        if (!machine.acts(nowMs)) return;
        totals.stalls += 1;
        return machine.stall(nowMs, 300 + this.#random.below(5000));
      case "partition":
        return this.#partition();
      case "blink":
        totals.blinks += 1;
        for (const other of this.#world.machines) other.blink(machine.id, nowMs);
        return;
      case "slow":
        return this.#slow(machine);
      case "flap":
        return this.#flap(machine);
      case "upgrade":
        return this.#upgrade(machine);
      default:
        return this.#operate(blow, machine.id);
    }
  }

  #later(afterMs: number, happens: () => void): void {
    this.#planned.push({ atMs: this.#world.nowMs + afterMs, happens });
  }

  #kill(machine: SimulatedMachine, downMs: number): void {
    if (!machine.isUp) return;
    this.#world.totals.kills += 1;
    this.#world.note(machine.id, `dies for ${downMs} ms`);
    machine.stop(this.#world.nowMs);
    this.#later(downMs, () => this.#revive(machine));
  }

  #revive(machine: SimulatedMachine): void {
    if (machine.isUp || !machine.isMember) return;
    this.#world.note(machine.id, "starts");
    machine.start(this.#world.nowMs);
  }

  #killLeader(): void {
    const { leader } = this.#world;
    if (leader !== undefined) this.#kill(leader, 300 + this.#random.below(8000));
  }

  /** A disk is lost only where the others hold all that was committed: no log survives the loss of a majority. */
  #wipe(machine: SimulatedMachine): void {
    const { log, totals } = this.#world;
    const { voters, outgoing = [] } = log.configuration;
    const holders = log.voters().filter(({ id, match }) => id !== machine.id && match === log.commitIndex);
    const isSafe = [voters, outgoing].every((replicas) => {
      const left = replicas.filter((replica) =>
        holders.some(({ id, storeId }) => id === replica.id && storeId === replica.storeId),
      );
      return replicas.length === 0 || left.length > replicas.length / 2;
    });
    if (!machine.isUp || !isSafe) return;
    totals.wipes += 1;
    this.#world.note(machine.id, "loses its disk");
    machine.stop(this.#world.nowMs);
    machine.wipe();
    this.#later(1000 + this.#random.below(5000), () => this.#revive(machine));
  }

  #partition(): void {
    const { machines, totals } = this.#world;
    const island = (this.#nextIsland += 1);
    const share = 0.2 + this.#random.float() * 0.4;
    const cutOff = machines.filter(() => this.#random.chance(share));
    if (cutOff.length === 0) return;
    totals.partitions += 1;
    this.#world.note("world", `cuts off ${cutOff.map(({ id }) => id.slice(0, 6)).join(", ")}`);
    for (const machine of cutOff) machine.island = island;
    this.#later(500 + this.#random.below(9000), () => {
      for (const machine of cutOff) if (machine.island === island) machine.island = 0;
    });
  }

  #slow(machine: SimulatedMachine): void {
    if (machine.isSlow) return;
    this.#world.totals.slowReplicas += 1;
    this.#world.note(machine.id, "takes nothing in");
    machine.isSlow = true;
    this.#later(3000 + this.#random.below(20_000), () => (machine.isSlow = false));
  }

  #flap(machine: SimulatedMachine): void {
    this.#world.totals.flaps += 1;
    const periodMs = 800 + this.#random.below(2500);
    for (let turn = 0; turn < 6; turn += 1) this.#later(turn * 2 * periodMs, () => this.#kill(machine, periodMs));
  }

  #upgrade(machine: SimulatedMachine): void {
    if (!machine.isUp) return;
    this.#world.totals.upgrades += 1;
    machine.stop(this.#world.nowMs);
    machine.version = `${Number(machine.version.split(".")[0]) + 1}.0`;
    this.#world.note(machine.id, `is upgraded to ${machine.version}`);
    this.#later(500, () => this.#revive(machine));
    // Others follow: an upgrade that stays alone moves nobody.
    for (const other of this.#members())
      if (this.#random.chance(0.5))
        this.#later(1000 + this.#random.below(8000), () => this.#follow(other, machine.version));
  }

  #follow(machine: SimulatedMachine, version: string): void {
    if (!machine.isUp) return;
    machine.version = version;
    machine.stop(this.#world.nowMs);
    this.#later(500, () => this.#revive(machine));
  }

  #operate(blow: "demote" | "quarantine" | "restore" | "depart", id: NodeId): void {
    const { totals, log } = this.#world;
    const votes = replicasOf(log.state.formation, "voter").includes(id);
    if (blow !== "restore" && votes && !this.#world.hasHeir(id)) return;
    switch (blow) {
      case "demote":
        return this.#demote(id);
      case "quarantine":
        if (this.#world.order([{ verb: "quarantine", node: id }])) totals.quarantines += 1;
        return;
      case "restore":
        this.#world.order([{ verb: "restore", node: id }]);
        return;
      case "depart":
        return this.#depart(id);
    }
  }

  /** Sometimes those die who could have taken the vote over. */
  #demote(id: NodeId): void {
    const { log, totals } = this.#world;
    const cordon = this.#random.chance(0.7) ? [{ verb: "cordon" as const, node: id }] : [];
    if (!this.#world.order([...cordon, { verb: "demote", node: id }])) return;
    totals.demotions += 1;
    if (this.#random.chance(0.5)) return;
    const voters = new Set(replicasOf(log.state.formation, "voter"));
    for (const machine of this.#members()) if (!voters.has(machine.id)) this.#kill(machine, 9000);
  }

  /** Whoever leaves goes for good, and a part of the seeds has nobody leave: they end with all their nodes. */
  #depart(id: NodeId): void {
    const { machines, totals, log } = this.#world;
    if (machines.length < 6 || this.#members().length <= machines.length - 2) return;
    if (!this.#world.order([{ verb: "depart", node: id }])) return;
    totals.departures += 1;
    const goOnceReleased = (): void => {
      const machine = machines.find((each) => each.id === id);
      if (machine === undefined) return;
      if (log.state.formation.nodes.has(id)) return this.#later(500, goOnceReleased);
      machine.isMember = false;
      machine.stop(this.#world.nowMs);
    };
    goOnceReleased();
  }
}
