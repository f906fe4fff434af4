import type { ClusterId, MembershipStrategy, MemberStatus, NodeId, SignatureVerifier } from "@revoada/fabric";
import { seededRandom, type SeededRandom } from "@revoada/fabric/memory";
import { decodeFrame, encodeFrame, type GossipCoreOptions, newsRounds } from "@revoada/membership-gossip/unstable/core";
import { Trace } from "../trace.ts";
import { Calendar } from "./calendar.ts";
import { GossipNode } from "./node.ts";
import { paperSignatures, SharedReader, type Signatures } from "./signatures.ts";
import { type GossipTotals, type GossipTraffic, noGossipTotals } from "./totals.ts";

const baseWallMs = 1_767_225_600_000;
const generation = Math.floor(baseWallMs / 1_000);
const clusterId = "c1".repeat(32) as ClusterId;

/** The frames of a world's links. */
export interface Weather {
  /** Probability that a frame is lost. */
  readonly loss: number;
  /** Probability that a one-way frame arrives twice. */
  readonly duplication: number;
  /** One way, drawn anew for each frame, so that frames overtake each other. */
  readonly latencyMs: readonly [least: number, most: number];
}

export const fairWeather: Weather = { loss: 0, duplication: 0, latencyMs: [1, 5] };

export interface GossipWorldOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly strategy?: MembershipStrategy;
  readonly zones?: number;
  /** Signatures that cost nothing unless told. */
  readonly signatures?: Signatures;
  /** One frame in so many is read from its bytes: each in a world of up to 200 nodes, else one in 64, unless told. */
  readonly readsEvery?: number;
}

/** A status that one node came to see of another. */
export interface GossipSighting {
  readonly atMs: number;
  readonly observer: number;
  readonly member: number;
  readonly status: MemberStatus;
}

/** Production cores of gossip over a virtual clock and network, up to thousands of them, all from one seed. */
export class GossipWorld {
  readonly calendar: Calendar = new Calendar();
  readonly strategy: MembershipStrategy;
  readonly random: SeededRandom;
  readonly zones: number;
  readonly wallMs: number = baseWallMs;
  readonly totals: GossipTotals = noGossipTotals();
  readonly traffic: GossipTraffic = { liveness: 0, state: 0 };
  readonly trace: Trace = new Trace();
  readonly nodes: GossipNode[] = [];
  /** Suspicions and deaths, as they were seen; cleared by whoever reads them. */
  readonly sightings: GossipSighting[] = [];
  /** Whom a node itself came to suspect or was told to knock at, and when; cleared by whoever reads them. */
  readonly accusations: Omit<GossipSighting, "status">[] = [];
  readonly refusals: Map<string, number> = new Map();
  readonly common: Pick<GossipCoreOptions, "verifier" | "clusterId" | "strategy" | "isKnown" | "reader">;
  readonly #signatures: Signatures;
  readonly #byId = new Map<NodeId, GossipNode>();
  readonly #cut = new Set<string>();
  /** Whom a node does not see alive, so that nobody has to look at a million of pairs. */
  readonly #doubted = new Map<GossipNode, Set<NodeId>>();
  readonly #network: SeededRandom;
  #starts = 0;
  weather: Weather = fairWeather;
  /** The largest frame that was ever sent, in bytes. */
  largestFrameBytes = 0;

  constructor(options: GossipWorldOptions) {
    this.random = seededRandom(options.seed);
    this.#network = this.random.fork("network");
    this.zones = options.zones ?? 3;
    this.strategy = options.strategy ?? {
      phiThreshold: 8,
      gossipCadenceMs: 100,
      failureDetectorTimeoutMs: 300,
      suspicionMs: 2_000,
    };
    this.#signatures = options.signatures ?? paperSignatures();
    const verifier: SignatureVerifier = this.#signatures.verifier;
    const { nodes, readsEvery = nodes <= 200 ? 1 : 64 } = options;
    const reader = new SharedReader(readsEvery);
    this.common = { verifier, clusterId, strategy: this.strategy, isKnown: undefined, reader };
    for (let number = 0; number < nodes; number++) this.#make(number, generation);
  }

