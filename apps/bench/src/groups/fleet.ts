import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { NodeId, ReplicaId } from "@revoada/fabric";
import { pause } from "../host.ts";
import { TemporaryDirectory } from "../leftovers.ts";
import type { LoadOptions, LoadResult } from "../load.ts";
import { Worker } from "../processes.ts";
import type { FleetKind, GroupStatus, Order, Usage } from "./orders.ts";

const script = new URL("./member.ts", import.meta.url);
/** How long anything of a fleet may take before the run is given up. */
const patienceMs = 150_000;

interface Place {
  readonly id: NodeId;
  readonly addresses: readonly string[];
}

/** Three processes that run the same groups, led by each of them in turn. */
export class Fleet implements AsyncDisposable {
  readonly name: string;
  readonly groups: number;
  readonly #kind: FleetKind;
  readonly #directory = new TemporaryDirectory("groups");
  readonly #workers: readonly Worker[];
  #places: readonly Place[] = [];
  #replicas: readonly (readonly ReplicaId[])[] = [];

  static async open(
    name: string,
    kind: FleetKind,
    electionTimeoutMs: number,
    nodeArguments: readonly string[] = [],
  ): Promise<Fleet> {
    const fleet = new Fleet(name, kind, nodeArguments);
    try {
      await fleet.#found(electionTimeoutMs);
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
    return fleet;
  }

  private constructor(name: string, kind: FleetKind, nodeArguments: readonly string[]) {
    this.name = name;
    this.groups = "alone" in kind ? 1 : kind.groups;
    this.#kind = kind;
    this.#workers = Array.from({ length: 3 }, () => new Worker(script, nodeArguments));
  }

  async #found(electionTimeoutMs: number): Promise<void> {
    this.#places = (await this.#askAll((at) => {
      const path = join(this.#directory.path, `node-${at}`);
      mkdirSync(path);
      return { type: "open", path, seed: new Uint8Array(32).fill(at + 1) };
    })) as readonly Place[];
    const peers = this.#places.map(({ id, addresses }) => [id, addresses] as const);
    const stores = (await this.#askAll((at) => {
      return { type: "start", kind: this.#kind, founding: at === 0, peers, electionTimeoutMs };
    })) as readonly (readonly ReplicaId[])[];
    this.#replicas = Array.from({ length: this.groups }, (_, at) => stores.map((ofOne) => ofOne[at] as ReplicaId));
    await this.whole();
  }

  #ask(at: number, order: Order): Promise<unknown> {
    return (this.#workers[at] as Worker).ask(order);
  }

  #askAll(order: (at: number) => Order): Promise<readonly unknown[]> {
    return Promise.all(this.#workers.map((_, at) => this.#ask(at, order(at))));
  }

  /** Resolves once every group is led by whom it is meant for, and all have applied what is committed. */
  async whole(): Promise<void> {
    const over = this.#places.map(({ id }) => id);
    const untilMs = performance.now() + patienceMs;
    while (performance.now() < untilMs) {
      const members = (await this.#askAll(() => ({ type: "statuses" }))) as readonly (readonly GroupStatus[])[];
      const isSpread = Array.from({ length: this.groups }, (_, at) => at).every((at) => {
        const leader = over[at % over.length];
        const commitIndex = Math.max(...members.map((groups) => groups[at]?.commitIndex ?? 0));
        return members.every((groups) => {
          const status = groups[at];
          return status?.leader === leader && status?.voters === 3 && status.appliedIndex === commitIndex;
        });
      });
      if (isSpread) return;
      await this.#askAll(() => ({ type: "arrange", replicas: this.#replicas, over }));
      await pause(50);
    }
    throw new Error(`${this.name}: the groups were not whole within ${patienceMs} ms`);
  }

  /** What all three have used since they began. */
  async usage(): Promise<Usage> {
    const used = (await this.#askAll(() => ({ type: "usage" }))) as readonly Usage[];
    const sum = (pick: (usage: Usage) => number): number => used.reduce((total, usage) => total + pick(usage), 0);
    return {
      cpuSeconds: sum((each) => each.cpuSeconds),
      sentBytes: sum((each) => each.sentBytes),
      sentFrames: sum((each) => each.sentFrames),
    };
  }

  /** Callers in the processes of the leaders, each on a group of its own as long as there are enough of them. */
  async load(options: LoadOptions): Promise<readonly LoadResult[]> {
    const members = (await this.#askAll(() => ({ type: "statuses" }))) as readonly (readonly GroupStatus[])[];
    const led = members.map((groups) => groups.filter(({ role }) => role === "leader").length);
    const all = led.reduce((sum, each) => sum + each, 0);
    const results = led.map(async (count, at) => {
      const callers = Math.round((options.callers * count) / all);
      if (callers === 0) return [];
      return [(await this.#ask(at, { type: "load", options: { ...options, callers } })) as LoadResult];
    });
    return (await Promise.all(results)).flat();
  }

  /** What the three hold in memory now. */
  get residentBytes(): number {
    return this.#workers.reduce((sum, worker) => sum + worker.residentBytes, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.kill()));
    await this.#directory[Symbol.asyncDispose]();
  }
}
