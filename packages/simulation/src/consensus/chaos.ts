import type { NodeId } from "@revoada/fabric";
import type { FramePassport, FrameVerdict, MemoryNetwork, SeededRandom, VirtualClock } from "@revoada/fabric/memory";
import type { Clients } from "./clients.ts";
import type { Fault } from "./faults.ts";
import type { ConsensusMonitor } from "./monitor.ts";
import type { Operator } from "./operator.ts";
import type { SimulatedReplica } from "./replica.ts";
import type { Setup } from "./setup.ts";
import type { ConsensusTotals } from "./totals.ts";

export interface ChaosSurroundings {
  readonly clock: VirtualClock;
  readonly network: MemoryNetwork;
  readonly monitor: ConsensusMonitor;
  readonly totals: ConsensusTotals;
  readonly setup: Setup;
  readonly random: SeededRandom;
  readonly replicas: readonly SimulatedReplica[];
  readonly operator: Operator;
  readonly clients: Clients;
  leader(): SimulatedReplica | undefined;
}

const postponedMs = 100;
const leadersOnly: readonly Fault["kind"][] = ["freeze-leader", "last-word", "short-reigns"];
const noRoom = 0;
const plentyOfRoom = 2 ** 40;

/** Carries faults out, and takes back at the end what still lasts. */
export class Chaos {
  readonly #around: ChaosSurroundings;
  readonly #lasting = new Set<() => void>();
  #over = false;
  #elections = 0;
  #reigns: { readonly share: number; readonly downMs: number } | undefined;

  constructor(around: ChaosSurroundings) {
    this.#around = around;
  }

  strike(fault: Fault): void {
    const random = this.#around.random.fork(fault.label);
    const target = this.#target(fault);
    if (this.#over) return;
    // Nobody runs: it happens once somebody does.
    if (target === undefined) return void this.#around.clock.schedule(postponedMs, () => this.strike(fault));
    switch (fault.kind) {
      case "kill":
      case "power-cut":
      case "blackout":
      case "restart":
      case "bit-flip":
      case "wipe":
        return this.#strikeProcess(fault, target, random);
      case "partition":
      case "one-way":
      case "weather":
      case "freeze-leader":
        return this.#strikeNetwork(fault, target, random);
      case "stall":
        this.#around.totals.stalls += 1;
        return target.life.host.stall(fault.forMs);
      case "clock-jump":
        this.#around.totals.clockJumps += 1;
        return target.life.host.jumpWall((random.chance(0.5) ? 1 : -1) * (200 + random.below(3_600_000)));
      case "last-word":
        return this.#lastWord(target, fault.forMs, random);
      case "short-reigns":
        // Somebody must be elected, so it begins with the end of a reign.
        this.#last(fault.forMs, this.shortenReigns(0.8, this.#around.setup.electionTimeoutMs / 2));
        return this.#crash(target, "nothing-lost", random.float() * fault.forMs);
      case "reconfigure":
        return this.#around.operator.reconfigure(random);
      case "transfer":
        return this.#around.operator.transfer(random);
      default:
        return this.#strikeDisk(fault, target, random);
    }
  }

  #target(fault: Fault): SimulatedReplica | undefined {
    const leader = fault.leader || leadersOnly.includes(fault.kind) ? this.#around.leader() : undefined;
    if (leader !== undefined) return leader;
    const running = this.#around.replicas.filter((replica) => replica.isRunning);
    return running[Math.floor(fault.at * running.length)];
  }