  #make(number: number, ofGeneration: number): GossipNode {
    const identity = this.#signatures.identity(number);
    const seeds = number === 0 ? [] : [this.#signatures.identity(0).id];
    const node = new GossipNode(this, number, identity, ofGeneration, seeds);
    const before = this.nodes[number];
    if (before !== undefined) this.#doubted.delete(before);
    this.#doubted.set(node, new Set());
    this.nodes[number] = node;
    this.#byId.set(node.id, node);
    return node;
  }

  node(number: number): GossipNode {
    const node = this.nodes[number];
    if (node === undefined) throw new RangeError(`no node ${number}`);
    return node;
  }

  numberOf(id: NodeId): number {
    return this.#byId.get(id)?.number ?? -1;
  }

  isUp(id: NodeId): boolean {
    return this.#byId.get(id)?.isUp === true;
  }

  /** True where its process has gone, so that its host answers dials with a refusal. */
  refuses(id: NodeId): boolean {
    return this.#byId.get(id)?.isUp === false;
  }

  get living(): readonly GossipNode[] {
    return this.nodes.filter((node) => node.isUp);
  }

  // --- time -------------------------------------------------------------------------------------------------------------

  advance(byMs: number): void {
    for (const endMs = this.calendar.nowMs + byMs; this.calendar.nowMs < endMs;) this.calendar.step();
  }

  /** Lets time pass until it is so, looking every `everyMs`. How long that took, or undefined where it was not so in time. */
  until(isSo: () => boolean, withinMs: number, everyMs = 10): number | undefined {
    const beganMs = this.calendar.nowMs;
    while (!isSo()) {
      if (this.calendar.nowMs - beganMs >= withinMs) return undefined;
      this.advance(everyMs);
    }
    return this.calendar.nowMs - beganMs;
  }

  // --- nodes ------------------------------------------------------------------------------------------------------------

  /** Starts everybody at their own moment of the first cadence. */
  startAll(): void {
    for (const node of this.nodes) node.start(1 + this.random.below(this.strategy.gossipCadenceMs));
  }

  /** Lets everybody know everybody from the start, as if they had met long ago. */
  introduceAll(): void {
    const items = this.nodes.flatMap((node) => {
      const frame = decodeFrame(node.core.openRound(), clusterId);
      return frame.type === "open" ? frame.items : [];
    });
    let frames: Uint8Array[] = [];
    for (let first = 0; first < items.length; first += 50)
      frames.push(encodeFrame(clusterId, { type: "news", items: items.slice(first, first + 50) }));
    const introducer = this.node(0);
    for (const node of this.nodes) {
      for (const frame of frames) node.core.received(introducer.id, frame, node.now());
      // They met long ago: none of this is news any more.
      for (let round = 0; round < newsRounds(this.nodes.length); round++) node.core.round(node.now());
      node.core.takeEffects();
      // What the first has read comes out of the same bytes for the others as what it has made of them.
      if (node === introducer) frames = frames.map((frame) => frame.slice());
    }
  }

  /** SIGKILL: the kernel closes the connections of the process, and refuses new ones. */
  kill(number: number): void {
    const node = this.node(number);
    node.isUp = false;
    this.totals.kills += 1;
    this.trace.record(this.calendar.nowMs, String(number), "killed");
    for (const id of node.listeners) this.#byId.get(id)?.connectionClosed(node.id);
  }

  /** The same id starts again, with a newer generation and an empty memory. */
  restart(number: number): GossipNode {
    this.#starts += 1;
    this.totals.restarts += 1;
    const node = this.#make(number, generation + Math.floor(this.calendar.nowMs / 1_000) + this.#starts);
    node.start(1 + this.random.below(this.strategy.gossipCadenceMs));
    return node;
  }

  /** It says good-bye, waits a moment for those who hear it, and ends; its kernel closes the connections. */
  leave(number: number): void {
    const node = this.node(number);
    this.totals.leaves += 1;
    this.trace.record(this.calendar.nowMs, String(number), "leaves");
    const listeners = node.listeners;
    node.leave();
    this.calendar.after(farewellMs, () => {
      for (const id of listeners) this.#byId.get(id)?.connectionClosed(node.id);
    });
  }

  stall(number: number, durationMs: number): void {
    this.totals.stalls += 1;
    this.node(number).stall(durationMs);
  }

  // --- links ------------------------------------------------------------------------------------------------------------

