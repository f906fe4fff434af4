import {
  isFabricError,
  replicasOf,
  shortId,
  type AppliedResource,
  type ApprovalStatement,
  type ArchivedSegment,
  type ArchiveOrder,
  type ChainHead,
  type FabricStrategy,
  type Face,
  type FaceFactory,
  type Formation,
  type FormationCommand,
  type JoinToken,
  type LimitedRole,
  type NodeId,
  type OperatorSignature,
  type ResourceList,
  type ResourceWatchEvent,
  type Revision,
  type StoredResource,
  type TokenRecord,
  type TopologyStrategy,
} from "@revoada/fabric";
import { ClusterBuilder } from "./builder.ts";
import { ClusterDeclaration } from "./declaration.ts";
import { deadlineOf, unlessAborted } from "./deadline.ts";
import { ClusterAlreadyStartedError, ClusterNotStartedError, CommandRefusedError, UnknownFaceError } from "./errors.ts";
import type { DutyReport } from "./duties/duties.ts";
import {
  describeHealth,
  findBrokenInvariant,
  type BrokenInvariant,
  type ClusterHealth,
  type HealthInput,
} from "./health.ts";
import { decisionOf, type Decision } from "./machine/decision.ts";
import { sealEnvelope } from "./machine/envelope.ts";
import { chainParts } from "./machine/kept-chain.ts";
import type { StateHash } from "./machine/machine.ts";
import type { CommittedShift } from "./machine/recent-shifts.ts";
import { openResult } from "./machine/result.ts";
import { checkLabel, encodeTokenCommand, listTokens, type TokenCommand } from "./machine/token-machine.ts";
import type { PendingApprovals } from "./operator/approvals.ts";
import type { ShiftOrder, ShiftOutcome } from "./operator/shift.ts";
import type { ClusterLayers } from "./parts.ts";
import { ReleaseStack } from "./release-stack.ts";
import { RunningCluster } from "./running.ts";

/** How long a new shape is given to stand unless told. */
const defaultSwitchMs = 60_000;

/** How often a leaving node looks whether it was let go. */
const leavePollMs = 50;

/**
 * Runs a declaration over the layers that it is given, on one node.
 *
 * Start and shutdown may alternate any number of times. The layers come up in order and the face last; the face goes down first. A
 * start that fails gives back what it had taken.
 *
 * @example
 * ```ts
 * await using cluster = await Cluster.builder().strategy(s).facePureRaft("raw").topology(t).layers(l).start();
 * await cluster.apply({ format: "yaml", body });
 * ```
 */
