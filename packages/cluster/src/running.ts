import {
  isFabricError,
  parseNodeId,
  replicasOf,
  shortId,
  silentLogger,
  silentMetrics,
  type Catalog,
  type Consensus,
  type ConsensusStatus,
  type Face,
  type FaceFactory,
  type Formation,
  type Genesis,
  type Logger,
  type MachineStore,
  type Membership,
  type NodeId,
  type Transport,
} from "@revoada/fabric";
import { memberKeys } from "@revoada/topology";
import { ChainArchiver } from "./chain/archiver.ts";
import { Directory } from "./chain/directory.ts";
import { AdmissionProofs } from "./chain/proof.ts";
import { Sealer } from "./chain/sealer.ts";
import { decodeCanonical, encodeCanonical } from "./codec.ts";
import type { ClusterDeclaration } from "./declaration.ts";
import { announcedDuties, Duties } from "./duties/duties.ts";
import { LogLeadership } from "./duties/leadership.ts";
import { apiDuty, storeDuty } from "./duties/own-duties.ts";
import { Door } from "./door/door.ts";
import { CommandRefusedError, OperatorKeysError } from "./errors.ts";
import { declaredKey, InForce, unadoptedSettings, understandBuiltIn } from "./in-force.ts";
import { ClockCheck } from "./loop/clock-check.ts";
import { FormationLoop } from "./loop/formation-loop.ts";
import { redialReturned } from "./loop/returns.ts";
import { openEnvelope, sealEnvelope, type CommandKind } from "./machine/envelope.ts";
import { ClusterMachine } from "./machine/machine.ts";
import { openResult } from "./machine/result.ts";
import type { CatalogLayer, ClusterLayers, ClusterOrigin } from "./parts.ts";
import { hasPlace } from "./place.ts";
import { protocols } from "./protocols.ts";
import { ApprovalDesk } from "./operator/approvals.ts";
import { OperatorDesk } from "./operator/desk.ts";
import { SuccessionDesk } from "./operator/succession.ts";
import { mayHoldSeat, type OperatorTools } from "./operator/tools.ts";
import type { ReleaseStack } from "./release-stack.ts";
import { say } from "./say.ts";

/** The key under which a leader says in gossip that it leads, and in which term. */
const leadsKey = "leads";

/** How long a leader tries to have its leadership confirmed before it gives another replica an answer about a lease. */
const leaseAnswerMs = 5_000;

/** Genesis names operator keys where the strategy asks for their signatures, and only there. */
function requireOperators({ strategy }: ClusterDeclaration, { operators }: Genesis): void {
  if (strategy.attestation.requireOperatorSignature === operators.length > 0) return;
  throw new OperatorKeysError(strategy.name, operators.length);
}

/** What a node may propose that its token limits: no shift, no seal, and no token that would let others in without that limit. */
const openCommands: ReadonlySet<CommandKind> = new Set(["catalog", "leases", "cosignature"]);

/** A singleton's lease outlives so many election timeouts: an election is no reason to lose it. */
const dutyLeaseElections = 10;
const minDutyLeaseMs = 3_000;

/** Everything of a cluster that exists only while it runs. Built layer by layer; what is built is on the release stack. */
export class RunningCluster {
  readonly origin: ClusterOrigin;
  readonly store: MachineStore;
  readonly transport: Transport;
  readonly machine: ClusterMachine;
  readonly consensus: Consensus<Uint8Array, Uint8Array>;
  readonly membership: Membership;
  readonly directory: Directory;
  readonly loop: FormationLoop;
  /** What time it is for this node while it leads. */
  readonly time: ClockCheck;
  /** What the cluster is, as far as this node goes by it. */
  readonly inForce: InForce;
  readonly sealer: Sealer;
  readonly desk: OperatorDesk;
  readonly approvals: ApprovalDesk;
  readonly successions: SuccessionDesk;
  readonly proofs: AdmissionProofs;
  readonly archiver: ChainArchiver;
  readonly catalog: Catalog;
  readonly localFace: Face;
  readonly remoteFace: Face | undefined;
  readonly duties: Duties | undefined;
  /** What the layers were made with. */
  readonly #started: ClusterDeclaration;
  readonly #layers: ClusterLayers;
  readonly #logger: Logger;
  readonly #abort = new AbortController();
  #admittedGeneration = -1;
  #raisedFor = -1;

