import { existsSync } from "node:fs";
import { loadIdentity, loadOrCreateIdentity } from "@revoada/attest-blake3";
import { Cluster, fileArchive, type ChainLimits, type ClusterDeclaration, type HistoryLimits } from "@revoada/cluster";
import {
  isFabricError,
  shortId,
  type Clock,
  type LimitedRole,
  type Logger,
  type MachineStore,
  type NodeId,
} from "@revoada/fabric";
import { nodeDisk, systemClock, systemRandom } from "@revoada/fabric/node";
import { lmdbStore } from "@revoada/catalog/lmdb";
import type { NodeConfig } from "../config/config.ts";
import type { LogLevel } from "../config/settings.ts";
import { DataDirectory, dataPaths, readNodeFile } from "../data-directory/data-directory.ts";
import type { NodeFile } from "../data-directory/node-file.ts";
import { FaceDoesNotListenError, NodeFailedError, NotInitialisedError, NotReloadableError } from "../errors.ts";
import { version } from "../version.ts";
import { advertisedAddresses } from "./addresses.ts";
import { startAdminServer, type HealthFacts } from "./admin-server.ts";
import { describeHealth, tokenDefaults } from "./control.ts";
import { startControl } from "./control-socket.ts";
import { nodeLayers } from "./layers.ts";
import type { Expectation } from "./expect/expectation.ts";
import { createMetrics, type MetricsRegistry } from "./metrics.ts";
import { ReleaseStack } from "./release-stack.ts";
import { groupIdOf, prepareNode, understand, type PreparedNode } from "./prepare.ts";
import { rawFace, understoodDeclaration } from "./declare.ts";
import { compareSettings, findingSettings, logReload, type ReloadReport } from "./reload.ts";
import { knownTopologies } from "./topologies.ts";
import { measureProcess } from "./process-metrics.ts";
import { describeStatus, restartingKey, type NodeStatus } from "./status.ts";

/** How a node came to its end. */
export type NodeEnd =
  | { readonly reason: "stopped" }
  | { readonly reason: "left" }
  /** It goes on under its next key: to be started again with the same directory. */
  | { readonly reason: "rotated" }
  | { readonly reason: "failed"; readonly error: unknown };

/** A node that runs. */
export interface RunningNode {
  status(): NodeStatus;
  /** Hands leadership over and stops in order, keeping the seat. A second call waits for the first. */
  stop(): Promise<void>;
  /** Gives the seat up and stops. Rejects, and goes on running, where the cluster does not let go. */
  leave(options: { readonly timeoutMs: number }): Promise<void>;
  /**
   * Has the node's next key committed, and stops so that it can be started again under it. Resolves with the next id. Rejects, and
   * goes on running as it was, where the cluster does not agree.
   */
  rotateKey(options: { readonly timeoutMs: number }): Promise<NodeId>;
  /**
   * Takes up what the settings say now, as far as a running node can. Rejects with what is wrong with them, and nothing has changed then.
   */
  reload(): Promise<ReloadReport>;
  /** Resolves once the node has stopped, with why. */
  readonly ended: Promise<NodeEnd>;
}

export interface StartOptions {
  readonly config: NodeConfig;
  readonly logger: Logger;
  /** Abandons a start that is under way. */
  readonly signal: AbortSignal;
  /** Reads the settings anew, from where they came from; absent where they cannot be. */
  readonly reread?: () => Promise<NodeConfig>;
  /** Changes what is worth a line from now on. */
  readonly setLogLevel?: (level: LogLevel) => void;
}

/** How often is looked whether those have come who were to found the cluster. */
const lookAgainMs = 2_000;

/** A stop does not wait longer than this for somebody to take the lead. */
const maxHandOverMs = 5_000;
/** How long a start goes on with a rotation that was cut short. */
const resumeTimeoutMs = 60_000;
/** Most bytes of chain that a node without a log keeps beside its next key. */
const maxChainBytes = 12 * 1024 * 1024;

/**
 * Starts the node of a data directory, making or joining its cluster where it has none yet.
 *
 * Rejects with what cannot work; nothing is left running, locked or half made then.
 */
