import * as fc from "fast-check";
import type { LogBatch, LogStore } from "@revoada/fabric";
import { memoryDisk, seededRandom, type MemoryDisk } from "@revoada/fabric/memory";
import { walLogStore } from "@revoada/consensus-raft";
import { nodeId, T, type Member, type MemberOptions, type World } from "./replicas.ts";

/** What may happen to a group of three. */
export type Mishap =
  | { readonly kind: "cut"; readonly n: number }
  | { readonly kind: "heal" }
  | { readonly kind: "kill"; readonly n: number }
  | { readonly kind: "stall"; readonly n: number; readonly ms: number }
  | { readonly kind: "transfer"; readonly n: number }
  | { readonly kind: "pass"; readonly ms: number };

const n = fc.integer({ min: 1, max: 3 });

export const mishap: fc.Arbitrary<Mishap> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cut" as const), n }) },
  { weight: 2, arbitrary: fc.constant({ kind: "heal" } as const) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("kill" as const), n }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("stall" as const), n, ms: fc.integer({ min: 1, max: 5 * T }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("transfer" as const), n }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 2 * T }) }) },
);

/** Every payload that was ever handed to a log, on any disk and in any life. */
class Written {
  readonly #payloads = new Set<string>();

  has(text: string): boolean {
    return this.#payloads.has(text);
  }

  /** The WAL on `disk`, watched. */
  storeOn(disk: MemoryDisk, name: string): () => LogStore {
    return () => {
      const store = walLogStore({ disk, random: seededRandom(name) });
      const append = store.append.bind(store);
      store.append = (batch: LogBatch): Promise<void> => {
        for (const { payload } of batch.entries) this.#payloads.add(Buffer.from(payload).toString());
        return append(batch);
      };
      return store;
    };
  }
}

/** A group of three that is hit, restarted and in the end healed. */
export class Trouble {
  readonly world: World;
  readonly written = new Written();
  readonly #disks = new Map<number, MemoryDisk>();
  readonly #options: MemberOptions;

  constructor(world: World, options: MemberOptions = {}) {
    this.world = world;
    this.#options = options;
  }

  optionsOf(number: number): MemberOptions & { readonly disk: MemoryDisk } {
    let disk = this.#disks.get(number);
    if (disk === undefined) {
      disk = memoryDisk({ name: `disk-${number}`, random: seededRandom(`disk-${number}`) });
      this.#disks.set(number, disk);
    }
    return { ...this.#options, disk, logStore: this.written.storeOn(disk, `store-${number}`) };
  }

  form(): Promise<Member> {
    return this.world.form([1, 2, 3], (number) => this.optionsOf(number));
  }

  async happen(event: Mishap): Promise<void> {
    const { world } = this;
    switch (event.kind) {
      case "cut":
        return world.network.partition([nodeId(event.n)], [1, 2, 3].filter((other) => other !== event.n).map(nodeId));
      case "heal":
        return world.network.heal();
      case "kill":
        world.kill(event.n);
        await world.start(event.n, this.optionsOf(event.n));
        return;
      case "stall":
        return world.member(event.n).host.stall(event.ms);
      case "transfer":
        void world
          .leader()
          ?.consensus.transferLeadership(nodeId(event.n))
          .catch(() => undefined);
        return;
      case "pass":
        await world.clock.advanceAsync(event.ms);
        return;
    }
  }

  /** Waits until every replica of the healed group holds what the others hold, and gives that. */
  async settle(): Promise<readonly string[]> {
    const { world } = this;
    world.network.heal();
    await world.until(() => {
      const replicas = [1, 2, 3].map((number) => world.member(number).consensus.status());
      const leader = replicas.find(({ role }) => role === "leader");
      return leader !== undefined && replicas.every(({ appliedIndex }) => appliedIndex === leader.lastIndex);
    });
    const [commands = [], ...others] = [1, 2, 3].map((number) => world.member(number).machine.commands);
    for (const other of others)
      if (JSON.stringify(other) !== JSON.stringify(commands)) throw new Error("replicas differ");
    return commands;
  }
}