  #others(than: SimulatedReplica): readonly NodeId[] {
    return this.#around.replicas.filter((replica) => replica !== than).map(({ id }) => id);
  }

  /** Calls `end` after `forMs`, or when everything is healed. */
  #last(forMs: number, end: () => void): void {
    const once = (): void => {
      if (this.#lasting.delete(once)) end();
    };
    this.#lasting.add(once);
    this.#around.clock.schedule(forMs, once);
  }

  // Processes.

  #strikeProcess(fault: Fault, target: SimulatedReplica, random: SeededRandom): void {
    const { totals, operator, clock } = this.#around;
    switch (fault.kind) {
      case "kill":
        totals.crashes += 1;
        return this.#crash(target, "nothing-lost", fault.forMs);
      case "power-cut":
        return this.#cutPower(target, fault.forMs, random);
      case "blackout":
        totals.blackouts += 1;
        for (const replica of this.#around.replicas) {
          if (replica.isUp)
            this.#crash(replica, random.chance(0.5) ? "random" : "unsynced-lost", random.float() * fault.forMs);
        }
        return;
      case "restart":
        totals.restarts += 1;
        void target.stop().then(() => clock.schedule(random.float() * fault.forMs, () => this.#revive(target)));
        return;
      case "bit-flip":
        if (!operator.mayDamage(target)) return;
        this.#crash(target, "nothing-lost", fault.forMs + 1);
        target.damage = "flipped";
        void this.#flipBits(target, random);
        return;
      default:
        if (!operator.mayDamage(target)) return;
        totals.wipes += 1;
        this.#crash(target, "unsynced-lost", fault.forMs);
        return target.wipe();
    }
  }

  #crash(target: SimulatedReplica, outcome: Parameters<SimulatedReplica["crash"]>[0], downMs: number): void {
    target.crash(outcome);
    this.#around.clock.schedule(downMs, () => this.#revive(target));
  }

  /** What tears is a write that is under way: such a power cut waits for one, though not for ever. */
  #cutPower(target: SimulatedReplica, downMs: number, random: SeededRandom): void {
    const { clock, totals } = this.#around;
    const outcome = random.chance(0.7) ? "random" : "unsynced-lost";
    const { life } = target;
    const strike = (): void => {
      if (!target.isUp || target.life !== life) return;
      totals.powerCuts += 1;
      this.#crash(target, outcome, downMs);
    };
    const cancel = clock.schedule(700, strike);
    target.atNextSync(() => {
      cancel();
      strike();
    });
  }

  #revive(target: SimulatedReplica): void {
    if (!target.isUp) target.start();
  }

  /** Flips some bits of what is written in the log. */
  async #flipBits(target: SimulatedReplica, random: SeededRandom): Promise<void> {
    const { disk } = target;
    const names = (await disk.list("wal")).filter((name) => !name.endsWith(".tmp"));
    if (names.length === 0) return;
    const flips = 1 + random.below(3);
    for (let flip = 0; flip < flips; flip += 1) {
      // The newest segment is where most of what counts lies.
      const path = `wal/${random.chance(0.7) ? names.at(-1) : random.pick(names)}`;
      const file = await disk.open(path);
      const bytes = await file.read(0, await file.size());
      await file.close();
      let end = bytes.length;
      while (end > 0 && bytes[end - 1] === 0) end -= 1;
      // The last batch is where a damaged log and one that was being written look alike.
      const reach = random.chance(0.4) ? Math.min(end, 200) : end;
      let offset = end - random.below(Math.max(1, reach));
      while (offset > 0 && bytes[offset] === 0) offset -= 1;
      if (offset < bytes.length) disk.corrupt(path, offset, 1 << random.below(8));
    }
    this.#around.totals.bitFlips += flips;
    this.#around.monitor.flipped(target.id);
  }

  // The network.

  #strikeNetwork(fault: Fault, target: SimulatedReplica, random: SeededRandom): void {
    const { network, totals, replicas } = this.#around;
    if (replicas.length < 2) return;
    switch (fault.kind) {
      case "partition": {
        const ids = random.shuffle(replicas.map(({ id }) => id));
        const size = 1 + random.below(ids.length - 1);
        totals.partitions += 1;
        network.partition(ids.slice(0, size), ids.slice(size));
        return this.#last(fault.forMs, () => network.heal());
      }
      case "one-way":
        totals.oneWayCuts += 1;
        return this.#cutOneWay(target, fault.forMs, random);
      case "weather":
        return this.#weather(fault.forMs, random);
      default:
        return this.#freeze(target, fault.forMs, random);
    }
  }

  /** A node that is deaf, or mute, or one link that works in one direction only. */
  #cutOneWay(target: SimulatedReplica, forMs: number, random: SeededRandom): void {
    const { network } = this.#around;
    const others = this.#others(target);
    const affected = random.chance(0.6) ? others : [random.pick(others)];
    const deaf = random.chance(0.5);
    for (const other of affected) network.cut(deaf ? other : target.id, deaf ? target.id : other);
    this.#last(forMs, () => {
      for (const other of affected) network.heal(target.id, other);
    });
  }

  #weather(forMs: number, random: SeededRandom): void {
    const { network, totals, setup } = this.#around;
    const [drop, duplicate, unordered] = [random.float() * 0.3, random.float() * 0.2, random.float() * 0.4];
    const mostMs = random.float() * setup.electionTimeoutMs * random.pick([0.1, 0.5, 2]);
    network.shape((frame: FramePassport): FrameVerdict => {
      const delayMs = random.float() * mostMs;
      totals.delayedMessages += 1;
      if (random.chance(drop)) {
        totals.droppedMessages += 1;
        return { drop: true };
      }
      const isMessage = frame.kind === "message";
      const copies = isMessage && random.chance(duplicate) ? 2 : 1;
      if (copies > 1) totals.duplicatedMessages += 1;
      const overtakes = isMessage && random.chance(unordered);
      if (overtakes) totals.reorderedMessages += 1;
      return { delayMs, copies, unordered: overtakes || copies > 1 };
    });
    this.#last(forMs, () => network.shape(undefined));
  }

  /**
   * The leader is cut off, and stands still, or its disk does. Clients write elsewhere meanwhile; when it goes on, it hears nobody
   * at first, and clients ask it at once.
   */
  #freeze(target: SimulatedReplica, forMs: number, random: SeededRandom): void {
    const { network, totals, clock, clients, setup } = this.#around;
    const { life } = target;
    const T = setup.electionTimeoutMs;
    network.partition([target.id], this.#others(target));
    const silentMs = forMs + (0.5 + random.float()) * T;
    const ways = setup.leaseReads
      ? (["suspend", "suspend", "stall", "hang"] as const)
      : (["stall", "stall", "hang"] as const);
    const rush = (atMs: number, count: number): void => {
      clock.schedule(atMs, () => {
        if (target.isRunning && target.life === life) clients.rush(target, random, count);
      });
    };
    switch (random.pick(ways)) {
      case "suspend":
        totals.suspends += 1;
        life.host.suspend(forMs);
        break;
      case "stall":
        life.host.stall(forMs);
        break;
      case "hang":
        totals.hungLeaders += 1;
        // What it takes until it notices is on its way to a disk that ends that write only when others have overwritten it.
        for (const share of [0.01, 0.1, 0.3]) this.#press(target, share * T, random);
        this.#last(silentMs + (0.5 + random.float()) * T, target.hang());
    }
    totals.frozenLeaders += 1;
    for (const share of [0.7, 0.85, 0.97]) this.#press(undefined, share * forMs, random);
    for (const share of [0.001, 0.1, 0.4, 0.9]) rush(forMs + share * T, 4);
    this.#last(silentMs, () => {
      for (const other of this.#others(target)) network.heal(target.id, other);
    });
  }

  /** A write through `target`, or through whoever leads then. */
  #press(target: SimulatedReplica | undefined, afterMs: number, random: SeededRandom): void {
    const { clock, clients } = this.#around;
    clock.schedule(afterMs, () => {
      const through = target ?? this.#around.leader();
      if (!this.#over && through?.isRunning === true) clients.write(through, random);
    });
  }

  // Elections.

  /** The leader dies in the moment in which it acknowledges a write, so that nobody but its client knows that it has committed. */
  #lastWord(target: SimulatedReplica, downMs: number, random: SeededRandom): void {
    const { life } = target;
    this.#around.clients.write(target, random, () => {
      if (!target.isUp || target.life !== life || !target.leads) return;
      this.#around.totals.lastWords += 1;
      this.#crash(target, "nothing-lost", downMs);
    });
  }

  /** Whoever is elected from now on dies at once, and comes back soon; until the returned function is called. */
  shortenReigns(share: number, downMs: number): () => void {
    const reigns = { share, downMs };
    this.#reigns = reigns;
    return () => {
      if (this.#reigns === reigns) this.#reigns = undefined;
    };
  }

  /** Called in the very step in which `replica` has won an election, before anybody hears of it. */
  elected(replica: SimulatedReplica): void {
    const { random: all, clock, clients, operator, setup, totals } = this.#around;
    this.#elections += 1;
    const random = all.fork(`election-${this.#elections}`);
    if (this.#reigns !== undefined && random.chance(this.#reigns.share)) {
      totals.shortReigns += 1;
      return this.#crash(replica, "unsynced-lost", random.float() * this.#reigns.downMs);
    }
    if (this.#over) return;
    const { life } = replica;
    const soon = (act: () => void): void => {
      clock.schedule(0, () => {
        if (replica.isRunning && replica.life === life) act();
      });
    };
    if (setup.eagerReaders) soon(() => clients.rush(replica, random, 4));
    if (setup.hastyOperator && random.chance(0.5)) soon(() => operator.reconfigure(random));
  }

  // Disks.

  #strikeDisk(fault: Fault, target: SimulatedReplica, random: SeededRandom): void {
    const { totals, setup } = this.#around;
    const { disk } = target;
    switch (fault.kind) {
      case "failing-sync":
        totals.syncFailures += 1;
        return disk.failSyncs(1);
      case "failing-write":
        return this.#failWrite(target, fault.forMs);
      case "full-disk":
        disk.setCapacity(noRoom);
        return this.#last(fault.forMs, () => disk.setCapacity(plentyOfRoom));
      case "hanging-disk":
        totals.hungDisks += 1;
        return this.#last(fault.forMs, target.hang());
      default:
        totals.slowDisks += 1;
        target.slowDown(random.float() * setup.electionTimeoutMs * 2);
        return this.#last(fault.forMs, () => target.slowDown(0));
    }
  }

  /** A write that fails has written a part: for the log, that is damage. */
  #failWrite(target: SimulatedReplica, forMs: number): void {
    const { operator, monitor, totals } = this.#around;
    if (!operator.mayDamage(target)) return;
    totals.writeFailures += 1;
    target.damage = "flipped";
    monitor.flipped(target.id);
    const { disk } = target;
    disk.failWrites(1);
    target.isAwaitingFailure = true;
    this.#last(forMs, () => {
      disk.failWrites(0);
      target.isAwaitingFailure = false;
      target.settleDamage();
    });
  }

  /** Ends all that lasts and lets nothing new begin. */
  end(): void {
    this.#over = true;
    for (const once of this.#lasting) once();
    this.#around.network.heal();
    this.#around.network.shape(undefined);
    for (const replica of this.#around.replicas) replica.disk.failSyncs(0);
  }
}