  static async start(
    declaration: ClusterDeclaration,
    layers: ClusterLayers,
    factory: FaceFactory,
    stack: ReleaseStack,
  ): Promise<RunningCluster> {
    const origin = await layers.origin();
    requireOperators(declaration, origin.genesis);
    const store = await layers.store();
    stack.push(() => store.close());
    const transport = await layers.transport();
    stack.push(() => transport.shutdown());
    const running = new RunningCluster({ declaration, layers, factory, origin, store, transport }, stack);
    await running.#startLayers(stack);
    return running;
  }

  private constructor(
    parts: {
      readonly declaration: ClusterDeclaration;
      readonly layers: ClusterLayers;
      readonly factory: FaceFactory;
      readonly origin: ClusterOrigin;
      readonly store: MachineStore;
      readonly transport: Transport;
    },
    stack: ReleaseStack,
  ) {
    const { declaration, layers, origin, store, transport } = parts;
    this.#started = declaration;
    this.#layers = layers;
    this.#logger = layers.logger ?? silentLogger;
    this.origin = origin;
    this.store = store;
    this.transport = transport;
    const catalogLayer = layers.catalog();
    const { attestor, clock } = layers;
    this.inForce = this.#createInForce();
    const { genesis } = origin;
    this.machine = new ClusterMachine({ store, attestor, clusterId: genesis.clusterId, catalog: catalogLayer.machine });
    this.consensus = layers.consensus({
      declaration,
      genesis,
      transport,
      founding: origin.founding,
      leaderHint: () => this.likelyLeader(),
      mayLead: (peer) => !this.#isLimited(peer),
      mayPropose: (peer, command) => openCommands.has(openEnvelope(command).kind) || !this.#isLimited(peer),
    });
    stack.push(() => this.consensus.shutdown());
    this.directory = this.#createDirectory();
    stack.push(() => this.directory.stop());
    this.membership = this.#createMembership();
    stack.push(() => this.membership.shutdown());
    this.sealer = this.#createSealer();
    stack.push(() => this.sealer.stop());
    const { directory } = this;
    this.time = this.#createClockCheck();
    stack.push(() => this.time.stop());
    this.loop = this.#createLoop();
    const tools = this.#operatorTools();
    const door = new Door({ ...tools, store, directory, genesis });
    stack.push(() => door.stop());
    const desk = { ...tools, leader: () => this.#leader() };
    this.desk = new OperatorDesk(desk);
    stack.push(() => this.desk.stop());
    this.approvals = new ApprovalDesk(desk);
    stack.push(() => this.approvals.stop());
    this.successions = new SuccessionDesk({ ...desk, directory });
    stack.push(() => this.successions.stop());
    this.archiver = this.#createArchiver();
    this.proofs = this.#createProofs();
    stack.push(() => this.proofs.stop());
    this.catalog = this.#createCatalog(catalogLayer, stack);
    this.localFace = parts.factory.create({
      face: declaration.face,
      catalog: this.catalog,
      formats: layers.formats,
      clock,
      logger: this.#logger,
    });
    stack.push(() => this.localFace[Symbol.asyncDispose]());
    this.remoteFace = layers.remoteFace?.({ transport, replicas: () => this.#replicas() });
    this.duties = this.#createDuties();
    const { remoteFace } = this;
    if (remoteFace !== undefined) stack.push(() => remoteFace[Symbol.asyncDispose]());
  }

  #createInForce(): InForce {
    const { attestor, declarations, onDeclared } = this.#layers;
    return new InForce({
      declaration: this.#started,
      understand: declarations ?? understandBuiltIn,
      attestor,
      logger: this.#logger,
      onAdopted: () => {
        // What was understood too late is for the next start.
        if (this.#abort.signal.aborted) return;
        say(this.membership, declaredKey, this.inForce.mark());
        onDeclared?.(this.inForce.current);
        this.loop.kick();
      },
    });
  }

  /** Settings of the strategy in force that this node takes up with its next start. */
  unadopted(): readonly string[] {
    return unadoptedSettings(this.#started, this.inForce.current);
  }

  #createDirectory(): Directory {
    const { attestor, clock, random } = this.#layers;
    const { transport, machine, store, origin } = this;
    return new Directory(
      {
        attestor,
        transport,
        machine,
        store,
        genesis: origin.genesis,
        recoveries: origin.recoveries ?? [],
        clock,
        random,
        logger: this.#logger,
        cadenceMs: () => this.inForce.current.strategy.reconciliationCadenceMs,
        isCurrent: () => this.holdsReplica() && this.consensus.status().quorum,
        onChange: () => this.#formationChanged(),
      },
      origin.chain,
    );
  }

  #createMembership(): Membership {
    const { origin, transport } = this;
    return this.#layers.membership({
      declaration: this.#started,
      genesis: origin.genesis,
      transport,
      keys: new Map([
        [memberKeys.storeId, origin.storeId],
        [memberKeys.zone, origin.zone],
        [memberKeys.version, origin.version],
        [declaredKey, this.inForce.mark()],
        ...(origin.upgradeVersion === undefined ? [] : [[memberKeys.upgradeVersion, origin.upgradeVersion] as const]),
      ]),
      isKnown: (id) => this.directory.isKnown(id),
      peers: () => [...this.directory.formation().nodes.keys()],
    });
  }

