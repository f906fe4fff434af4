import { InvalidValueError } from "../errors.ts";
import type { NodeId } from "../ids.ts";
import type { Clock, Random } from "../seams/clock.ts";
import type { Address, AdmissionPolicy, ProbeResult, Transport, TransportChannel } from "../seams/transport.ts";
import { Connection, type ConnectionEnd, type MemoryTransportLimits } from "./connection.ts";
import { MemoryTransport } from "./memory-transport.ts";
import { type DialOutcome, memoryAddress, type NetworkFabric, type Station } from "./network-fabric.ts";
import type { FramePassport, FrameShaper, FrameVerdict, PipeSurroundings } from "./pipe.ts";
import { seededRandom } from "./seeded-random.ts";
import { addressInUseError } from "./transport-errors.ts";
import type { VirtualHost } from "./virtual-clock.ts";

export interface MemoryNetworkOptions {
  readonly clock: Clock;
  /** Decides channel bindings. */
  readonly random?: Random;
  /** One way, per link; 0 unless told. */
  readonly latencyMs?: number | ((from: NodeId, to: NodeId) => number);
  /** True (the default): transports find each other without `setAddresses`, as with a name service. */
  readonly directory?: boolean;
}

export interface MemoryTransportOptions {
  /** The clock of the host that this transport runs on; the network's unless told. */
  readonly clock?: Clock;
  readonly admission?: AdmissionPolicy;
  readonly limits?: Partial<MemoryTransportLimits>;
}

export interface MemoryNetworkStatistics {
  readonly delivered: number;
  readonly dropped: number;
  /** Frames whose moment came while their link was cut. */
  readonly held: number;
}

/**
 * A network in memory: transports that speak as real ones do, over links that can be cut, delayed and thinned out.
 *
 * A link that is cut holds what was sent on open connections, as TCP does, and both ends give up with `timeout` after the limit
 * `silenceTimeoutMs`; nothing can be dialled across it.
 */
export interface MemoryNetwork {
  /** A transport for this node; it listens from its `start` on. One at a time runs under an id. */
  transport(id: NodeId, options?: MemoryTransportOptions): Transport;
  /** Cuts every link between nodes of different groups, both ways. Earlier cuts stay. */
  partition(...groups: readonly (readonly NodeId[])[]): void;
  /** Cuts one direction. */
  cut(from: NodeId, to: NodeId): void;
  /** Makes every link whole again, or only the one between two nodes. */
  heal(one?: NodeId, other?: NodeId): void;
  /** Ends a node's process as SIGKILL does: its peers' kernels see its connections closed, and dials are refused. */
  down(id: NodeId): void;
  /** Replaces what decides over each frame; undefined lets everything pass. */
  shape(shaper: FrameShaper | undefined): void;
  statistics(): MemoryNetworkStatistics;
}

const defaultLimits: MemoryTransportLimits = {
  queueBytes: 32 * 1024 * 1024,
  pendingRequests: 16_384,
  streamWindowBytes: 1024 * 1024,
  dialTimeoutMs: 3000,
  openTimeoutMs: 10_000,
  silenceTimeoutMs: 5000,
};

function linkKey(from: NodeId, to: NodeId): string {
  return `${from}>${to}`;
}

function pairKey(one: NodeId, other: NodeId, channel: TransportChannel): string {
  return one < other ? `${one}-${other}-${channel}` : `${other}-${one}-${channel}`;
}

class InMemoryNetwork implements MemoryNetwork, NetworkFabric, PipeSurroundings {
  readonly directory: boolean;
  readonly #options: MemoryNetworkOptions;
  readonly #random: Random;
  readonly #listening = new Map<Address, Station>();
  readonly #connections = new Map<string, Connection>();
  /** Every connection with an end that has not ended: a cut concerns the half-open ones too. */
  readonly #all = new Set<Connection>();
  readonly #cuts = new Map<string, object>();
  #shaper: FrameShaper | undefined;
  #statistics = { delivered: 0, dropped: 0, held: 0 };