export class Cluster implements AsyncDisposable {
  #declaration: ClusterDeclaration;
  readonly #layers: ClusterLayers;
  #running: RunningCluster | undefined;
  #stack: ReleaseStack | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(declaration: ClusterDeclaration, layers: ClusterLayers) {
    this.#declaration = declaration;
    this.#layers = layers;
  }

  /** What it was made with, or what the cluster has committed since, as far as this node goes by it. */
  get declaration(): ClusterDeclaration {
    return this.#running?.inForce.current ?? this.#declaration;
  }

  static builder(): ClusterBuilder {
    return new ClusterBuilder((declaration, layers) => new Cluster(declaration, layers));
  }

  /** Constructs and starts in one step. */
  static async startWith(declaration: ClusterDeclaration, layers: ClusterLayers): Promise<Cluster> {
    const cluster = new Cluster(declaration, layers);
    await cluster.start();
    return cluster;
  }

  /** The declaration's id, before, during and after a run. */
  id(): string {
    return this.declaration.id();
  }

  isRunning(): boolean {
    return this.#running !== undefined;
  }

  /**
   * Starts every layer and then the face, after a shutdown that is still under way. Rejects with `CLUSTER_ALREADY_STARTED`,
   * `FACE_UNKNOWN_PROTOCOL`, or what a layer says; nothing is left running then.
   */
  async start(): Promise<void> {
    if (this.#running !== undefined || this.#starting !== undefined) throw new ClusterAlreadyStartedError(this.id());
    const { protocol } = this.declaration.face.kind;
    const factory = this.#layers.faces.find((face) => face.protocol === protocol);
    if (factory === undefined)
      throw new UnknownFaceError(
        protocol,
        this.#layers.faces.map((face) => face.protocol),
      );
    this.#starting = this.#start(factory).finally(() => {
      this.#starting = undefined;
    });
    await this.#starting;
  }

  async #start(factory: FaceFactory): Promise<void> {
    await this.#stopping?.catch(() => undefined);
    const stack = new ReleaseStack();
    try {
      this.#running = await RunningCluster.start(this.declaration, this.#layers, factory, stack);
      this.#stack = stack;
    } catch (error) {
      // The cause matters more than what went wrong while cleaning up after it.
      await stack.release().catch(() => undefined);
      throw error;
    }
  }

  /** Stops the face and then the layers. Rejects with `CLUSTER_NOT_STARTED`. The node keeps its seat. */
  async shutdown(): Promise<void> {
    const stack = this.#stack;
    if (this.#running === undefined || stack === undefined) throw new ClusterNotStartedError(this.id());
    this.#declaration = this.declaration;
    this.#running = undefined;
    this.#stack = undefined;
    this.#stopping = stack.release().finally(() => {
      this.#stopping = undefined;
    });
    await this.#stopping;
  }

  /** Safe at any time: waits for a start or a shutdown that is under way, and leaves nothing running. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#starting?.catch(() => undefined);
    if (this.#running !== undefined) await this.shutdown();
    else await this.#stopping;
  }

  /** The face that answers here. Throws `CLUSTER_NOT_STARTED`. */
  face(): Face {
    return this.#require().face();
  }

  apply(...input: Parameters<Face["apply"]>): Promise<readonly AppliedResource[]> {
    return this.#on((face) => face.apply(...input));
  }

  get(...input: Parameters<Face["get"]>): Promise<StoredResource> {
    return this.#on((face) => face.get(...input));
  }

  list(...input: Parameters<Face["list"]>): Promise<ResourceList> {
    return this.#on((face) => face.list(...input));
  }

  delete(...input: Parameters<Face["delete"]>): Promise<{ readonly revision: Revision }> {
    return this.#on((face) => face.delete(...input));
  }

  watch(...input: Parameters<Face["watch"]>): AsyncIterable<ResourceWatchEvent> {
    return this.face().watch(...input);
  }

  snapshot(...input: Parameters<Face["snapshot"]>): AsyncIterable<Uint8Array> {
    return this.face().snapshot(...input);
  }

  restore(...input: Parameters<Face["restore"]>): Promise<Revision> {
    return this.#on((face) => face.restore(...input));
  }

  /** Everything that the layers say of themselves, as plain data. */
  health(): ClusterHealth {
    return describeHealth(this.#healthInput());
  }

  /** The first invariant that does not hold here, or undefined. */
  check(): BrokenInvariant | undefined {
    return findBrokenInvariant(this.#healthInput());
  }

  /** Who is who, as this node can prove it. */
  formation(): Formation {
    return this.#require().directory.formation();
  }

  /** The duties of this cluster's masters, as this node sees them: what it does itself, and who does what. Empty where there are none. */
  duties(): readonly DutyReport[] {
    return this.#require().duties?.report() ?? [];
  }

  /** The layers of a running cluster, for those who show or serve them. */
  running(): RunningCluster {
    return this.#require();
  }

  /** The hash of the replicated state and the index that it is of. */
  stateHash(): Promise<StateHash> {
    return this.#require().machine.stateHash();
  }

  /** Why a command of the chain was made, as far as this node keeps that: replicas do, for the last 4,096 generations. */
  decisionOf(command: Pick<FormationCommand, "baseGeneration" | "decisionHash">): Decision | undefined {
    const { store } = this.#view();
    return decisionOf(store, command, (bytes) => this.#layers.attestor.hash(bytes));
  }

  /** The chain as a file that can be verified offline. */
  exportChain(): Uint8Array {
    return this.#layers.attestor.exportChain(this.chainParts());
  }

  /**
   * Genesis, blocks, seals and cosignatures: all that is committed on a replica; elsewhere the sealed part, without cosignatures. Where blocks were
   * archived and dropped, hops and a checkpoint stand in their place.
   */
  chainParts(): {
    readonly genesis: Uint8Array;
    readonly base?: { readonly hops: readonly Uint8Array[]; readonly checkpoint: Uint8Array };
    readonly blocks: readonly Uint8Array[];
    readonly seals: readonly Uint8Array[];
    readonly cosignatures?: readonly Uint8Array[];
  } {
    const { machine, store, origin, directory, holdsReplica } = this.#view();
    return holdsReplica && machine.formation.state !== undefined
      ? { genesis: origin.genesis.bytes, ...chainParts(store) }
      : directory.parts();
  }

  /**
   * Makes a join token: the secret for the newcomer, its public half committed. `label` is what `tokens` shows it as; `limitedTo` is the
   * only role that whoever it lets in may ever be given; `material`, 48 secret bytes, makes a token that others who hold them can make
   * too. Random unless told.
   */
  async createToken(options: {
    readonly ttlMs: number;
    readonly uses: number;
    readonly label?: string;
    readonly limitedTo?: LimitedRole;
    readonly material?: Uint8Array;
    readonly signal?: AbortSignal;
  }): Promise<JoinToken> {
    const { attestor, clock, random } = this.#layers;
    const { label, limitedTo } = options;
    if (label !== undefined) checkLabel(label);
    const running = this.#require();
    const { state } = running.machine.formation;
    const members = [...running.membership.view().members.values()].filter((member) => member.status === "alive");
    const voters = replicasOf(this.formation(), "voter");
    const { token, record } = attestor.createToken({
      clusterId: running.origin.genesis.clusterId,
      addresses: members
        .filter(({ id }) => voters.includes(id))
        .flatMap(({ addresses }) => addresses)
        .slice(0, 16),
      voters: voters.slice(0, 9),
      // Its end is judged by committed time, which a leader whose clock was ahead may have moved on.
      expiresMs: Math.max(Math.floor(clock.wallMs()), state?.timeMs ?? 0) + options.ttlMs,
      uses: options.uses,
      random: options.material ?? random.bytes(48),
      recoveries: (state?.recoveries ?? []).map(({ hash }) => hash),
    });
    const kept: TokenRecord = {
      ...record,
      ...(label === undefined ? {} : { label }),
      ...(limitedTo === undefined ? {} : { limitedTo }),
    };
    await this.#changeTokens({ version: 1, type: "create", record: kept }, options);
    return token;
  }

  /** The tokens that are kept, as of now: public halves, expiry, uses left. Needs a replica here. */
  async tokens(options: { readonly signal?: AbortSignal } = {}): Promise<readonly TokenRecord[]> {
    const { consensus, store } = this.#require();
    await consensus.readBarrier(options);
    return listTokens(store);
  }

  /** Ends a token: it lets nobody in from the commit on. Rejects with `TOKEN_REFUSED` where there is none of that id. */
  async revokeToken(tokenId: string, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.#changeTokens({ version: 1, type: "revoke", tokenId }, options);
  }

  async #changeTokens(command: TokenCommand, { signal }: { readonly signal?: AbortSignal }): Promise<void> {
    const { consensus } = this.#require();
    const envelope = sealEnvelope("token", encodeTokenCommand(command));
    openResult((await consensus.propose(envelope, signal === undefined ? {} : { signal })).result);
  }

  /**
   * Takes a node out for ever: its seat goes to another first, then its key is refused by every node that learns of it. Resolves
   * once that is committed and sealed. Rejects with `CLUSTER_UNKNOWN_NODE`, `CLUSTER_REMOVE_REFUSED`, or `CLUSTER_REMOVE_TIMEOUT`
   * where the others did not get that far: how far they got shows in the formation.
   */
  async remove(node: NodeId, options: { readonly timeoutMs: number }): Promise<void> {
    const { desk } = this.#require();
    await this.#withinTime(options, (signal) => desk.remove(node, { signal }), {
      code: "CLUSTER_REMOVE_TIMEOUT",
      message: `${shortId(node)} was not removed`,
    });
  }

  /**
   * Has `successor` committed as this node's next key, signed by the one that it has: the node is then to be started anew under it,
   * over the same store, and takes its own place. Asking again does no harm. Rejects with `CLUSTER_ROTATE_REFUSED` where the others
   * could not agree without this node meanwhile, or `CLUSTER_ROTATE_TIMEOUT`.
   */
  async nameSuccessor(successor: NodeId, options: { readonly timeoutMs: number }): Promise<void> {
    const { successions } = this.#require();
    await this.#withinTime(options, (signal) => successions.name(successor, signal), {
      code: "CLUSTER_ROTATE_TIMEOUT",
      message: `${shortId(successor)} was not committed as the next key`,
    });
  }

  /**
   * Gives this node's place up: hands leadership and seat over and waits until the formation has let it go. The cluster still has
   * to be shut down. Rejects with `CLUSTER_LEAVE_REFUSED`, or `CLUSTER_LEAVE_TIMEOUT` where the others did not get that far.
   */
  async leave(options: { readonly timeoutMs: number }): Promise<void> {
    const running = this.#require();
    const self = this.#layers.attestor.identity.id;
    const { clock } = this.#layers;
    const { signal, clear } = deadlineOf(
      clock,
      options.timeoutMs,
      () =>
        new CommandRefusedError(
          "CLUSTER_LEAVE_TIMEOUT",
          `${shortId(self)} is still in the formation after ${options.timeoutMs} ms`,
          { retryable: true },
        ),
    );
    try {
      await unlessAborted(running.depart({ signal }), signal);
      while (running.directory.isKnown(self)) {
        await unlessAborted(new Promise<void>((resolve) => void clock.schedule(leavePollMs, resolve)), signal);
        // Once out of the log this node hears of its own release only from the chain that others show to it, from their silence, or
        // from a closed door: those who applied the release no longer talk to this node.
        const isTurnedAway = await unlessAborted(
          running.directory.refresh().then(
            () => false,
            (error: unknown) => isFabricError(error, "TRANSPORT_NOT_ADMITTED"),
          ),
          signal,
        );
        if (isTurnedAway || this.#released(running, self)) break;
      }
    } finally {
      clear();
    }
    await running.membership.leave({ timeoutMs: Math.min(options.timeoutMs, 1000) });
  }

  /**
   * Asks for a shift of one node by an operator's word, or, with `dryRun`, what it would be. Rejects with `CLUSTER_SHIFT_REFUSED`
   * where a vote would be lost that nobody living could cast instead, `CLUSTER_UNKNOWN_NODE`, `TOPOLOGY_ILLEGAL_TRANSITION`, or
   * `RAFT_NO_QUORUM` where nobody decided in time.
   */
  async shift(order: ShiftOrder, options: { readonly timeoutMs: number }): Promise<ShiftOutcome> {
    const { desk } = this.#require();
    return this.#withinTime(options, (signal) => desk.shift(order, { signal }));
  }

  /**
   * Asks for another declaration by an operator's word, made of the one in force and what is given, or, with `dryRun`, whether it would be
   * committed. Resolves once it is; {@link health} says what the new shape still lacks, and a leader takes it back where it does not stand
   * `withinMs` later (1 minute unless told, counted anew by a new leader).
   *
   * Throws what {@link ClusterDeclaration.create} throws. Rejects with `CLUSTER_SWITCH_REFUSED` where another switch is under way, where too
   * few nodes are there, or where something would change that does not while a cluster lives; with what the leader says of a topology that it
   * does not know; or with `RAFT_NO_QUORUM` where nobody decided in time.
   */
  async switchTo(
    wanted: { readonly strategy?: FabricStrategy; readonly topology?: TopologyStrategy },
    options: { readonly withinMs?: number; readonly timeoutMs: number; readonly dryRun?: boolean },
  ): Promise<ShiftOutcome> {
    const { desk } = this.#require();
    const { strategy, face, topology } = this.declaration;
    const next = ClusterDeclaration.create(wanted.strategy ?? strategy, face, wanted.topology ?? topology);
    const { withinMs = defaultSwitchMs, timeoutMs, dryRun = false } = options;
    const order = { declaration: next.encode(), withinMs, dryRun };
    return this.#withinTime({ timeoutMs }, (signal) => desk.switch(order, { signal }));
  }

  /**
   * What waits for an operator's signature: shifts that no failure forces, and blocks that no operator vouches for yet. Rejects with
   * `CLUSTER_NO_OPERATORS` where the cluster was founded without operator keys, or `RAFT_NO_QUORUM`.
   */
  pending(options: { readonly timeoutMs: number }): Promise<PendingApprovals> {
    return this.#withinTime(options, (signal) => this.#require().approvals.pending({ signal }));
  }

  /** How many shifts this leader has wait for an operator's approval; undefined elsewhere, and where there are no operator keys. */
  waitingShifts(): number | undefined {
    const { consensus, machine, loop } = this.#require();
    const { state } = machine.formation;
    if (state?.formation.operators === undefined || consensus.status().role !== "leader") return undefined;
    return loop.waiting(state).length;
  }

  /**
   * Has a shift committed that an operator approves of; resolves with the generation after it. Rejects with `TOPOLOGY_NOT_AN_OPERATOR`;
   * with `CHAIN_OTHER_APPROVAL` where the signature is of something else, or the chain has gone on meanwhile; or as {@link shift} does.
   */
  approve(
    statement: ApprovalStatement,
    approval: OperatorSignature,
    options: { readonly timeoutMs: number },
  ): Promise<number> {
    return this.#withinTime(options, (signal) => this.#require().approvals.approve(statement, approval, { signal }));
  }

  /** Has an operator key wait to be enrolled or revoked. Rejects with `CLUSTER_AWAITS_OPERATOR` once it does. */
  orderKey(verb: "enrol" | "revoke", key: NodeId, options: { readonly timeoutMs: number }): Promise<number> {
    return this.#withinTime(options, (signal) => this.#require().approvals.order(verb, key, { signal }));
  }

  /**
   * Commits an operator's signature under a sealed head: canonical bytes of a cosignature. Needs a replica here. Rejects with
   * `TOPOLOGY_NOT_AN_OPERATOR`, `CHAIN_OTHER_HEAD`, `CHAIN_ALREADY_SIGNED` or `CHAIN_INVALID`.
   */
  async cosign(cosignature: Uint8Array, options: { readonly timeoutMs: number }): Promise<void> {
    const { result } = await this.#require().consensus.propose(sealEnvelope("cosignature", cosignature), options);
    openResult(result);
  }

  /**
   * Puts the next segment of the sealed chain away and has the cluster drop it. Resolves with undefined where too few blocks may be put away. Needs a
   * replica here. Rejects with what the sink says, `CHAIN_ARCHIVE_BROKEN` or `CHAIN_DROP_REFUSED`; nothing was dropped then.
   */
  archive(order: ArchiveOrder, options: { readonly signal: AbortSignal }): Promise<ArchivedSegment | undefined> {
    return this.#require().archiver.archive(order, options);
  }

  /** The shifts above a generation that were committed while this process ran, as far as they are remembered (1,024), in order. */
  shiftsAbove(generation: number): readonly CommittedShift[] {
    return this.#require().machine.formation.shiftsAbove(generation);
  }

  /** Hands leadership to the best caught-up voter where this node leads; resolves with who it was. */
  async handOver(options: { readonly timeoutMs: number }): Promise<NodeId | undefined> {
    const { consensus, directory } = this.#require();
    const status = consensus.status();
    if (status.role !== "leader") return undefined;
    const formation = directory.formation();
    const heirs = [...status.progress]
      .filter(([id]) => formation.nodes.get(id)?.replica === "voter" && formation.nodes.get(id)?.state === "active")
      .toSorted(([, a], [, b]) => b.matchIndex - a.matchIndex || a.silentMs - b.silentMs);
    const heir = heirs[0]?.[0];
    if (heir !== undefined) await consensus.transferLeadership(heir, options);
    return heir;
  }

  /** The chain's head, the highest sealed one, and, where operators sign, the highest that one of them vouches for. */
  chainHeads():
    | { readonly head: ChainHead; readonly sealed: ChainHead; readonly operatorSigned?: ChainHead }
    | undefined {
    const state = this.#require().machine.formation.state;
    if (state === undefined) return undefined;
    const { head, sealed, operatorSigned, formation } = state;
    return formation.operators === undefined ? { head, sealed } : { head, sealed, operatorSigned };
  }

  #released(running: RunningCluster, self: NodeId): boolean {
    const view = running.membership.view();
    const { role } = running.consensus.status();
    return (
      role === "outsider" &&
      [...view.members.values()].every((member) => member.id === self || member.status !== "alive")
    );
  }

  #view() {
    const running = this.#require();
    const { machine, store, origin, directory } = running;
    return { machine, store, origin, directory, holdsReplica: running.holdsReplica() };
  }

  #healthInput(): HealthInput {
    const running = this.#require();
    return {
      declaration: this.declaration,
      node: this.#layers.attestor.identity.id,
      clusterId: running.origin.genesis.clusterId,
      running: true,
      face: running.face(),
      status: running.consensus.status(),
      view: running.membership.view(),
      formation: running.directory.formation(),
      state: running.machine.formation.state,
      inForce: running.inForce,
      unadopted: running.unadopted(),
      clock: running.time.verdict(),
    };
  }

  #require(): RunningCluster {
    if (this.#running === undefined) throw new ClusterNotStartedError(this.id());
    return this.#running;
  }

  /** What others are asked to do, for so long. Rejects with `late`, which is `RAFT_NO_QUORUM` unless told. */
  async #withinTime<T>(
    { timeoutMs }: { readonly timeoutMs: number },
    work: (signal: AbortSignal) => Promise<T>,
    late: { readonly code: string; readonly message: string } = { code: "RAFT_NO_QUORUM", message: "nobody decided" },
  ): Promise<T> {
    const { signal, clear } = deadlineOf(
      this.#layers.clock,
      timeoutMs,
      () => new CommandRefusedError(late.code, `${late.message} within ${timeoutMs} ms`, { retryable: true }),
    );
    try {
      return await unlessAborted(work(signal), signal);
    } finally {
      clear();
    }
  }

  /** So that a call on a stopped cluster rejects, as every other failure does. */
  async #on<T>(call: (face: Face) => Promise<T>): Promise<T> {
    return call(this.face());
  }
}
