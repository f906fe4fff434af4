import type { Clock, NodeId, Transport, TransportEvent } from "@revoada/fabric";
import type { GossipCore } from "./core/core.ts";

const knocksNeeded = 2;
const knockTimeoutMs = 1_000;
const concurrentMax = 16;

export interface DoorProberOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly core: GossipCore;
  /** Pause between the first refusal and the second knock. */
  readonly pauseMs: number;
  /** Tells the core that a life has ended by closed evidence. */
  readonly closed: (id: NodeId, life: { readonly generation: number; readonly incarnation: number }) => void;
}

/**
 * Gathers closed evidence: connections that the peer's kernel ended, and then a door that is shut twice in a row.
 *
 * A disconnect alone proves nothing. Whoever is connected, or connects meanwhile, or answers, or cannot be reached at all, is
 * not accused. While the host doubts itself the knocks wait.
 */
export class DoorProber {
  readonly #options: DoorProberOptions;
  readonly #connected = new Map<NodeId, number>();
  readonly #met = new Set<NodeId>();
  readonly #running = new Set<NodeId>();
  readonly #postponed = new Set<NodeId>();
  readonly #abort = new AbortController();

  constructor(options: DoorProberOptions) {
    this.#options = options;
    for (const { peer, connected } of options.transport.statistics()) {
      if (connected.length === 0) continue;
      this.#connected.set(peer, connected.length);
      this.#met.add(peer);
    }
  }

  /** Keeps count of connections; a connection that the other side closed starts a probe. */
  transportEvent(event: TransportEvent): void {
    const before = this.#connected.get(event.peer) ?? 0;
    if (event.type === "connected") {
      this.#connected.set(event.peer, before + 1);
      this.#met.add(event.peer);
      return;
    }
    if (before <= 1) this.#connected.delete(event.peer);
    else this.#connected.set(event.peer, before - 1);
    if (event.reason === "closed") this.#knock(event.peer);
  }

  /** Something else speaks for a death: worth a knock where there is no connection although there once was. */
  suspect(id: NodeId): void {
    if (this.#met.has(id) && !this.#connected.has(id)) this.#knock(id);
  }

  /** Forgets a node that membership forgot. */
  forget(id: NodeId): void {
    this.#met.delete(id);
  }

  /** Knocks at the doors that had to wait; call it when the time has moved on. */
  resume(): void {
    if (this.#postponed.size === 0 || this.#options.core.frozen(this.#options.clock.monotonicMs())) return;
    const ids = [...this.#postponed];
    this.#postponed.clear();
    for (const id of ids) if (!this.#connected.has(id)) this.#knock(id);
  }

  #knock(id: NodeId): void {
    const { core, clock } = this.#options;
    const life = core.probeTarget(id);
    if (life === undefined || this.#running.has(id) || this.#abort.signal.aborted) return;
    if (core.frozen(clock.monotonicMs()) || this.#running.size >= concurrentMax) {
      this.#postponed.add(id);
      return;
    }
    this.#running.add(id);
    void this.#run(id, life).finally(() => this.#running.delete(id));
  }

  async #run(id: NodeId, life: { readonly generation: number; readonly incarnation: number }): Promise<void> {
    for (let knock = 0; knock < knocksNeeded; knock++) {
      if (knock > 0) await this.#pause();
      if (this.#abort.signal.aborted) return;
      const result = await this.#probe(id);
      if (result !== "refused") return;
    }
    if (this.#abort.signal.aborted || this.#connected.has(id)) return;
    if (this.#options.core.frozen(this.#options.clock.monotonicMs())) this.#postponed.add(id);
    else this.#options.closed(id, life);
  }

  async #probe(id: NodeId): Promise<string> {
    try {
      return await this.#options.transport.probe(id, { signal: this.#abort.signal, timeoutMs: knockTimeoutMs });
    } catch {
      return "unreachable";
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const finish = (): void => {
        cancel();
        this.#abort.signal.removeEventListener("abort", finish);
        resolve();
      };
      const cancel = this.#options.clock.schedule(this.#options.pauseMs, finish);
      this.#abort.signal.addEventListener("abort", finish, { once: true });
    });
  }

  stop(): void {
    this.#abort.abort();
    this.#postponed.clear();
  }
}