export async function startNode(options: StartOptions): Promise<RunningNode> {
  const { config, signal, logger } = options;
  const asked = await understand(config);
  // Of the faces that there are so far, none has an endpoint of its own.
  if (config.faceListen !== undefined) throw new FaceDoesNotListenError((asked.declaration?.face ?? rawFace).name);
  const isNew = asked.declaration !== undefined || asked.token !== undefined;
  if (!isNew && (await readNodeFile(dataPaths(config.dataDir))) === undefined)
    throw new NotInitialisedError(config.dataDir);
  // What was taken is given back, the last first, when the start fails or the node stops.
  const taken = new ReleaseStack();
  try {
    const data = taken.use(await DataDirectory.open(config.dataDir));
    const [clock, random, metrics] = [systemClock(), systemRandom(), createMetrics()];
    const disk = nodeDisk(config.dataDir);
    // Taken before anything is written: a port that is in use must not leave a cluster behind.
    const admin = new AdminDoor(metrics);
    taken.use(await admin.open(config.adminListen));
    const node = await prepareNode({ ...asked, data, disk, clock, random, logger, metrics, signal });
    // Both are the cluster's once it runs, and closing twice does no harm.
    taken.defer(() => node.log.store.close());
    taken.defer(() => node.transport.shutdown());
    taken.use(node.finding);
    const store = (): Promise<MachineStore> => lmdbStore({ directory: data.paths.store, logger, metrics });
    const own: { process?: NodeProcess } = {};
    const layers = nodeLayers({
      ...{ node, advertise: config.advertise, history: historyOf(config), store, disk, clock, random, logger, metrics },
      chain: config.chainArchiveDir === undefined ? undefined : archiveOf(config.chainArchiveDir, config),
      declarations: (bytes) => understoodDeclaration(bytes, own.process?.config ?? config),
      onDeclared: (declaration) => own.process?.declared(declaration),
    });
    const cluster = new Cluster(node.declaration, layers);
    const running = new NodeProcess({ ...options, data, node, clock, metrics, cluster, admin }, taken);
    own.process = running;
    await running.start();
    return running;
  } catch (error) {
    await taken.release();
    throw rootOf(error);
  }
}

function historyOf({ historyRevisions, historySeconds }: NodeConfig): HistoryLimits {
  return {
    ...(historyRevisions === undefined ? {} : { keepRevisions: historyRevisions }),
    ...(historySeconds === undefined ? {} : { keepMs: historySeconds * 1000 }),
  };
}

/** An archive in a directory, and how much is kept of what could go there. */
function archiveOf(directory: string, { chainKeepBlocks }: NodeConfig): ChainLimits {
  const keep = chainKeepBlocks === undefined ? {} : { keepBlocks: chainKeepBlocks };
  return { sink: fileArchive(nodeDisk(directory), directory), ...keep };
}

/** What made a replica stop, where the error only says that it has. */
function rootOf(error: unknown): unknown {
  if (!isFabricError(error, "RAFT_STOPPED", "RAFT_MACHINE_FAILED") || !isFabricError(error.cause)) return error;
  return rootOf(error.cause);
}

/** The admin server, which is there before the node is and says so. */
class AdminDoor {
  /** What `/healthz` answers; set once there is a cluster to ask. */
  health: () => HealthFacts = () => ({ ok: false, facts: { condition: "starting" } });
  address = "";
  readonly #metrics: MetricsRegistry;

  constructor(metrics: MetricsRegistry) {
    this.#metrics = metrics;
  }

  async open(address: string): Promise<AsyncDisposable> {
    const server = await startAdminServer({
      address,
      renderMetrics: () => this.#metrics.render(),
      health: () => this.health(),
    });
    this.address = server.address;
    return server;
  }
}

interface NodeParts extends Omit<StartOptions, "signal"> {
  readonly data: DataDirectory;
  readonly node: PreparedNode;
  readonly clock: Clock;
  readonly metrics: MetricsRegistry;
  readonly cluster: Cluster;
  readonly admin: AdminDoor;
}

class NodeProcess implements RunningNode {
  readonly ended: Promise<NodeEnd>;
  readonly #parts: NodeParts;
  readonly #taken: ReleaseStack;
  readonly #abort = new AbortController();
  readonly #startedMs: number;
  readonly #end: (end: NodeEnd) => void;
  #file: NodeFile;
  #config: NodeConfig;
  /** One write after the other, and one reading of the settings after the other. */
  #saving: Promise<void> = Promise.resolve();
  #reloading: Promise<unknown> = Promise.resolve();
  #stopping: Promise<void> | undefined;