  #createSealer(): Sealer {
    const { attestor, clock } = this.#layers;
    const { transport, machine, store } = this;
    return new Sealer({
      attestor,
      transport,
      machine,
      store,
      propose: (command, options) => this.consensus.propose(command, options),
      clock,
      logger: this.#logger,
      signTimeoutMs: 4 * this.#started.strategy.consensus.electionTimeoutMs,
    });
  }

  #createClockCheck(): ClockCheck {
    const { clock, metrics = silentMetrics } = this.#layers;
    const { transport, consensus } = this;
    return new ClockCheck({ transport, consensus, clock, metrics, logger: this.#logger });
  }

  #createLoop(): FormationLoop {
    const { attestor, clock, policies } = this.#layers;
    const { inForce, consensus, membership, machine, store, sealer, time } = this;
    const layers = { attestor, consensus, membership, machine, store, sealer, clock, time };
    const parts = { ...layers, inForce, logger: this.#logger };
    return new FormationLoop({ ...parts, ...(policies === undefined ? {} : { policies }) });
  }

  #operatorTools(): OperatorTools & { readonly transport: Transport } {
    const { attestor, clock } = this.#layers;
    const { transport, consensus, membership, machine, loop, sealer, inForce } = this;
    return { attestor, transport, consensus, membership, machine, loop, sealer, inForce, clock, logger: this.#logger };
  }

  #leader(): NodeId | undefined {
    return this.consensus.status().leader ?? this.likelyLeader();
  }

  #createArchiver(): ChainArchiver {
    const { attestor, clock } = this.#layers;
    return new ChainArchiver({
      ...{ attestor, store: this.store, logger: this.#logger, machine: this.machine },
      propose: (command, options) => this.consensus.propose(command, options),
      holdsReplica: () => this.holdsReplica(),
      pause: () => new Promise<void>((resolve) => void clock.schedule(1, resolve)),
    });
  }

  #createProofs(): AdmissionProofs {
    const { clock, random, attestor } = this.#layers;
    const { transport, directory, origin } = this;
    return new AdmissionProofs({
      transport,
      directory,
      clusterId: origin.genesis.clusterId,
      clock,
      random,
      logger: this.#logger,
      cadenceMs: () => this.inForce.current.strategy.reconciliationCadenceMs,
      unheard: () => {
        const { members } = this.membership.view();
        return [...directory.formation().nodes.keys()].filter(
          (id) => id !== attestor.identity.id && members.get(id)?.status !== "alive",
        );
      },
      shows: () => this.holdsReplica(),
    });
  }

  /** Transport, then who is there, then who agrees, then genesis, then the loops, and the face last. */
  async #startLayers(stack: ReleaseStack): Promise<void> {
    const { transport, membership, consensus, machine, loop } = this;
    this.#formationChanged();
    await transport.start();
    await membership.start();
    void redialReturned({ membership, transport, logger: this.#logger, signal: this.#abort.signal });
    stack.push(
      transport.handle(protocols.depart, { onRequest: (payload, { peer }) => this.#departPeer(payload, peer) }),
    );
    stack.push(
      machine.onApplied(() => {
        this.#formationChanged();
        if (this.consensus.status().role === "leader") this.directory.announce();
      }),
    );
    stack.push(consensus.onChange((status) => this.#consensusChanged(status)));
    await consensus.start(machine);
    await this.#ensureGenesis();
    loop.start();
    stack.push(() => loop.stop());
    stack.push(this.#sealRegularly());
    stack.push(() => this.#abort.abort());
    await this.localFace.start();
    stack.push(() => this.localFace.shutdown());
    await this.remoteFace?.start();
    const withdraw = this.#layers.serveFace?.({ transport, face: this.localFace });
    if (withdraw !== undefined) stack.push(withdraw);
    this.duties?.start();
    stack.push(() => this.duties?.stop());
  }

  /** What masters do; nothing where the layers name no duties. */
  #createDuties(): Duties | undefined {
    const { duties, attestor, clock, metrics } = this.#layers;
    if (duties === undefined) return undefined;
    const { electionTimeoutMs } = this.#started.strategy.consensus;
    return new Duties({
      duties: [apiDuty(() => this.localFace), storeDuty(this.consensus), ...duties],
      node: attestor.identity.id,
      catalog: this.catalog,
      membership: this.membership,
      formation: () => this.directory.formation(),
      holdsReplica: () => this.holdsReplica(),
      chain: this.archiver,
      clock,
      logger: this.#logger,
      metrics,
      leaseTtlMs: Math.max(minDutyLeaseMs, dutyLeaseElections * electionTimeoutMs),
    });
  }

  /** A limit stays for as long as the node: this also holds where what is known here of the formation is old. */
  #isLimited(peer: NodeId): boolean {
    return this.directory.formation().nodes.get(peer)?.limitedTo !== undefined;
  }

  /** True where this node has a place in the log, and its log runs. */
  holdsReplica(): boolean {
    const status = this.consensus.status();
    return status.role !== "stopped" && hasPlace(status, this.directory.formation());
  }

  /** The face that can answer here: the local one over a replica, the remote one elsewhere. */
  face(): Face {
    return this.holdsReplica() || this.remoteFace === undefined ? this.localFace : this.remoteFace;
  }

  /**
   * Which other node leads by the word of gossip, and in which term; that may be an older one than the log's. Whether this node itself
   * leads, its log knows.
   */
  likelyLeadership(): { readonly leader: NodeId; readonly term: number } | undefined {
    const self = this.#layers.attestor.identity.id;
    let likely: { readonly leader: NodeId; readonly term: number } | undefined;
    for (const { id, status, keys } of this.membership.view().members.values()) {
      const said = keys.get(leadsKey);
      // Who led once says so with an empty text, and no term is 0.
      const term = said === undefined || said === "" ? 0 : Number(said);
      if (id === self || status !== "alive" || !Number.isSafeInteger(term) || term <= (likely?.term ?? 0)) continue;
      likely = { leader: id, term };
    }
    return likely;
  }

  likelyLeader(): NodeId | undefined {
    return this.likelyLeadership()?.leader;
  }

  /** Asks the leader to let this node go. Rejects with `CLUSTER_LEAVE_REFUSED` where its seat could not be given to anybody. */
  async depart(options: { readonly signal: AbortSignal }): Promise<void> {
    const self = this.#layers.attestor.identity.id;
    const status = this.consensus.status();
    if (status.role === "leader") {
      await this.#commitDepart(self);
      return;
    }
    const leader = this.#leader();
    if (leader === undefined)
      throw new CommandRefusedError("RAFT_NO_QUORUM", "no leader is known that could let this node go", {
        retryable: true,
      });
    try {
      await this.transport.request(leader, protocols.depart, encodeCanonical({ version: 1 }), options);
    } catch (error) {
      // A node without a seat may be let go faster than its answer travels: that nobody talks to it any more is the answer.
      if (!isFabricError(error, "TRANSPORT_CLOSED")) throw error;
    }
  }

  async #departPeer(payload: Uint8Array, peer: NodeId): Promise<Uint8Array> {
    decodeCanonical(payload, "depart");
    // Only oneself can be taken out like this: the peer is proven by its key.
    await this.#commitDepart(parseNodeId(peer));
    return encodeCanonical({ version: 1 });
  }

  async #commitDepart(node: NodeId): Promise<void> {
    const check = (): void => this.#requireStaying(node);
    await this.loop.commitAfterOthers([{ verb: "depart", node }], `${shortId(node)} asks to leave`, { check });
    this.loop.kick();
  }

  /** Asked anew where another command came first: that may have been somebody else who leaves. */
  #requireStaying(node: NodeId): void {
    const formation = this.machine.formation.state?.formation;
    const voters = formation === undefined ? [] : replicasOf(formation, "voter");
    const staying = [...(formation?.nodes ?? [])].filter(([id, record]) => id !== node && mayHoldSeat(record));
    if (voters.includes(node) && staying.length < voters.length) {
      throw new CommandRefusedError(
        "CLUSTER_LEAVE_REFUSED",
        `${shortId(node)} votes, and ${staying.length} other nodes cannot hold ${voters.length} seats`,
      );
    }
  }

  #createCatalog(layer: CatalogLayer, stack: ReleaseStack): Catalog {
    const { consensus, transport } = this;
    const catalog = layer.create({
      store: this.store,
      propose: async (command, { needs, ...options }) =>
        (await this.consensus.propose(sealEnvelope(needs ?? "catalog", command), options)).result,
      leadership: new LogLeadership({ consensus, transport, leader: () => this.#leader() }),
      readBarrier: async (options) => {
        await this.consensus.readBarrier(options);
      },
      ageMs: () => this.#ageMs(),
    });
    stack.push(() => catalog[Symbol.dispose]());
    stack.push(
      transport.handle(protocols.lease, {
        onRequest: (payload) => catalog.answerLease(payload, { signal: this.#abort.signal, timeoutMs: leaseAnswerMs }),
      }),
    );
    return catalog;
  }

  /** How long ago this replica last knew itself current. */
  #ageMs(): number {
    const status = this.consensus.status();
    return status.quorum ? 0 : status.quorumSinceMs;
  }

  #replicas(): readonly NodeId[] {
    const formation = this.directory.formation();
    const leader = this.likelyLeader();
    const self = this.#layers.attestor.identity.id;
    const replicas = [...replicasOf(formation, "voter"), ...replicasOf(formation, "learner")].filter(
      (id) => id !== self,
    );
    const { members } = this.membership.view();
    // The leader first, then masters that say that they answer, then whoever else has a replica.
    const place = (id: NodeId): number =>
      id === leader ? 0 : announcedDuties(members.get(id)?.keys).includes("api") ? 1 : 2;
    return replicas.toSorted((a, b) => place(a) - place(b));
  }

  /** The door follows the formation: who may speak, who is forgotten, and what to do when the formation thinks this node dead. */
  #formationChanged(): void {
    const formation = this.directory.formation();
    if (formation.generation === this.#admittedGeneration) return;
    this.inForce.follow(formation.declared);
    this.#admittedGeneration = formation.generation;
    this.transport.setAdmission((peer, channel) => channel === "join" || this.directory.isKnown(peer));
    for (const id of this.membership.view().members.keys()) {
      if (id !== this.#layers.attestor.identity.id && !formation.nodes.has(id)) this.membership.forget(id);
    }
    this.#answerEviction(formation);
    this.duties?.poke();
  }

  #answerEviction(formation: Formation): void {
    const self = this.#layers.attestor.identity.id;
    const record = formation.nodes.get(self);
    const own = this.membership.view().members.get(self);
    if (record?.state !== "failed" || own === undefined || this.#raisedFor === formation.generation) return;
    if (record.generation !== own.generation || own.incarnation > record.incarnation) return;
    this.#raisedFor = formation.generation;
    this.#logger.info("the formation took this node for dead; it says that it is not", {
      generation: formation.generation,
    });
    this.membership.raiseIncarnation();
  }

  #consensusChanged(status: ConsensusStatus): void {
    say(this.membership, leadsKey, status.role === "leader" ? String(status.term) : "");
  }

  /**
   * The founder's first command. A crash may come anywhere between the log's beginning and its commit: as long as the founder is
   * alone in the log and has applied none, genesis is proposed again, and refused where it was there.
   */
  async #ensureGenesis(): Promise<void> {
    const { genesis, founding } = this.origin;
    const { formation } = this.machine;
    const { id } = this.#layers.attestor.identity;
    if (genesis.founder !== id || formation.state !== undefined) return;
    const { voters, outgoing } = this.consensus.status().configuration;
    const isAlone = outgoing === undefined && voters.length === 1 && voters[0]?.id === id;
    if (!founding && !isAlone) return;
    const { electionTimeoutMs } = this.#started.strategy.consensus;
    const { result } = await this.consensus.propose(sealEnvelope("genesis", genesis.bytes), {
      timeoutMs: 20 * electionTimeoutMs + 5000,
    });
    try {
      openResult(result);
    } catch (error) {
      // It was in the log already, not applied yet when this was proposed.
      if (!isFabricError(error, "CLUSTER_GENESIS_EXISTS")) throw error;
    }
  }

  #sealRegularly(): () => void {
    const { clock } = this.#layers;
    let cancel = (): void => undefined;
    const schedule = (): void => {
      const { sealIntervalMs } = this.inForce.current.strategy.attestation;
      cancel = clock.schedule(sealIntervalMs, () => {
        void this.#sealOnce().finally(() => {
          if (!this.#abort.signal.aborted) schedule();
        });
      });
    };
    schedule();
    return () => cancel();
  }

  async #sealOnce(): Promise<void> {
    if (this.consensus.status().role !== "leader" || !this.sealer.isDue()) return;
    try {
      await this.sealer.seal({ signal: this.#abort.signal });
    } catch (error) {
      this.#logger.debug("the head is not sealed yet", { error: String(error) });
    }
  }
}