  /** Nothing gets from one to the other any more. */
  cut(from: number, to: number): void {
    this.#cut.add(`${from}>${to}`);
  }

  split(left: readonly number[], right: readonly number[]): void {
    this.totals.partitions += 1;
    for (const one of left)
      for (const other of right) {
        this.cut(one, other);
        this.cut(other, one);
      }
  }

  heal(): void {
    this.#cut.clear();
  }

  #isLost(from: GossipNode, to: GossipNode): boolean {
    this.totals.frames += 1;
    const cut = this.#cut.size > 0 && this.#cut.has(`${from.number}>${to.number}`);
    const lost = cut || (this.weather.loss > 0 && this.#network.float() < this.weather.loss);
    if (lost) this.totals.lostFrames += 1;
    return lost;
  }

  #latencyMs(): number {
    const [least, most] = this.weather.latencyMs;
    return least + this.#network.below(most - least + 1);
  }

  #count(frame: Uint8Array, isState: boolean): void {
    this.traffic[isState ? "state" : "liveness"] += frame.length;
    if (frame.length > this.largestFrameBytes) this.largestFrameBytes = frame.length;
  }

  /** A one-way frame. */
  send(from: GossipNode, peer: NodeId, frame: Uint8Array): void {
    const to = this.#byId.get(peer);
    if (to === undefined) return;
    this.#count(frame, frame.length > livenessMaxBytes);
    if (this.#isLost(from, to)) return;
    const arrive = (): void => to.deliver(() => to.receive(from.id, frame));
    this.calendar.after(this.#latencyMs(), arrive);
    if (this.weather.duplication > 0 && this.#network.float() < this.weather.duplication) {
      this.totals.duplicatedFrames += 1;
      this.calendar.after(this.#latencyMs(), arrive);
    }
  }

  /** A request; where either way is lost nobody ever answers, and where nobody is there neither. */
  request(from: GossipNode, peer: NodeId, frame: Uint8Array, answered: (answer: Uint8Array) => void): void {
    const to = this.#byId.get(peer);
    if (to === undefined) return;
    this.#count(frame, true);
    if (this.#isLost(from, to)) return;
    this.calendar.after(this.#latencyMs(), () => {
      to.deliver(() => {
        const answer = to.answer(from.id, frame);
        if (answer === undefined) return;
        this.#count(answer, true);
        if (!this.#isLost(to, from)) this.calendar.after(this.#latencyMs(), () => from.deliver(() => answered(answer)));
      });
    });
  }

  // --- what is seen -----------------------------------------------------------------------------------------------------

  statusSeen(observer: GossipNode, id: NodeId, status: MemberStatus): void {
    if (status === "alive") this.#doubted.get(observer)?.delete(id);
    else this.#doubted.get(observer)?.add(id);
    if (status === "suspect") this.totals.suspicions += 1;
    if (status === "dead") this.totals.deaths += 1;
    if (status !== "suspect" && status !== "dead") return;
    const member = this.numberOf(id);
    this.sightings.push({ atMs: this.calendar.nowMs, observer: observer.number, member, status });
    this.trace.record(this.calendar.nowMs, String(observer.number), `sees ${member} ${status}`);
  }

  refused(_node: GossipNode, reason: string): void {
    this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1);
  }

  /** A node has come to suspect another itself, whatever others say. */
  suspected(observer: GossipNode, id: NodeId): void {
    this.accusations.push({ atMs: this.calendar.nowMs, observer: observer.number, member: this.numberOf(id) });
  }

  /** What `observer` sees of `member`. */
  sees(observer: number, member: number): MemberStatus | "unknown" {
    return this.node(observer).core.statusOf(this.node(member).id) ?? "unknown";
  }

  /** True where every living node sees `status` of each of `members`, itself left out. */
  allSee(members: readonly number[], status: MemberStatus | "unknown"): boolean {
    return this.living.every((node) =>
      members.every((member) => member === node.number || this.sees(node.number, member) === status),
    );
  }

  /** True where every living node sees every node alive. */
  get isWhole(): boolean {
    return this.living.every((node) => node.core.size >= this.nodes.length && this.#doubted.get(node)?.size === 0);
  }
}

/** How long those whom a leaving node tells have for their answers. */
const farewellMs = 30;
/** A beat and a request for beats are the only frames that are this small. */
const livenessMaxBytes = 80;
