import type { MemberStatus, Membership, MembershipStrategy, NodeId, Transport } from "@revoada/fabric";
import {
  memoryAddress,
  memoryNetwork,
  type MemoryNetwork,
  seededRandom,
  type VirtualHost,
  virtualClock,
  type VirtualClock,
} from "@revoada/fabric/memory";
import { gossipMembership, type SeedHint } from "@revoada/membership-gossip";
import { homelab } from "./cores.ts";
import { clusterId, CountingVerifier, identityOf } from "./identities.ts";

export interface StartOptions {
  /** Numbers of the nodes that are given as seeds; node 0 unless told. */
  readonly seeds?: readonly number[];
  readonly generation?: number;
  readonly keys?: Readonly<Record<string, string>>;
}

/** One status that one node came to see. */
export interface Sighting {
  readonly atMs: number;
  readonly observer: number;
  readonly member: number;
  readonly status: MemberStatus | "forgotten";
  readonly evidence: string | undefined;
}

export interface WorldNode {
  readonly number: number;
  readonly id: NodeId;
  readonly host: VirtualHost;
  readonly transport: Transport;
  readonly membership: Membership;
  readonly counts: Map<string, number>;
}

/** Nodes with the production driver over a virtual clock and an in-memory network, all from one seed. */
export class World implements AsyncDisposable {
  readonly clock: VirtualClock = virtualClock();
  readonly network: MemoryNetwork;
  readonly nodes = new Map<number, WorldNode>();
  readonly sightings: Sighting[] = [];
  readonly strategy: MembershipStrategy;
  readonly #random;
  readonly #numbers = new Map<NodeId, number>();
  readonly #deaf = new Set<string>();
  #loss = 0;
  #starts = 0;
  readonly #stop = new AbortController();

  constructor(seed: number, strategy: MembershipStrategy = homelab) {
    this.strategy = strategy;
    this.#random = seededRandom(seed);
    this.network = memoryNetwork({ clock: this.clock, random: this.#random, latencyMs: 1, directory: false });
    this.network.shape(({ from, to }) => {
      const deaf = this.#deaf.has(`${from}>${to}`);
      return { drop: deaf || (this.#loss > 0 && this.#random.float() < this.#loss) };
    });
  }

  async start(number: number, options: StartOptions = {}): Promise<WorldNode> {
    const identity = identityOf(number);
    const host = this.clock.host(`node-${number}`);
    this.#numbers.set(identity.id, number);
    const transport = this.network.transport(identity.id, { clock: host });
    await transport.start();
    const counts = new Map<string, number>();
    const membership = gossipMembership({
      identity,
      verifier: new CountingVerifier(),
      transport,
      clock: host,
      random: this.#random,
      clusterId,
      strategy: this.strategy,
      generation: options.generation ?? Math.floor(host.wallMs() / 1_000),
      addresses: () => transport.listening(),
      seeds: (options.seeds ?? [0])
        .filter((seed) => seed !== number)
        .map((seed): SeedHint => ({ id: identityOf(seed).id, addresses: [memoryAddress(identityOf(seed).id)] })),
      ...(options.keys === undefined ? {} : { keys: options.keys }),
      metrics: {
        count: (name, value = 1, labels) => {
          const key = labels?.reason === undefined ? name : `${name}/${labels.reason}`;
          counts.set(key, (counts.get(key) ?? 0) + value);
        },
        gauge() {},
        observe() {},
      },
    });
    await membership.start();
    const node = { number, id: identity.id, host, transport, membership, counts };
    this.nodes.set(number, node);
    void this.#follow(node);
    return node;
  }

  async startAll(count: number, options: StartOptions = {}): Promise<void> {
    for (let number = 0; number < count; number++) await this.start(number, options);
  }

  async #follow(node: WorldNode): Promise<void> {
    const last = new Map<NodeId, string>();
    const note = (member: NodeId, status: Sighting["status"], evidence: string | undefined): void => {
      if (last.get(member) === status || member === node.id) return;
      last.set(member, status);
      this.sightings.push({
        atMs: this.clock.monotonicMs(),
        observer: node.number,
        member: this.#numbers.get(member) ?? -1,
        status,
        evidence,
      });
    };
    for await (const change of node.membership.changes({ signal: this.#stop.signal })) {
      if (change.type === "snapshot")
        for (const member of change.view.members.values()) note(member.id, member.status, member.evidence);
      else if (change.type === "changed") note(change.member.id, change.member.status, change.member.evidence);
      else note(change.id, "forgotten", undefined);
    }
  }

  node(number: number): WorldNode {
    const node = this.nodes.get(number);
    if (node === undefined) throw new Error(`no node ${number}`);
    return node;
  }

  /** What `observer` sees of `member`. */
  sees(observer: number, member: number): string {
    const seen = this.node(observer).membership.view().members.get(identityOf(member).id);
    if (seen === undefined) return "unknown";
    return seen.evidence === undefined ? seen.status : `${seen.status}/${seen.evidence}`;
  }

  /** True where each of `observers` sees `status` of each of `members`, themselves left out. */
  allSee(observers: readonly number[], members: readonly number[], status: string): boolean {
    return observers.every((observer) =>
      members.every((member) => observer === member || this.sees(observer, member) === status),
    );
  }

  /** True where each of `observers` sees `member` in `status`, whatever the evidence. */
  nodesSee(observers: readonly number[], member: number, status: MemberStatus): boolean {
    return observers.every((observer) => this.sees(observer, member).split("/")[0] === status);
  }

  /** SIGKILL: the process is gone and its kernel closes what it had open. */
  kill(number: number): void {
    const node = this.node(number);
    this.network.down(node.id);
    node.host.stop();
    this.nodes.delete(number);
  }

  /** Starts a node again, as a process that counts its starts does. */
  async restart(number: number, seeds: readonly number[] = [0]): Promise<WorldNode> {
    this.#starts += 1;
    return this.start(number, { seeds, generation: Math.floor(this.clock.wallMs() / 1_000) + this.#starts });
  }

  /** Cuts the links between two groups. */
  split(left: readonly number[], right: readonly number[]): void {
    this.network.partition(
      left.map((number) => identityOf(number).id),
      right.map((number) => identityOf(number).id),
    );
  }

  heal(): void {
    this.network.heal();
  }

  /** Every frame is lost with this probability. */
  lose(probability: number): void {
    this.#loss = probability;
  }

  /** Nothing that these speakers send reaches the listener any more. */
  deafen(listener: number, speakers: readonly number[]): void {
    for (const speaker of speakers) this.#deaf.add(`${identityOf(speaker).id}>${identityOf(listener).id}`);
  }

  /** SIGSTOP, or a long garbage collection. */
  pause(number: number, durationMs: number): void {
    this.node(number).host.stall(durationMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const node of this.nodes.values()) {
      await node.membership.shutdown();
      await node.transport.shutdown();
    }
  }
}

export function range(count: number, from = 0): readonly number[] {
  return Array.from({ length: count }, (_, index) => from + index);
}