  constructor(parts: NodeParts, taken: ReleaseStack) {
    this.#parts = parts;
    this.#taken = taken;
    this.#file = parts.node.file;
    this.#config = parts.config;
    this.#startedMs = parts.clock.monotonicMs();
    const { promise, resolve } = Promise.withResolvers<NodeEnd>();
    this.ended = promise;
    this.#end = resolve;
  }

  async start(): Promise<void> {
    const { node, cluster, clock, metrics, logger, admin } = this.#parts;
    this.#taken.defer(measureProcess(metrics, { version, startedMs: clock.wallMs() }));
    await this.#findOthers();
    await cluster.start();
    this.#taken.use(cluster);
    this.#meetCluster();
    this.#taken.defer(() => node.peers.save());
    this.#taken.defer(() => this.#abort.abort());
    void node.peers.follow(cluster.running().membership, this.#abort.signal);
    const [listen] = node.transport.listening();
    if (listen !== undefined && listen !== this.#file.listen) await this.#save({ listen });
    const { consensus } = cluster.running();
    this.#taken.defer(consensus.onChange((status) => this.#watchReplica(status.role)));
    this.#watchReplica(consensus.status().role);
    metrics.collect((page) => this.#gauge(page));
    admin.health = () => this.#healthFacts();
    if (node.origin.founding) await this.#writeFirstToken();
    if (node.expectation?.isFounder === true) void this.#letExpectedIn(node.expectation);
    this.#taken.use(await this.#openControl());
    void this.#resumeRotation();
    const { id, cluster: clusterId } = this.status();
    logger.info("the node is up", {
      node: shortId(id),
      cluster: shortId(clusterId),
      listen,
      admin: admin.address,
      declaration: cluster.id(),
    });
  }

  get config(): NodeConfig {
    return this.#config;
  }

  /** Another declaration is in force: the next start begins with it. */
  declared(declaration: ClusterDeclaration): void {
    this.#save({ declaration: declaration.encode() }).catch((error: unknown) =>
      this.#parts.logger.warn("the declaration in force is not noted; the next start takes it from the log", {
        error: String(error),
      }),
    );
  }

