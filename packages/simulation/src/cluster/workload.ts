import { isFabricError, resourceKey, type Revision } from "@revoada/fabric";
import type { SeededRandom, VirtualClock } from "@revoada/fabric/memory";
import type { WriteRecord } from "./history.ts";
import type { SimulatedNode } from "./node.ts";
import type { Totals } from "./totals.ts";
import { require } from "../violation.ts";

/** Refusals after which nothing was appended and nothing ever will be. */
const definite = [
  "RAFT_NOT_LEADER",
  "RAFT_NO_QUORUM",
  "RAFT_BACKPRESSURE",
  "RAFT_TOO_LARGE",
  "RAFT_STOPPED",
  "CATALOG_READ_ONLY",
];

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export interface WorkloadOptions {
  readonly clients: number;
  readonly keys: number;
  readonly thinkMs: number;
  /** Told of a broken invariant that a client saw. */
  readonly onViolation: (error: unknown) => void;
}

/** Clients in closed loops, each on whichever node it likes, writing values that no other operation writes. */
export class Workload {
  readonly writes: WriteRecord[] = [];
  readonly #clock: VirtualClock;
  readonly #nodes: readonly SimulatedNode[];
  readonly #random: SeededRandom;
  readonly #totals: Totals;
  readonly #options: WorkloadOptions;
  #stopped = false;
  #nextValue = 0;

  constructor(
    clock: VirtualClock,
    nodes: readonly SimulatedNode[],
    random: SeededRandom,
    totals: Totals,
    options: WorkloadOptions,
  ) {
    this.#clock = clock;
    this.#nodes = nodes;
    this.#random = random;
    this.#totals = totals;
    this.#options = options;
  }

  start(): void {
    for (let client = 0; client < this.#options.clients; client += 1) this.#again(client);
  }

  stop(): void {
    this.#stopped = true;
  }

  /** True where no operation waits for its end on a process that lives. */
  isQuiet(): boolean {
    return this.writes.every((write) => write.outcome !== "pending");
  }

  #again(client: number): void {
    if (this.#stopped) return;
    this.#clock.schedule(this.#options.thinkMs * (0.5 + this.#random.float()), () => {
      const node = this.#random.pick(this.#nodes);
      if (node.isUp()) void this.#operate(node).finally(() => this.#again(client));
      else this.#again(client);
    });
  }

  async #operate(node: SimulatedNode): Promise<void> {
    this.#totals.operations += 1;
    if (this.#random.chance(0.3)) return this.#read(node);
    const key = `key-${this.#random.below(this.#options.keys)}`;
    const write: WriteRecord = { key, value: `${key}=${(this.#nextValue += 1)}`, outcome: "pending" };
    this.writes.push(write);
    await node.whileUp(
      async () => {
        const result = await node
          .catalog()
          .txn(
            { compare: [], then: [{ type: "put", key: keyOf(key), value: encoder.encode(write.value) }], else: [] },
            { timeoutMs: 5000 },
          );
        write.outcome = "acknowledged";
        write.revision = result.revision;
        this.#totals.acknowledged += 1;
      },
      (error) => this.#refused(write, error),
    );
  }

  #refused(write: WriteRecord, error: unknown): void {
    const isDefinite = isFabricError(error, ...definite);
    write.outcome = isDefinite ? "refused" : "unknown";
    this.#totals[isDefinite ? "refused" : "unknown"] += 1;
  }

  /** A linearizable read sees everything that was acknowledged before it began, and nothing older. */
  async #read(node: SimulatedNode): Promise<void> {
    const key = `key-${this.#random.below(this.#options.keys)}`;
    const atLeast = this.#newestAcknowledged(key);
    await node.whileUp(
      async () => {
        const entry = await node.catalog().get(keyOf(key));
        const revision: number = entry?.modRevision ?? 0;
        require(revision >= atLeast, "linearizable-read", () =>
          `${key} was read at ${revision} (${decoder.decode(entry?.value)}), ${atLeast} was acknowledged before`);
      },
      (error) => {
        if (isFabricError(error, "SIMULATION_INVARIANT_BROKEN")) this.#options.onViolation(error);
      },
    );
  }

  #newestAcknowledged(key: string): Revision {
    let newest = 0;
    for (const write of this.writes)
      if (write.key === key && (write.revision ?? 0) > newest) newest = write.revision ?? 0;
    return newest as Revision;
  }
}

function keyOf(name: string): Uint8Array {
  return resourceKey({ kind: "Register", name });
}
