import {
  raft,
  walLogStore,
  type RaftOptions,
  type SessionedConsensus,
  type WalLogStore,
} from "@revoada/consensus-raft";
import {
  isFabricError,
  silentLogger,
  type Configuration,
  type Consensus,
  type Metrics,
  type NodeId,
  type StoreId,
} from "@revoada/fabric";
import {
  memoryDisk,
  type DiskOperation,
  type MemoryDisk,
  type MemoryNetwork,
  type SeededRandom,
  type VirtualClock,
  type VirtualHost,
} from "@revoada/fabric/memory";
import type { Trace } from "../trace.ts";
import type { ConsensusMonitor } from "./monitor.ts";
import { MachineDisk, RegisterMachine, registerCodec, type RegisterCommand } from "./register-machine.ts";
import type { Setup } from "./setup.ts";
import type { ConsensusTotals } from "./totals.ts";
import { watchedLog } from "./watched-log.ts";

/** What the replicas of one run share. */
export interface ReplicaWorld {
  readonly clock: VirtualClock;
  readonly network: MemoryNetwork;
  readonly monitor: ConsensusMonitor;
  readonly trace: Trace;
  readonly totals: ConsensusTotals;
  readonly setup: Setup;
  readonly random: SeededRandom;
  /** Called before anything of `replica` runs: whatever happens until the next call is its doing. */
  entered(replica: SimulatedReplica): void;
  /** Who leads, as a cluster's gossip would tell. */
  leaderHint(): NodeId | undefined;
  applied(replica: SimulatedReplica, index: number, command: RegisterCommand): void;
}

/** Whoever waits for an answer of a process hears of its end. */
export class ProcessDiedError extends Error {}

/** Opening a log meets these where its disk misbehaves: a supervisor starts the process again. */
const supervised: readonly string[] = [
  "DISK_IO",
  "DISK_FULL",
  "DISK_READ_ONLY",
  "LOG_FAILED",
  "LOG_FULL",
  "LOG_CLOSED",
  "RAFT_STOPPED",
  "TRANSPORT_ADDRESS_IN_USE",
];
/** These need an operator: the disk is replaced. */
const beyondRepair: readonly string[] = ["RAFT_LOG_CORRUPT", "LOG_CORRUPT", "RAFT_MACHINE_BEHIND"];

const retryMs = 300;
const timerSlackMs = 1e-6;

/** A host that can be suspended as a laptop is: its monotonic clock stands still meanwhile, its wall clock goes on. */
interface SuspendableHost extends VirtualHost {
  suspend(durationMs: number): void;
}

/** One life of a process. */
interface Life {
  readonly host: SuspendableHost;
  readonly consensus: Consensus<RegisterCommand, string>;
  readonly machine: RegisterMachine;
  /** The same log, where its clients may open sessions. */
  readonly sessions: SessionedConsensus<RegisterCommand, string> | undefined;
}

/** One node of a run: the production driver, core and log over a virtual host, network and disk. */
export class SimulatedReplica {
  readonly index: number;
  readonly id: NodeId;
  readonly #world: ReplicaWorld;
  readonly #random: SeededRandom;
  readonly #latency: SeededRandom;
  #disk!: MemoryDisk;
  #machineDisk: MachineDisk | undefined;
  #disks = 0;
  #lives = 0;
  #life: Life | undefined;
  #running = false;
  #lastConfigurationIndex = 0;
  /** It ends because it was told to. */
  #stopping: Life | undefined;
  #storeId: StoreId | undefined;
  #founding: Configuration | undefined;
  #ends = new Set<(error: ProcessDiedError) => void>();
  #atNextWrite: (() => void) | undefined;
  #hanging: (() => void)[] | undefined;
  #slowMs = 0;
  /** Its disk was replaced, or bits of it were flipped: it does not count as a copy until that is mended. */
  damage: "wiped" | "flipped" | undefined;

