import type { NodeId } from "@revoada/fabric";
import type { GossipRecord, SignedItem } from "./items.ts";
import { limits } from "./limits.ts";
import { prefixOf } from "./subject.ts";

/** What is left of a forgotten node. */
export interface Grave {
  readonly id: NodeId;
  readonly generation: number;
  /** Up to this incarnation of the generation it is buried; a node that left is so for the whole generation. */
  readonly incarnation: number;
  /** Wall-clock time after which no record of the time before can be valid any more. */
  readonly untilMs: number;
  /** The signed verdicts it died of, to be shown to it should it live: it refutes them and is back. */
  readonly verdicts: readonly SignedItem[];
}

/** True where (generation, incarnation) lies at or below the grave. */
export function covers(
  grave: Pick<Grave, "generation" | "incarnation"> | undefined,
  generation: number,
  incarnation: number,
): boolean {
  if (grave === undefined) return false;
  return generation < grave.generation || (generation === grave.generation && incarnation <= grave.incarnation);
}

/** Keeps old news from reviving the forgotten. Bounded; the oldest goes first. */
export class Graveyard {
  readonly #graves = new Map<NodeId, Grave>();
  readonly #byPrefix = new Map<string, Grave>();

  get(id: NodeId): Grave | undefined {
    return this.#graves.get(id);
  }

  bury(record: GossipRecord, wallMs: number, verdicts: readonly SignedItem[]): void {
    this.remove(record.id);
    const grave: Grave = {
      id: record.id,
      generation: record.generation,
      incarnation: record.status === "left" ? Number.MAX_SAFE_INTEGER : record.incarnation,
      untilMs: Math.max(wallMs, record.notAfterMs) + limits.graveSlackMs,
      verdicts: verdicts.slice(0, limits.verdictsPerSubjectMax),
    };
    this.#graves.set(record.id, grave);
    this.#byPrefix.set(prefixOf(record.id), grave);
    const oldest = this.#graves.keys().next();
    if (this.#graves.size > limits.gravesMax && oldest.done !== true) this.remove(oldest.value);
  }

  /** True where (generation, incarnation) lies at or below the grave. */
  covers(id: NodeId, generation: number, incarnation: number): boolean {
    return covers(this.#graves.get(id), generation, incarnation);
  }

  /** The same, for one whom a digest names. */
  coversPrefix(prefix: string, generation: number, incarnation: number): boolean {
    return covers(this.#byPrefix.get(prefix), generation, incarnation);
  }

  remove(id: NodeId): void {
    const grave = this.#graves.get(id);
    if (grave === undefined) return;
    this.#graves.delete(id);
    if (this.#byPrefix.get(prefixOf(id)) === grave) this.#byPrefix.delete(prefixOf(id));
  }

  sweep(wallMs: number): void {
    for (const grave of [...this.#graves.values()]) if (grave.untilMs < wallMs) this.remove(grave.id);
  }

  values(): IterableIterator<Grave> {
    return this.#graves.values();
  }

  get size(): number {
    return this.#graves.size;
  }
}
