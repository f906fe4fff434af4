import {
  type Address,
  FabricError,
  type LocalHealth,
  type Member,
  type Membership,
  type MembershipChange,
  type MembershipView,
  type MemberStatus,
  type NodeId,
} from "@revoada/fabric";
import type { VirtualClock } from "@revoada/fabric/memory";

/** Ways in which the reference can be broken on purpose. */
export type MembershipDefect =
  | "hears nothing that others say"
  | "shows views that change"
  | "takes any key"
  | "measures values in characters"
  | "begins streams without a snapshot"
  | "keeps a backlog"
  | "kills in silence without suspecting"
  | "calls silence closed"
  | "accuses bystanders"
  | "never forgives"
  | "takes leaving for death"
  | "keeps what a former life said"
  | "keeps no graves"
  | "raises everybody's incarnation"
  | "suspects strangers"
  | "believes itself unfit"
  | "streams on after its end"
  | "knows no addresses";

const cadenceMs = 100;
const suspectAfterMs = 800;
const suspicionMs = 2000;
const maxQueued = 100;

interface Stream {
  readonly queue: MembershipChange[];
  wake: () => void;
}

/** Where the memberships of a fixture meet: it hands their words round, and knows who is cut off. */
export class Gossip {
  readonly clock: VirtualClock;
  readonly running: Map<NodeId, MemoryMembership> = new Map();
  readonly silenced: Set<NodeId> = new Set();
  /** Last words of those who left. */
  readonly left: Map<NodeId, number> = new Map();
  #over = false;

  constructor(clock: VirtualClock) {
    this.clock = clock;
    this.#tick();
  }

  stop(): void {
    this.#over = true;
  }

  connected(one: NodeId, other: NodeId): boolean {
    return !this.silenced.has(one) && !this.silenced.has(other);
  }

  #tick(): void {
    if (this.#over) return;
    for (const membership of this.running.values()) membership.round();
    this.clock.schedule(cadenceMs, () => this.#tick());
  }
}

/** The smallest membership that keeps the contract. Everybody hears everybody once in a round. */
export class MemoryMembership implements Membership {
  readonly #gossip: Gossip;
  readonly #self: NodeId;
  readonly #defect: MembershipDefect | undefined;
  #members = new Map<NodeId, Member>();
  readonly #heardMs = new Map<NodeId, number>();
  readonly #graves = new Map<NodeId, number>();
  readonly #firstLives = new Map<NodeId, number>();
  readonly #streams = new Set<Stream>();
  #isOver = false;
  #view: MembershipView | undefined;