  constructor(index: number, world: ReplicaWorld) {
    this.index = index;
    this.#world = world;
    this.#random = world.random.fork(`replica-${index}`);
    this.#latency = this.#random.fork("latency");
    this.id = Buffer.from(this.#random.fork("identity").bytes(32)).toString("hex") as NodeId;
    this.#newDisk();
  }

  get disk(): MemoryDisk {
    return this.#disk;
  }

  get name(): string {
    return this.id.slice(0, 4);
  }

  /** The store that it votes from, once it was opened. */
  get storeId(): StoreId | undefined {
    return this.#storeId;
  }

  /** The process exists; it may still be opening its log. */
  get isUp(): boolean {
    return this.#life !== undefined;
  }

  /** It takes part. */
  /** Where the configuration stands that this replica follows, or followed when it ended. */
  get configurationIndex(): number {
    return this.#life?.consensus.status().configurationIndex ?? this.#lastConfigurationIndex;
  }

  get isRunning(): boolean {
    return this.#running;
  }

  get life(): Life {
    if (this.#life === undefined) throw new Error(`replica ${this.index} is down`);
    return this.#life;
  }

  get leads(): boolean {
    return this.#running && this.life.consensus.status().role === "leader";
  }

  #newDisk(): void {
    this.#disks += 1;
    this.#disk = memoryDisk({
      name: `${this.index}.${this.#disks}`,
      random: this.#random.fork(`disk-${this.#disks}`),
      onOperation: (operation) => this.#beforeOperation(operation),
    });
    this.#machineDisk = this.#world.setup.durableMachines ? new MachineDisk() : undefined;
  }

  // The disk.

  #beforeOperation({ kind }: DiskOperation): void | Promise<void> {
    if (kind === "write" || kind === "datasync") {
      const strike = this.#atNextWrite;
      if (strike !== undefined && kind === "datasync") {
        this.#atNextWrite = undefined;
        strike();
        return;
      }
    } else if (kind !== "syncDirectory" && kind !== "rename") return;
    const host = this.#life?.host;
    if (host === undefined) return;
    const hanging = this.#hanging;
    if (hanging !== undefined) {
      return new Promise((resolve) => {
        hanging.push(resolve);
      });
    }
    if (kind !== "datasync") return;
    const { syncMs } = this.#world.setup;
    const delayMs = syncMs * (0.3 + this.#latency.float()) + this.#slowMs * this.#latency.float();
    return new Promise((resolve) => {
      host.schedule(delayMs, resolve);
    });
  }

  /** Calls `strike` right before the next sync, when what was written is not durable yet. */
  atNextSync(strike: () => void): void {
    this.#atNextWrite = strike;
  }

  /** Nothing that is asked of the disk from now on ends, until the returned function is called. */
  hang(): () => void {
    const waiting: (() => void)[] = [];
    this.#hanging = waiting;
    return () => {
      if (this.#hanging === waiting) this.#hanging = undefined;
      const host = this.#life?.host;
      for (const resolve of waiting) {
        if (host === undefined) resolve();
        else host.schedule(0, resolve);
      }
    };
  }

  /** Syncs take up to so much longer. */
  slowDown(slowMs: number): void {
    this.#slowMs = slowMs;
  }

  // The process.

  /** Makes the log, so that its store id is known before anybody is founded with it. */
  async prepare(): Promise<StoreId> {
    const log = walLogStore({ disk: this.#disk, directory: "wal", random: this.#random.fork("first") });
    const { storeId } = await log.open();
    await log.close();
    return storeId;
  }

  /** Starts the process, and starts it again where its disk fails while it opens its log. */
  start(founding?: Configuration): void {
    this.#founding = founding ?? this.#founding;
    this.#lives += 1;
    const host = this.#watchedHost(this.#world.clock.host(`${this.index}.${this.#lives}`));
    const random = this.#random.fork(`life-${this.#lives}`);
    const transport = this.#world.network.transport(this.id, { clock: host, limits: { silenceTimeoutMs: 2000 } });
    const machine = this.#makeMachine(host);
    const options = this.#consensusOptions(host, random, transport);
    const limits = this.#world.setup.sessions;
    const sessions = limits === undefined ? undefined : raft({ ...options, sessions: limits });
    const consensus = sessions ?? raft(options);
    const life: Life = { host, consensus, machine, sessions };
    this.#life = life;
    this.#world.entered(this);
    this.#note("starts");
    const opening = async (): Promise<void> => {
      await transport.start();
      await consensus.start(machine);
    };
    // In a turn of its own: what follows is this replica's doing.
    host.nextTurn(() => {
      opening().then(
        () => this.#started(life),
        (error: unknown) => this.#startFailed(life, error),
      );
    });
  }

  #started(life: Life): void {
    if (this.#life !== life) return;
    this.#running = true;
    const status = life.consensus.status();
    this.#storeId = status.storeId;
    if (status.storage === "corrupt") this.damage ??= "flipped";
    this.settleDamage();
    life.consensus.onChange(({ role, storage }) => {
      if (this.#life !== life || this.#stopping === life) return;
      if (storage === "corrupt") this.damage ??= "flipped";
      this.settleDamage();
      this.#world.monitor.check(
        role !== "stopped",
        "stays-alive",
        () => `${this.name} has stopped by itself: ${this.#cause}`,
      );
    });
  }

  /** A write of its disk is going to fail: until that has happened, or cannot any more, nothing is settled. */
  isAwaitingFailure = false;

  /** Forgets damage that did no harm, or was mended. */
  settleDamage(): void {
    if (this.isAwaitingFailure) return;
    if (this.damage === "flipped" && this.#running && this.life.consensus.status().storage === "ok")
      this.damage = undefined;
  }

  #startFailed(life: Life, error: unknown): void {
    if (this.#life !== life) return;
    this.#note(`does not start: ${String(error)}`);
    if (isFabricError(error, ...supervised)) {
      this.crash("nothing-lost");
      this.#world.clock.schedule(retryMs, () => {
        if (!this.isUp) this.start();
      });
      return;
    }
    const isDamaged = this.damage !== undefined && isFabricError(error, ...beyondRepair);
    this.#world.monitor.check(isDamaged, "starts-again", () => `${this.name} does not start: ${describe(error)}`);
    this.crash("nothing-lost");
    this.wipe();
    this.#world.clock.schedule(retryMs, () => {
      if (!this.isUp) this.start();
    });
  }

  #cause = "";

  #makeMachine(host: VirtualHost): RegisterMachine {
    const { setup, totals, monitor } = this.#world;
    const delays = this.#random.fork(`machine-${this.#lives}`);
    return new RegisterMachine({
      disk: this.#machineDisk,
      applyDelayMs: () => {
        if (!setup.asynchronousApply || delays.chance(0.6)) return undefined;
        totals.asynchronousApplies += 1;
        return delays.float() * (setup.electionTimeoutMs / 4);
      },
      chunkDelayMs: () => (setup.slowSnapshots ? delays.float() * (setup.electionTimeoutMs / 10) : undefined),
      wait: (delayMs) =>
        new Promise((resolve) => {
          host.schedule(delayMs, resolve);
        }),
      onGap: (index, position) => monitor.applicationGap(this.id, index, position),
      onApplied: (entry, hash) => {
        if (entry.kind === "configuration") monitor.configurationApplied(this.id, entry.index, entry.configuration);
        else if (entry.kind === "command") this.#world.applied(this, entry.index, entry.command);
        monitor.applied(this.id, entry.index, entry.term, hash);
      },
      onRestored: (position, hash) => monitor.restored(this.id, position.index, hash),
    });
  }

  #consensusOptions(
    host: VirtualHost,
    random: SeededRandom,
    transport: ReturnType<MemoryNetwork["transport"]>,
  ): RaftOptions<RegisterCommand, string> {
    const { setup, monitor, totals } = this.#world;
    const founding = this.#founding;
    const disk = this.#disk;
    return {
      id: this.id,
      transport,
      clock: host,
      random: random.fork("raft"),
      disk,
      codec: registerCodec,
      electionTimeoutMs: setup.electionTimeoutMs,
      snapshotIntervalEntries: setup.snapshotIntervalEntries,
      groupId: Buffer.from("simulated"),
      logStore: () => watchedLog(this.#openLog(host, random), this.id, monitor),
      leaseReads: setup.leaseReads,
      hintLeader: () => this.#world.leaderHint(),
      limits: setup.limits,
      metrics: this.#metrics(),
      logger: {
        ...silentLogger,
        error: (message, fields) => {
          this.#cause = `${message} ${describe(fields?.["error"])}`;
          this.#note(`error: ${this.#cause.split("\n", 1)[0]}`);
        },
        warn: (message, fields) => {
          if (isFabricError(fields?.["error"], "DISK_FULL", "LOG_FULL")) totals.fullDisks += 1;
          this.#note(`warning: ${message} ${(fields?.["error"] as Error | undefined)?.message ?? ""}`);
        },
      },
      ...(founding === undefined ? {} : { bootstrap: founding }),
    };
  }

  #openLog(host: VirtualHost, random: SeededRandom): WalLogStore {
    const { segmentBytes, allocateBytes, walCacheBytes } = this.#world.setup;
    return walLogStore({
      disk: this.#disk,
      directory: "wal",
      random: random.fork(`wal-${host.monotonicMs()}`),
      segmentBytes,
      allocateBytes,
      cacheBytes: walCacheBytes,
      clock: host,
      metrics: this.#metrics(),
      logger: {
        ...silentLogger,
        warn: (message, fields) => {
          if (fields?.["kind"] === "torn") this.#world.totals.tornWrites += 1;
          if (message.startsWith("the disk is full")) this.#world.totals.fullDisks += 1;
          this.#note(`log: ${message} ${JSON.stringify(fields ?? {})}`);
        },
      },
    });
  }

  #metrics(): Metrics {
    const { totals } = this.#world;
    return {
      count: (name: string, by = 1, labels?: Readonly<Record<string, string>>) => {
        if (name === "revoada_raft_wal_full_total") totals.fullDisks += by;
        else if (name === "revoada_raft_storage_failures_total") totals.storageFailures += by;
        else if (name === "revoada_raft_stalls_total") totals.lateTicks += by;
        else if (name === "revoada_raft_session_repeats_total") totals.duplicatesFiltered += by;
        else if (name === "revoada_raft_sessions_expired_total") totals.sessionsExpired += by;
        else if (name === "revoada_raft_snapshots_total") {
          if (labels?.["kind"] === "saved") totals.snapshotsSaved += by;
          if (labels?.["kind"] === "installed") totals.snapshotInstalls += by;
        }
      },
      gauge: () => undefined,
      observe: () => undefined,
    };
  }

  /** Tells the world who runs, whenever anything of this host does. */
  #watchedHost(host: VirtualHost): SuspendableHost {
    const entered = (callback: () => void) => (): void => {
      this.#world.entered(this);
      callback();
    };
    let suspendedMs = 0;
    let frozen = { atMs: 0, untilMs: 0 };
    return {
      name: host.name,
      suspend: (durationMs) => {
        const nowMs = host.monotonicMs();
        frozen = { atMs: nowMs - suspendedMs, untilMs: nowMs + durationMs };
        suspendedMs += durationMs;
        host.stall(durationMs);
      },
      monotonicMs: () => {
        const nowMs = host.monotonicMs();
        return nowMs < frozen.untilMs ? frozen.atMs : nowMs - suspendedMs;
      },
      wallMs: () => host.wallMs(),
      // A clock that was suspended differs from the world's by a fraction that is rounded off: a timer must not come before its time.
      schedule: (delayMs, callback) =>
        host.schedule(suspendedMs > 0 && delayMs > 0 ? delayMs + timerSlackMs : delayMs, entered(callback)),
      input: (delayMs, callback) => host.input(delayMs, entered(callback)),
      nextTurn: (callback) => host.nextTurn(entered(callback)),
      stall: (durationMs) => host.stall(durationMs),
      jumpWall: (deltaMs) => host.jumpWall(deltaMs),
      stop: () => host.stop(),
    };
  }

  /** Ends the process as SIGKILL or a power cut does. */
  crash(outcome: "nothing-lost" | "unsynced-lost" | "random"): void {
    const life = this.#life;
    if (life === undefined) return;
    life.host.stop();
    this.#world.network.down(this.id);
    this.#disk.crash(outcome);
    this.#machineDisk?.crash(outcome === "nothing-lost" || (outcome === "random" && this.#latency.chance(0.5)));
    this.#ended();
  }

  /** Ends the process in order. */
  async stop(): Promise<void> {
    const life = this.#life;
    if (life === undefined || !this.#running) return;
    this.#running = false;
    this.#stopping = life;
    await life.consensus.shutdown();
    if (this.#life !== life) return;
    life.host.stop();
    this.#world.network.down(this.id);
    this.#disk.crash("nothing-lost");
    this.#machineDisk?.crash(true);
    this.#ended();
  }

  #ended(): void {
    this.#lastConfigurationIndex = this.life.consensus.status().configurationIndex;
    this.#life = undefined;
    this.#running = false;
    this.#atNextWrite = undefined;
    this.#hanging = undefined;
    this.#world.monitor.stopped(this.id);
    const ends = this.#ends;
    this.#ends = new Set();
    for (const end of ends) end(new ProcessDiedError("the process died"));
  }

  /** Replaces the disk of a process that is down by an empty one. */
  wipe(): void {
    this.#newDisk();
    this.#founding = undefined;
    this.#storeId = undefined;
    this.#slowMs = 0;
    this.damage = "wiped";
  }

  /** Settles as `work` does; where the process dies meanwhile, it rejects as for a client that lost its connection. */
  whileUp<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = (error: ProcessDiedError): void => reject(error);
      this.#ends.add(end);
      const forget = (): void => void this.#ends.delete(end);
      work.then(
        (value) => {
          forget();
          resolve(value);
        },
        (error: unknown) => {
          forget();
          reject(error);
        },
      );
    });
  }

  #note(what: string): void {
    this.#world.trace.record(this.#world.clock.monotonicMs(), this.name, what);
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
