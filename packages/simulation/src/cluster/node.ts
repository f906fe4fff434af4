import { blake3Attestor, ed25519Verifier, identityFromSeed } from "@revoada/attest-blake3";
import { catalog, catalogMachine, memoryStore } from "@revoada/catalog";
import {
  Cluster,
  commandCodec,
  joinCluster,
  planRecovery,
  type ClusterDeclaration,
  type ClusterLayers,
  type ClusterOrigin,
  type ConsensusParts,
  type MembershipParts,
} from "@revoada/cluster";
import { decodeConfiguration, encodeConfiguration, raft, walLogStore, type WalLogStore } from "@revoada/consensus-raft";
import {
  isFabricError,
  type Attestor,
  type Catalog,
  type Consensus,
  type Duty,
  type Generation,
  type Genesis,
  type Hash,
  type JoinToken,
  type Logger,
  type MachineStore,
  type Membership,
  type NodeId,
  type StoreId,
  type Transport,
  silentLogger,
} from "@revoada/fabric";
import {
  memoryAddress,
  memoryDisk,
  type MemoryDisk,
  type MemoryNetwork,
  type SeededRandom,
  type VirtualClock,
  type VirtualHost,
} from "@revoada/fabric/memory";
import { pureRaftFace } from "@revoada/face-pure-raft";
import { defaultFormats } from "@revoada/format";
import { gossipMembership } from "@revoada/membership-gossip";
import type { Monitor } from "./monitor.ts";
import { observedLog } from "./observed-log.ts";
import { observedMachine } from "./observed-machine.ts";
import type { Trace } from "../trace.ts";

/** What the nodes of one run share. */
export interface SimulatedWorld {
  readonly clock: VirtualClock;
  readonly network: MemoryNetwork;
  readonly declaration: ClusterDeclaration;
  readonly monitor: Monitor;
  readonly trace: Trace;
  readonly random: SeededRandom;
  /** What masters do beside the cluster's own duties. */
  readonly duties: (node: SimulatedNode) => readonly Duty[];
  readonly logger?: (node: string) => Logger;
}

/** What a node keeps in its data directory beside the log. */
interface Saved {
  readonly genesis: Genesis;
  readonly chain?: Uint8Array;
  readonly recoveries?: readonly Hash[];
  readonly founding: boolean;
}

const version = "simulated";

/** One life of the process before its cluster runs. */
interface Boot {
  readonly host: VirtualHost;
  readonly storeId: StoreId;
  readonly transport: Transport;
}

type NodeKey = ReturnType<typeof identityFromSeed>;

/** Most bytes of chain that a node without a log keeps beside its next key. */
const maxChainBytes = 16 * 1024 * 1024;

/** One node of a run: the production layers over a virtual host, network and disk. */
export class SimulatedNode {
  readonly index: number;
  readonly disk: MemoryDisk;
  readonly zone: string;
  readonly #world: SimulatedWorld;
  readonly #random: SeededRandom;
  #identity: NodeKey;
  #attestor: Attestor;
  /** The key that it is about to go on under. */
  #next: NodeKey | undefined;
  #keys = 1;
  #saved: Saved | undefined;
  #generation = 0;
  #life = 0;
  #host: VirtualHost | undefined;
  #cluster: Cluster | undefined;
  #store: MachineStore | undefined;
  #ends = new Set<(error: unknown) => void>();
  #peers: readonly NodeId[] = [];
  #atNextSync: (() => void) | undefined;

