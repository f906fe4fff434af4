import type { NodeId } from "@revoada/fabric";
import type { GossipRecord, SignedItem } from "./items.ts";
import { limits } from "./limits.ts";

/** What is left of a forgotten node. */
export interface Grave {
  readonly generation: number;
  /** Up to this incarnation of the generation it is buried; a node that left is so for the whole generation. */
  readonly incarnation: number;
  /** Wall-clock time after which no record of the time before can be valid any more. */
  readonly untilMs: number;
  /** The signed verdicts it died of, to be shown to it should it live: it refutes them and is back. */
  readonly verdicts: readonly SignedItem[];
}

/** Keeps old news from reviving the forgotten. Bounded; the oldest goes first. */
export class Graveyard {
  readonly #graves = new Map<NodeId, Grave>();

  get(id: NodeId): Grave | undefined {
    return this.#graves.get(id);
  }

  bury(record: GossipRecord, wallMs: number, verdicts: readonly SignedItem[]): void {
    this.#graves.delete(record.id);
    this.#graves.set(record.id, {
      generation: record.generation,
      incarnation: record.status === "left" ? Number.MAX_SAFE_INTEGER : record.incarnation,
      untilMs: Math.max(wallMs, record.notAfterMs) + limits.graveSlackMs,
      verdicts: verdicts.slice(0, limits.verdictsPerSubjectMax),
    });
    const oldest = this.#graves.keys().next();
    if (this.#graves.size > limits.gravesMax && oldest.done !== true) this.#graves.delete(oldest.value);
  }

  /** True where (generation, incarnation) lies at or below the grave. */
  covers(id: NodeId, generation: number, incarnation: number): boolean {
    const grave = this.#graves.get(id);
    if (grave === undefined) return false;
    return generation < grave.generation || (generation === grave.generation && incarnation <= grave.incarnation);
  }

  remove(id: NodeId): void {
    this.#graves.delete(id);
  }

  sweep(wallMs: number): void {
    for (const [id, grave] of this.#graves) if (grave.untilMs < wallMs) this.#graves.delete(id);
  }

  entries(): IterableIterator<[NodeId, Grave]> {
    return this.#graves.entries();
  }

  get size(): number {
    return this.#graves.size;
  }
}
