import { spanOf } from "@revoada/attest-blake3";
import type { ArchiveSink } from "@revoada/fabric";
import type { SeededRandom, VirtualClock } from "@revoada/fabric/memory";
import type { SimulatedNode } from "./node.ts";
import type { Totals } from "./totals.ts";
import { require } from "../violation.ts";

export interface ArchivesOptions {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly nodes: readonly SimulatedNode[];
  readonly totals: Totals;
  readonly note: (node: string, event: string) => void;
}

/** How often somebody puts blocks away while everything breaks. */
const attempts = 6;

/** Puts the sealed part of the chain away from whichever node, into one place that all of them reach and nothing takes away. */
export class Archives {
  readonly #options: ArchivesOptions;
  readonly #files = new Map<string, Uint8Array>();
  #underWay = 0;

  constructor(options: ArchivesOptions) {
    this.#options = options;
  }

  /** True where nothing is under way. */
  isQuiet(): boolean {
    return this.#underWay === 0;
  }

  schedule(chaosMs: number): void {
    const { clock, random, nodes } = this.#options;
    for (let attempt = 0; attempt < attempts; attempt += 1)
      clock.schedule(chaosMs * (0.2 + 0.8 * random.float()), () => void this.#archive(random.pick(nodes)));
  }

  /** The segments that hold all blocks up to a height, in order. */
  upTo(height: number): readonly Uint8Array[] {
    const found = this.#way(0, height);
    require(found !== undefined, "archives-hold-what-is-dropped", () =>
      `blocks up to ${height} are dropped, the archives are ${[...this.#files.keys()].join(", ")}`);
    return found ?? [];
  }

  /** Whoever died between the archive and the drop left a segment that others need not have gone on from. */
  #way(from: number, to: number): readonly Uint8Array[] | undefined {
    if (from === to) return [];
    for (const file of this.#files.values()) {
      const span = spanOf(file);
      if (span.from !== from || span.to > to) continue;
      const rest = this.#way(span.to, to);
      if (rest !== undefined) return [file, ...rest];
    }
    return undefined;
  }

  async #archive(node: SimulatedNode): Promise<void> {
    const { random, totals, note } = this.#options;
    const keepBlocks = 16 + random.below(10);
    if (!node.isUp()) return;
    const sink: ArchiveSink = {
      place: "the archive of the run",
      put: async (name, bytes) => void this.#files.set(name, bytes),
      get: async (name) => this.#files.get(name) ?? new Uint8Array(0),
    };
    this.#underWay += 1;
    await node.whileUp(
      async () => {
        const { signal } = new AbortController();
        const segment = await node.cluster().archive({ sink, keepBlocks, partial: true }, { signal });
        if (segment === undefined) return;
        totals.archives += 1;
        note(node.id, `put blocks ${segment.first} to ${segment.last} away`);
      },
      () => undefined,
    );
    this.#underWay -= 1;
  }
}