  #save(change: Partial<NodeFile>): Promise<void> {
    this.#file = { ...this.#file, ...change };
    const file = this.#file;
    const saved = this.#saving.then(() => this.#parts.data.writeNode(file));
    this.#saving = saved.catch(() => undefined);
    return saved;
  }

  /** Takes up what the settings say now, as far as a running node can. Rejects, with nothing changed, where they are wrong. */
  reload(): Promise<ReloadReport> {
    const turn = this.#reloading.then(() => this.#reload());
    this.#reloading = turn.catch(() => undefined);
    return turn;
  }

  async #reload(): Promise<ReloadReport> {
    const { reread, cluster, node, setLogLevel, logger } = this.#parts;
    if (reread === undefined) throw new NotReloadableError();
    const next = await reread();
    const { taken, report } = await compareSettings(this.#config, next, cluster.declaration);
    const looks = report.changed.some(({ name }) => findingSettings.includes(name));
    if (looks) await node.finding.reconfigure(taken);
    this.#config = taken;
    if (report.changed.some(({ name }) => name === "logLevel")) setLogLevel?.(taken.logLevel);
    await cluster.running().inForce.again();
    logReload(logger, report);
    return report;
  }

  status(): NodeStatus {
    const { cluster, config, data, node, clock, admin } = this.#parts;
    return describeStatus(cluster, {
      version,
      dataDir: data.paths.directory,
      admin: admin.address,
      advertise: advertisedAddresses(config.advertise, node.transport.listening()),
      uptimeMs: clock.monotonicMs() - this.#startedMs,
    });
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop({ reason: "stopped" });
    return this.#stopping;
  }

  async leave(options: { readonly timeoutMs: number }): Promise<void> {
    const { cluster, logger } = this.#parts;
    logger.info("giving the seat up");
    await cluster.leave(options);
    await this.#save({ left: true });
    // The answer to whoever asked goes out before the socket closes.
    this.#parts.clock.schedule(100, () => {
      this.#stopping ??= this.#stop({ reason: "left" });
    });
  }

  async rotateKey(options: { readonly timeoutMs: number }): Promise<NodeId> {
    const { cluster, data, logger, clock } = this.#parts;
    const { identity } = await loadOrCreateIdentity(data.paths.nextKey);
    logger.info("rotating the key", { next: shortId(identity.id) });
    try {
      await cluster.nameSuccessor(identity.id, options);
    } catch (error) {
      // A definite refusal is the end of it. Where nobody knows, the next start goes on with the same key.
      const isOver = isFabricError(error) && !error.retryable && !cluster.formation().nodes.has(identity.id);
      if (isOver) await data.dropNextKey();
      throw error;
    }
    const running = cluster.running();
    // From here on this directory's node is the next one. What it has to show for itself, without a log, is the chain that admits it.
    const chain = running.holdsReplica() ? {} : { chain: running.directory.prove({ height: 0 }, maxChainBytes) };
    await this.#save({ node: identity.id, ...chain });
    // The answer to whoever asked goes out before the socket closes.
    clock.schedule(100, () => {
      this.#stopping ??= this.#stop({ reason: "rotated" });
    });
    return identity.id;
  }

  /** A rotation that a crash cut short is finished; one that the cluster has given up is forgotten. */
  async #resumeRotation(): Promise<void> {
    const { cluster, data, logger } = this.#parts;
    if (!existsSync(data.paths.nextKey)) return;
    try {
      const { identity } = await loadIdentity(data.paths.nextKey);
      if (cluster.formation().tombstones.has(identity.id)) await data.dropNextKey();
      else await this.rotateKey({ timeoutMs: resumeTimeoutMs });
    } catch (error) {
      if (!this.#abort.signal.aborted)
        logger.warn("the rotation of the key was not finished; revoada key rotate goes on with it", {
          error: String(error),
        });
    }
  }

  async #stop(end: NodeEnd): Promise<void> {
    const { logger } = this.#parts;
    logger.info("stopping", { reason: end.reason });
    if (end.reason === "stopped" || end.reason === "rotated") await this.#sayGoodbye();
    try {
      await this.#taken.release();
      logger.info("stopped");
      this.#end(end);
    } catch (error) {
      this.#end(end.reason === "failed" ? end : { reason: "failed", error });
    }
  }

  /** Says that this is a restart and no death, and lets somebody else lead. Neither is waited for beyond its bound. */
  async #sayGoodbye(): Promise<void> {
    const { cluster, logger } = this.#parts;
    const { electionTimeoutMs } = cluster.declaration.strategy.consensus;
    try {
      cluster.running().membership.set(restartingKey, "1");
      const heir = await cluster.handOver({ timeoutMs: Math.min(maxHandOverMs, 10 * electionTimeoutMs) });
      if (heir !== undefined) logger.info("leadership was handed over", { to: shortId(heir) });
    } catch (error) {
      logger.warn("leadership was not handed over", { error: String(error) });
    }
  }

  /** A replica that stopped by itself cannot be gone on without: its state and its log may no longer say the same. */
  #watchReplica(role: string): void {
    if (role !== "stopped" || this.#stopping !== undefined) return;
    this.#stopping = this.#whyStopped().then((error) => {
      this.#parts.logger.error("the replica stopped", {
        code: isFabricError(error) ? error.code : undefined,
        error: String(error),
      });
      return this.#stop({ reason: "failed", error });
    });
  }

  async #whyStopped(): Promise<unknown> {
    try {
      await this.#parts.cluster.running().consensus.readBarrier({ timeoutMs: 1000 });
      return new NodeFailedError("NODE_REPLICA_STOPPED", "the replica stopped by itself");
    } catch (error) {
      return rootOf(error);
    }
  }

  /** Looks for the others of the cluster; who founded it waits for those first who were to found it with this node. */
  async #findOthers(): Promise<void> {
    const { cluster, node } = this.#parts;
    const { finding, expectation, origin } = node;
    finding.shun((id) => cluster.isRunning() && cluster.formation().tombstones.has(id));
    const isFounder = expectation?.isFounder === true;
    await finding.meet(isFounder ? expectation.meetingGroup() : groupIdOf(origin.genesis.clusterId));
  }

  /** Once those have come who were to found the cluster with this node, it is at home where the cluster's other nodes are. */
  #meetCluster(): void {
    const { cluster, node, clock, logger } = this.#parts;
    const { finding, expectation, origin } = node;
    if (expectation?.isFounder !== true || this.#abort.signal.aborted || !cluster.isRunning()) return;
    if (expectation.nodes.some(({ id }) => !cluster.formation().nodes.has(id)))
      return void clock.schedule(lookAgainMs, () => this.#meetCluster());
    finding.meet(groupIdOf(origin.genesis.clusterId)).catch((error: unknown) => {
      logger.error("others are no longer looked for", { error: String(error) });
    });
  }

  /** The founder's first token. Without it the cluster is there all the same, and another can be made. */
  async #writeFirstToken(): Promise<void> {
    const { data, logger } = this.#parts;
    try {
      await data.writeJoinToken(await this.#createToken({ ...tokenDefaults, signal: this.#abort.signal }));
      logger.info("others may join with the token", { file: data.paths.joinToken });
    } catch (error) {
      logger.error("no join token was made; revoada token create makes one", { error: String(error) });
    }
  }

  /** The token that those can make who founded this cluster with this node, as long as one of them is missing. */
  async #letExpectedIn(expectation: Expectation): Promise<void> {
    const { cluster, logger, clock } = this.#parts;
    const { signal } = this.#abort;
    const material = expectation.tokenMaterial();
    const id = Buffer.from(material.subarray(0, 16)).toString("hex");
    try {
      if (expectation.nodes.every((node) => cluster.formation().nodes.has(node.id))) return;
      const known = (await cluster.tokens({ signal })).find(({ tokenId }) => tokenId === id);
      if (known !== undefined && known.expiresMs > clock.wallMs() && known.usesLeft > 0) return;
      if (known !== undefined) await cluster.revokeToken(id, { signal });
      const uses = expectation.others.length;
      await cluster.createToken({ ...tokenDefaults, uses, label: "bootstrap-expect", material, signal });
    } catch (error) {
      if (!signal.aborted)
        logger.error("those who founded this cluster together cannot be let in", { error: String(error) });
    }
  }

  async #createToken(options: {
    readonly ttlMs: number;
    readonly uses: number;
    readonly label?: string;
    readonly limitedTo?: LimitedRole;
    readonly signal: AbortSignal;
  }): Promise<string> {
    const { cluster, node } = this.#parts;
    return node.attestor.encodeToken(await cluster.createToken(options));
  }

  async #openControl(): Promise<AsyncDisposable> {
    const { cluster, data, node, logger } = this.#parts;
    return startControl({
      path: await data.chooseSocket(),
      logger,
      host: {
        cluster,
        attestor: node.attestor,
        status: () => this.status(),
        leave: (options) => this.leave(options),
        rotateKey: (options) => this.rotateKey(options),
        findTopology: async (name, options) =>
          (await knownTopologies(this.#config.topology, this.#config.topologyPackages))(name, options),
        reload: () => this.reload(),
        createToken: (options) => this.#createToken(options),
        wallMs: () => this.#parts.clock.wallMs(),
        archiveTo: (directory) => {
          const to = directory ?? this.#parts.config.chainArchiveDir;
          return to === undefined ? undefined : archiveOf(to, this.#parts.config);
        },
      },
    });
  }

  #healthFacts(): HealthFacts {
    const { cluster } = this.#parts;
    if (!cluster.isRunning()) return { ok: false, facts: { condition: "stopping" } };
    const { ok, condition, mode, broken } = describeHealth(cluster);
    return { ok, facts: { condition, mode, ...(broken === undefined ? {} : { broken }) } };
  }

  #gauge(page: Pick<MetricsRegistry, "gauge">): void {
    const { cluster } = this.#parts;
    if (!cluster.isRunning()) return;
    const { consensus, chain, resources, subscribers, condition } = cluster.health();
    page.gauge("revoada_node_leads", consensus.role === "leader" ? 1 : 0);
    page.gauge("revoada_node_quorum", consensus.quorum ? 1 : 0);
    page.gauge("revoada_node_term", consensus.term);
    page.gauge("revoada_node_commit_index", consensus.commitIndex);
    page.gauge("revoada_node_applied_index", consensus.appliedIndex);
    page.gauge("revoada_chain_height", chain.height);
    page.gauge("revoada_chain_sealed_height", chain.sealedHeight);
    page.gauge("revoada_chain_first_kept_height", chain.firstKeptHeight);
    if (chain.operatorSignedHeight !== undefined)
      page.gauge("revoada_chain_operator_signed_height", chain.operatorSignedHeight);
    page.gauge("revoada_catalog_resources", resources);
    page.gauge("revoada_catalog_subscribers", subscribers);
    for (const name of ["forming", "healthy", "degraded", "no-quorum"])
      page.gauge("revoada_cluster_condition", condition === name ? 1 : 0, { condition: name });
  }
}