  constructor(options: MemoryNetworkOptions) {
    this.#options = options;
    this.#random = options.random ?? seededRandom("memory network");
    this.directory = options.directory ?? true;
  }

  transport(id: NodeId, options: MemoryTransportOptions = {}): Transport {
    return new MemoryTransport(
      {
        id,
        clock: options.clock ?? this.#options.clock,
        admission: options.admission ?? (() => true),
        limits: checkLimits({ ...defaultLimits, ...options.limits }),
      },
      this,
    );
  }

  partition(...groups: readonly (readonly NodeId[])[]): void {
    for (const group of groups) {
      for (const other of groups) {
        if (other === group) continue;
        for (const from of group) for (const to of other) this.cut(from, to);
      }
    }
  }

  cut(from: NodeId, to: NodeId): void {
    if (this.isCut(from, to)) return;
    const cut = {};
    this.#cuts.set(linkKey(from, to), cut);
    for (const connection of this.#all) {
      const { dialer, acceptor } = connection;
      const concerned = [dialer, acceptor].some(({ owner, peer }) => owner.localId === from && peer === to);
      if (concerned) for (const end of [dialer, acceptor]) this.#watchSilence(end, linkKey(from, to), cut);
    }
  }

  heal(one?: NodeId, other?: NodeId): void {
    if (one === undefined || other === undefined) this.#cuts.clear();
    else for (const key of [linkKey(one, other), linkKey(other, one)]) this.#cuts.delete(key);
    for (const connection of this.#all) for (const end of [connection.dialer, connection.acceptor]) end.resume();
  }

  down(id: NodeId): void {
    this.#listening.get(memoryAddress(id))?.kill();
  }

  statistics(): MemoryNetworkStatistics {
    return { ...this.#statistics };
  }

  register(transport: Station): void {
    const address = memoryAddress(transport.localId);
    if (this.#listening.has(address)) throw addressInUseError(address);
    this.#listening.set(address, transport);
  }

  unregister(transport: Station): void {
    const address = memoryAddress(transport.localId);
    if (this.#listening.get(address) === transport) this.#listening.delete(address);
    // A kernel resets what a program that is gone had dialled, even where that has not heard of the answer yet.
    for (const { dialer } of this.#all) if (dialer.owner === transport && !dialer.attached) dialer.end("local");
  }

  dial(
    from: Station,
    peer: NodeId,
    address: Address,
    channel: TransportChannel,
    done: (outcome: DialOutcome) => void,
  ): void {
    const target = this.#listening.get(address);
    const machine = target?.localId ?? machineOf(address);
    const answer = (outcome: DialOutcome): void => {
      const delayMs = machine === undefined ? 0 : this.latencyMs(machine, from.localId);
      this.arrive(from.clock, delayMs, () => {
        if (machine === undefined || !this.isCut(machine, from.localId)) done(outcome);
      });
    };
    // A name that nothing stands behind is refused at once.
    if (machine === undefined) return answer({ type: "refused" });
    const thereMs = this.latencyMs(from.localId, machine);
    if (target === undefined) {
      // The other kernel refuses; its programs have no part in it.
      this.arrive(from.clock, thereMs, () => {
        if (!this.isCut(from.localId, machine)) answer({ type: "refused" });
      });
      return;
    }
    this.arrive(target.clock, thereMs, () => {
      if (this.isCut(from.localId, machine)) return;
      answer(this.#accept(from, target, peer, channel));
    });
  }

  knock(from: Station, address: Address, done: (result: ProbeResult) => void): void {
    const machine = this.#listening.get(address)?.localId ?? machineOf(address);
    if (machine === undefined) return this.arrive(from.clock, 0, () => done("refused"));
    const roundTripMs = this.latencyMs(from.localId, machine) + this.latencyMs(machine, from.localId);
    this.arrive(from.clock, roundTripMs, () => {
      if (this.isCut(from.localId, machine) || this.isCut(machine, from.localId)) return;
      done(this.#listening.has(address) ? "open" : "refused");
    });
  }

  latencyMs(from: NodeId, to: NodeId): number {
    const { latencyMs = 0 } = this.#options;
    return typeof latencyMs === "number" ? latencyMs : latencyMs(from, to);
  }

  isCut(from: NodeId, to: NodeId): boolean {
    return this.#cuts.has(linkKey(from, to));
  }

  shape(shaper: FrameShaper | undefined): void {
    this.#shaper = shaper;
  }

  judge(frame: FramePassport): FrameVerdict {
    return this.#shaper?.(frame) ?? {};
  }

  arrive(at: Clock, delayMs: number, callback: () => void): void {
    const host = at as Partial<VirtualHost> & Clock;
    if (host.input !== undefined) host.input(delayMs, callback);
    else if (delayMs > 0) at.schedule(delayMs, callback);
    else at.nextTurn(callback);
  }

  count(what: keyof MemoryNetworkStatistics): void {
    this.#statistics[what] += 1;
  }

  #accept(from: Station, target: Station, peer: NodeId, channel: TransportChannel): DialOutcome {
    if (!target.isListening) return { type: "refused" };
    // Whoever dialled is gone: its kernel resets what is answered.
    if (!from.isListening) return { type: "refused" };
    if (target.localId !== peer) return { type: "wrong-peer", found: target.localId };
    if (!target.admits(from.localId, channel)) return { type: "not-admitted" };
    const key = pairKey(from.localId, target.localId, channel);
    const existing = this.#connections.get(key);
    // Two that dial each other at once settle on one connection, as do a dialler and the connection that it has missed.
    if (existing?.isOpen === true && existing.endOf(from.localId).owner === from) {
      return { type: "connected", end: existing.endOf(from.localId) };
    }
    const connection = new Connection(
      { dialer: from, acceptor: target, channel, binding: this.#random.bytes(32), surroundings: this },
      (over) => this.#connectionOver(key, over),
    );
    this.#connections.set(key, connection);
    this.#all.add(connection);
    target.attach(connection.acceptor);
    // Word of it may never get back: then this side is alone, and notices as it would later.
    const back = linkKey(target.localId, from.localId);
    const cut = this.#cuts.get(back);
    if (cut !== undefined) this.#watchSilence(connection.acceptor, back, cut);
    return { type: "connected", end: connection.dialer };
  }

  #connectionOver(key: string, connection: Connection): void {
    if (this.#connections.get(key) === connection) this.#connections.delete(key);
    if (!connection.dialer.isOpen && !connection.acceptor.isOpen) this.#all.delete(connection);
  }

  #watchSilence(end: ConnectionEnd, link: string, cut: object): void {
    end.owner.clock.schedule(end.owner.limits.silenceTimeoutMs, () => {
      if (this.#cuts.get(link) === cut) end.end("timeout");
    });
  }
}

const addressPattern = /^([0-9a-f]{64})\.memory:7400$/;

/** The machine that an address leads to, whether or not anything runs there. */
function machineOf(address: Address): NodeId | undefined {
  return addressPattern.exec(address)?.[1] as NodeId | undefined;
}

function checkLimits(limits: MemoryTransportLimits): MemoryTransportLimits {
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isFinite(value) || value <= 0) throw new InvalidValueError(`limits.${name}`, value, "a number above 0");
  }
  return limits;
}

/**
 * A network for tests, examples and simulations.
 *
 * @example
 * ```ts
 * const network = memoryNetwork({ clock: virtualClock() });
 * const transport = network.transport(id);
 * ```
 */
export function memoryNetwork(options: MemoryNetworkOptions): MemoryNetwork {
  return new InMemoryNetwork(options);
}