  /** `machine` tells the machines apart that stood at one place after each other. */
  constructor(index: number, world: SimulatedWorld, machine = 0) {
    this.index = index;
    this.#world = world;
    this.#random = world.random.fork(machine === 0 ? `node-${index}` : `node-${index}-${machine}`);
    this.#identity = identityFromSeed(this.#random.fork("identity").bytes(32));
    this.#attestor = blake3Attestor(this.#identity);
    const latency = this.#random.fork("disk-latency");
    this.disk = memoryDisk({
      name: `disk-${index}`,
      random: this.#random.fork("disk"),
      onOperation: ({ kind }) => (kind === "datasync" ? this.#beforeSync(latency) : undefined),
    });
    this.zone = `zone-${index % 3}`;
  }

  /** The key that it is known under now; see {@link rotate}. */
  get id(): NodeId {
    return this.#identity.id;
  }

  get attestor(): Attestor {
    return this.#attestor;
  }

  /** True once it has been let in. */
  get belongs(): boolean {
    return this.#saved !== undefined;
  }

  /** True from the wish to go on under another key until it does. */
  get rotates(): boolean {
    return this.#next !== undefined;
  }

  /** Peers that the node may look for, as a discovery would tell. */
  knowPeers(peers: readonly NodeId[]): void {
    this.#peers = peers.filter((id) => id !== this.id);
  }

  isUp(): boolean {
    return this.#cluster?.isRunning() === true;
  }

  cluster(): Cluster {
    if (this.#cluster === undefined) throw new Error(`node ${this.index} is down`);
    return this.#cluster;
  }

  catalog(): Catalog {
    return this.cluster().running().catalog;
  }

  store(): MachineStore {
    if (this.#store === undefined) throw new Error(`node ${this.index} is down`);
    return this.#store;
  }

  host(): VirtualHost {
    if (this.#host === undefined) throw new Error(`node ${this.index} is down`);
    return this.#host;
  }

  /** Runs `body`; where the process dies in the middle, `failed` is told so, as a client that lost its connection would be. */
  async whileUp(body: () => Promise<void>, failed: (error: unknown) => void): Promise<void> {
    let end: (error: unknown) => void = () => undefined;
    const died = new Promise<never>((_resolve, reject) => {
      end = reject;
    });
    this.#ends.add(end);
    try {
      await Promise.race([body(), died]);
    } catch (error) {
      failed(error);
    } finally {
      this.#ends.delete(end);
    }
  }

  /** The first start of the first node: genesis, a quorum of one. */
  async found(): Promise<void> {
    const boot = await this.#boot();
    const { host, storeId } = boot;
    const genesis = this.attestor.createGenesis({
      nonce: this.#random.fork("nonce").bytes(32),
      createdMs: Math.floor(host.wallMs()),
      declaration: this.#world.declaration.encode(),
      storeId,
      zone: this.zone,
      version,
      operators: [],
    });
    this.#saved = { genesis, founding: true };
    await this.#run(boot);
    this.#saved = { genesis, founding: false };
  }

  /** The first start of every other node: let in by a token, then a member. */
  async join(token: JoinToken): Promise<void> {
    const boot = await this.#boot();
    const { storeId, transport } = boot;
    transport.setAdmission((_peer, channel) => channel === "join");
    await transport.start();
    const { genesis, chain, recoveries } = await joinCluster({
      attestor: this.attestor,
      transport,
      token,
      storeId,
      generation: this.#generation,
      zone: this.zone,
      version,
      addresses: [memoryAddress(this.id)],
    });
    this.#saved = { genesis, chain, founding: false, ...(recoveries.length === 0 ? {} : { recoveries }) };
    await this.#run(boot);
  }

  /**
   * Has its next key committed and goes on under it in another life of the process, as `revoada key rotate` does. Where nobody could say
   * what became of it the next key is kept, and asking again goes on with it. True where it is over, one way or the other.
   */
  async rotate(options: { readonly timeoutMs: number }): Promise<boolean> {
    const cluster = this.cluster();
    this.#next ??= identityFromSeed(this.#random.fork(`identity-${(this.#keys += 1)}`).bytes(32));
    const next = this.#next;
    if (cluster.formation().tombstones.has(next.id)) {
      this.#next = undefined;
      return true;
    }
    try {
      await cluster.nameSuccessor(next.id, options);
    } catch (error) {
      const isOver = isFabricError(error) && !error.retryable && !cluster.formation().nodes.has(next.id);
      if (isOver) this.#next = undefined;
      return isOver;
    }
    // It may have died in the very moment in which it was told.
    if (this.#cluster !== cluster || this.#saved === undefined) return false;
    const running = cluster.running();
    if (!running.holdsReplica())
      this.#saved = { ...this.#saved, chain: running.directory.prove({ height: 0 }, maxChainBytes) };
    this.crash("nothing-lost");
    this.#world.monitor.renamed(this.id, next.id);
    this.#identity = next;
    this.#attestor = blake3Attestor(next);
    this.#next = undefined;
    return true;
  }

  /**
   * Ends the process for good and goes on alone where a majority was lost, as `revoada recover --lost-majority` does: what it has
   * to be written is worked out on a copy of its state and added to its log. The node is down afterwards.
   */
  async recoverAlone(): Promise<void> {
    const [scratch, clusterId] = [this.store(), this.cluster().running().origin.genesis.clusterId];
    this.crash("nothing-lost");
    const host = this.#world.clock.host(`node-${this.index}.recovery`);
    const log = observedLog(this.#openLog(host, "recovery"), this.id, this.#world.monitor);
    const plan = await planRecovery({
      attestor: this.attestor,
      clusterId,
      log,
      recovered: await log.open(),
      scratch,
      catalog: catalogMachine(),
      encodeConfiguration,
      decodeConfiguration,
      nowMs: host.wallMs(),
    });
    await log.append(plan.batch);
    await log.close();
  }

  /** Any later start. */
  async restart(): Promise<void> {
    await this.#run(await this.#boot());
  }

  /** Calls `strike` right before the next sync of the disk, when what was written is not durable yet. */
  atNextSync(strike: () => void): void {
    this.#atNextSync = strike;
  }

  /** A sync takes its time, and is where a power cut hurts most. */
  #beforeSync(latency: SeededRandom): Promise<void> | undefined {
    const strike = this.#atNextSync;
    this.#atNextSync = undefined;
    strike?.();
    const host = this.#host;
    if (host === undefined) return undefined;
    return new Promise((resolve) => {
      host.schedule(0.2 + latency.float() * 2, resolve);
    });
  }

  /** Ends the process as SIGKILL or a power cut does. */
  crash(outcome: Parameters<MemoryDisk["crash"]>[0]): void {
    this.#host?.stop();
    this.#world.network.down(this.id);
    this.disk.crash(outcome);
    this.#atNextSync = undefined;
    this.#cluster = undefined;
    this.#host = undefined;
    this.#store = undefined;
    const ends = this.#ends;
    this.#ends = new Set();
    for (const end of ends) end(new Error("the process died"));
  }

  async shutdown(): Promise<void> {
    await this.#cluster?.shutdown();
    this.#cluster = undefined;
  }

  async #boot(): Promise<Boot> {
    this.#life += 1;
    const host = this.#world.clock.host(`node-${this.index}.${this.#life}`);
    this.#host = host;
    this.#generation = Math.max(this.#generation + 1, Math.floor(host.wallMs() / 1000));
    this.#world.monitor.started(this.id);
    const log = this.#openLog(host, "boot");
    const { storeId } = await log.open();
    if (log.faults.some((fault) => fault.kind === "torn")) this.#world.monitor.logTorn();
    await log.close();
    return { host, storeId, transport: this.#world.network.transport(this.id, { clock: host }) };
  }

  #openLog(host: VirtualHost, label: string): WalLogStore {
    const random = this.#random.fork(`wal-${label}-${this.#life}`);
    return walLogStore({ disk: this.disk, directory: "wal", random, segmentBytes: 256 * 1024, clock: host });
  }

  async #run(boot: Boot): Promise<void> {
    const store = memoryStore();
    const cluster = new Cluster(this.#world.declaration, this.#layers(boot, store));
    this.#cluster = cluster;
    this.#store = store;
    await cluster.start();
    const { consensus, machine } = cluster.running();
    const observe = (): void => {
      if (this.#cluster === cluster) this.#world.monitor.observe(this.id, consensus.status());
    };
    consensus.onChange(observe);
    machine.onApplied(observe);
  }

  #layers({ host, storeId, transport }: Boot, store: MachineStore): ClusterLayers {
    const logger = this.#world.logger?.(`node-${this.index}`) ?? silentLogger;
    return {
      attestor: this.attestor,
      clock: host,
      random: this.#random.fork(`cluster-${this.#life}`),
      origin: () => this.#origin(storeId),
      store: () => store,
      transport: () => transport,
      membership: (parts) => this.#membership(parts, host, logger),
      consensus: (parts) => this.#consensus(parts, host, store, logger),
      catalog: () => {
        const machine = catalogMachine();
        return { machine, create: (parts) => catalog({ ...parts, machine, clock: host, logger }) };
      },
      formats: defaultFormats(),
      faces: [pureRaftFace()],
      duties: this.#world.duties(this),
      logger,
    };
  }

  #origin(storeId: StoreId): ClusterOrigin {
    const saved = this.#saved;
    if (saved === undefined) throw new Error(`node ${this.index} belongs to no cluster`);
    return { ...saved, storeId, generation: this.#generation, zone: this.zone, version };
  }

  #membership(parts: MembershipParts, host: VirtualHost, logger: Logger): Membership {
    return gossipMembership({
      identity: this.#identity,
      verifier: ed25519Verifier(),
      transport: parts.transport,
      clock: host,
      random: this.#random.fork(`gossip-${this.#life}`),
      clusterId: parts.genesis.clusterId,
      strategy: parts.declaration.strategy.membership,
      generation: this.#generation,
      addresses: () => [memoryAddress(this.id)],
      seeds: () => this.#peers.map((id) => ({ id, addresses: [memoryAddress(id)] })),
      keys: Object.fromEntries(parts.keys),
      isKnown: parts.isKnown,
      logger,
    });
  }

  #consensus(
    parts: ConsensusParts,
    host: VirtualHost,
    store: MachineStore,
    logger: Logger,
  ): Consensus<Uint8Array, Uint8Array> {
    const { consensus: strategy } = parts.declaration.strategy;
    let opened = 0;
    const consensus = raft({
      id: this.id,
      transport: parts.transport,
      clock: host,
      random: this.#random.fork(`raft-${this.#life}`),
      disk: this.disk,
      logStore: () => observedLog(this.#openLog(host, String((opened += 1))), this.id, this.#world.monitor),
      codec: commandCodec,
      electionTimeoutMs: strategy.electionTimeoutMs,
      snapshotIntervalEntries: strategy.snapshotIntervalEntries,
      ...(parts.founding
        ? { bootstrap: (self) => ({ voters: [self], learners: [], generation: 0 as Generation }) }
        : {}),
      hintLeader: parts.leaderHint,
      mayLead: parts.mayLead,
      mayPropose: parts.mayPropose,
      groupId: Buffer.from(parts.genesis.clusterId, "hex"),
      logger,
    });
    return observedMachine(consensus, { node: this.id, store, monitor: this.#world.monitor });
  }
}