  constructor(gossip: Gossip, self: NodeId, generation: number, defect?: MembershipDefect) {
    this.#gossip = gossip;
    this.#self = self;
    this.#defect = defect;
    const addresses: readonly Address[] = defect === "knows no addresses" ? [] : [`${self}.memory:1`];
    this.#members.set(self, {
      id: self,
      status: "alive",
      generation,
      incarnation: 0,
      addresses,
      keys: new Map(),
      statusSinceMs: 0,
    });
  }

  async start(): Promise<void> {
    this.#gossip.running.set(this.#self, this);
    this.#gossip.left.delete(this.#self);
  }

  view(): MembershipView {
    const members = this.#defect === "shows views that change" ? this.#members : new Map(this.#members);
    this.#view ??= { self: this.#self, members };
    return this.#view;
  }

  async *changes({ signal }: { readonly signal: AbortSignal }): AsyncGenerator<MembershipChange> {
    const stream: Stream = { queue: [{ type: "snapshot", view: this.view() }], wake: () => {} };
    if (this.#defect === "begins streams without a snapshot") stream.queue.length = 0;
    const wake = (): void => stream.wake();
    signal.addEventListener("abort", wake);
    this.#streams.add(stream);
    try {
      while (!signal.aborted && (!this.#isOver || this.#defect === "streams on after its end")) {
        const next = stream.queue.shift();
        if (next !== undefined) yield next;
        else await new Promise<void>((resolve) => Object.assign(stream, { wake: resolve }));
      }
    } finally {
      this.#streams.delete(stream);
      signal.removeEventListener("abort", wake);
    }
  }

  set(key: string, value: string): void {
    const bytes =
      this.#defect === "measures values in characters" ? value.length : new TextEncoder().encode(value).length;
    const fits = /^[a-z0-9.-]{1,64}$/.test(key) && bytes <= 512;
    if (!fits && this.#defect !== "takes any key") throw new FabricError("MEMBERSHIP_QUOTA", `${key}: ${bytes} bytes`);
    const own = this.#own();
    if (this.#defect === "shows views that change") (own.keys as Map<string, string>).set(key, value);
    this.#put({ ...own, keys: new Map([...own.keys, [key, value]]) });
  }

  phi(id: NodeId): number {
    const heardMs = this.#heardMs.get(id);
    if (heardMs === undefined) return this.#defect === "suspects strangers" && id !== this.#self ? 1 : 0;
    return (this.#gossip.clock.monotonicMs() - heardMs) / cadenceMs;
  }

  health(): LocalHealth {
    return { score: 0, lastStallMs: 0, frozen: this.#defect === "believes itself unfit" };
  }

  raiseIncarnation(): void {
    const own = this.#own();
    this.#put({ ...own, incarnation: own.incarnation + 1 });
    if (this.#defect !== "raises everybody's incarnation") return;
    for (const member of this.#members.values()) {
      if (member.id !== this.#self) this.#put({ ...member, incarnation: member.incarnation + 1 });
    }
  }

  async leave(): Promise<void> {
    this.#gossip.left.set(this.#self, this.#own().generation);
  }

  forget(id: NodeId): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    if (this.#defect !== "keeps no graves") this.#graves.set(id, member.generation);
    this.#members.delete(id);
    this.#tell({ type: "forgotten", id });
  }

  async shutdown(): Promise<void> {
    this.#isOver = true;
    if (this.#gossip.running.get(this.#self) === this) this.#gossip.running.delete(this.#self);
    for (const { wake } of this.#streams) wake();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** Hears everybody who can be heard, and judges the others. */
  round(): void {
    const nowMs = this.#gossip.clock.monotonicMs();
    for (const [id, peer] of this.#gossip.running) {
      if (id === this.#self || !this.#gossip.connected(this.#self, id)) continue;
      this.#hear(peer.#own(), nowMs);
      for (const news of peer.#members.values()) this.#relayed(news);
    }
    for (const member of [...this.#members.values()]) if (member.id !== this.#self) this.#judge(member, nowMs);
  }

  #own(): Member {
    return this.#members.get(this.#self) as Member;
  }

  #hear(said: Member, nowMs: number): void {
    if (said.generation <= (this.#graves.get(said.id) ?? -1)) return;
    this.#heardMs.set(said.id, nowMs);
    const known = this.#members.get(said.id);
    if (known?.status === "dead" && this.#defect === "never forgives") return;
    const deaf = this.#defect === "hears nothing that others say" && known !== undefined;
    const firstLife = this.#firstLives.get(said.id) ?? said.generation;
    this.#firstLives.set(said.id, firstLife);
    const former =
      this.#defect === "keeps what a former life said" && known !== undefined && firstLife < said.generation;
    const keys = deaf || former ? known.keys : said.keys;
    const incarnation = Math.max(said.incarnation, known?.generation === said.generation ? known.incarnation : 0);
    const { evidence: _evidence, ...rest } = said;
    const next: Member = {
      ...rest,
      status: "alive",
      keys,
      incarnation,
      statusSinceMs: known?.status === "alive" ? known.statusSinceMs : nowMs,
    };
    const same =
      known?.status === "alive" &&
      known.keys === keys &&
      known.incarnation === incarnation &&
      known.generation === said.generation;
    if (!same) this.#put(next);
  }

  /** What others tell of somebody whom this node does not know. */
  #relayed(news: Member): void {
    if (this.#members.has(news.id) || news.generation <= (this.#graves.get(news.id) ?? -1)) return;
    this.#put(news);
  }

  #judge(member: Member, nowMs: number): void {
    const { id, generation } = member;
    const reachable = this.#gossip.connected(this.#self, id);
    if (this.#gossip.left.get(id) === generation && reachable) {
      return this.#become(member, this.#defect === "takes leaving for death" ? "dead" : "left", nowMs);
    }
    if (this.#gossip.running.has(id) && reachable) return;
    if (member.status === "dead" || member.status === "left") return;
    if (reachable) return this.#accuse(member, nowMs);
    const silentMs = nowMs - (this.#heardMs.get(id) ?? nowMs);
    if (silentMs > suspectAfterMs + suspicionMs) this.#become(member, "dead", nowMs, "silent");
    else if (silentMs > suspectAfterMs) {
      if (this.#defect === "kills in silence without suspecting") this.#become(member, "dead", nowMs, "silent");
      else this.#become(member, "suspect", nowMs);
    }
  }

  #accuse(member: Member, nowMs: number): void {
    this.#become(member, "dead", nowMs, "closed");
    if (this.#defect !== "accuses bystanders") return;
    const bystander = [...this.#members.values()].find(({ id, status }) => id !== this.#self && status === "alive");
    if (bystander !== undefined) this.#become(bystander, "suspect", nowMs);
  }

  #become(member: Member, status: MemberStatus, nowMs: number, evidence?: "closed" | "silent"): void {
    if (member.status === status) return;
    const { evidence: _former, ...rest } = member;
    const said = this.#defect === "calls silence closed" && evidence === "silent" ? "closed" : evidence;
    this.#put({ ...rest, status, statusSinceMs: nowMs, ...(said === undefined ? {} : { evidence: said }) });
  }

  #put(member: Member): void {
    this.#members.set(member.id, member);
    this.#tell({ type: "changed", member });
  }

  #tell(change: MembershipChange): void {
    if (this.#defect !== "shows views that change") this.#view = undefined;
    for (const stream of this.#streams) {
      stream.queue.push(change);
      if (stream.queue.length > maxQueued && this.#defect !== "keeps a backlog") {
        stream.queue.splice(0, Number.POSITIVE_INFINITY, { type: "snapshot", view: this.view() });
      }
      stream.wake();
    }
  }
}
