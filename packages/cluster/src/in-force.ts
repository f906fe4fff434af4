import type { Attestor, Declared, Logger, TopologyStrategy } from "@revoada/fabric";
import { shapedTopology, topologyByName } from "@revoada/topology";
import { ClusterDeclaration } from "./declaration.ts";

/** Understands the bytes of a committed declaration. Rejects where something is not known here that it names. */
export type UnderstandDeclaration = (bytes: Uint8Array) => Promise<ClusterDeclaration>;

/** The gossip key by which a node says which declaration it follows: the beginning of its hash. */
export const declaredKey = "declared";

/** Stands for any topology where only its name is of interest. */
function namedOnly(name: string, { minNodes }: { readonly minNodes: number }): TopologyStrategy {
  return shapedTopology({ name, minNodes, targetMasters: (eligible) => eligible });
}

/** A declaration whose topology is only a name: the same on every node, whatever is installed there. Throws as `decode` does. */
export function readDeclaration(bytes: Uint8Array): ClusterDeclaration {
  return ClusterDeclaration.decode(bytes, namedOnly);
}

/** `<face>/<strategy>/<topology>`, or what there is to say of bytes that are no declaration. */
export function declarationId(bytes: Uint8Array): string {
  try {
    return readDeclaration(bytes).id();
  } catch {
    return "an unreadable declaration";
  }
}

/** True where two declarations are the same bytes. */
export function sameDeclaration(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, position) => byte === b[position]);
}

/** Understands built-in topologies: for those who say nothing else. */
export async function understandBuiltIn(bytes: Uint8Array): Promise<ClusterDeclaration> {
  return ClusterDeclaration.decode(bytes, topologyByName);
}

export interface InForceOptions {
  /** What this node starts with. */
  readonly declaration: ClusterDeclaration;
  readonly understand: UnderstandDeclaration;
  readonly attestor: Attestor;
  readonly logger: Logger;
  /** Called after another declaration was adopted. */
  readonly onAdopted: () => void;
}

/**
 * The declaration that this node goes by. It follows the committed one: what is committed is understood first, which may take a moment,
 * and may fail where a topology is not installed. Until then the node goes by the one before it, and does not act for the new one.
 */
export class InForce {
  readonly #options: InForceOptions;
  #current: ClusterDeclaration;
  #bytes: Uint8Array;
  #wanted: Uint8Array | undefined;
  #refusal: string | undefined;

  constructor(options: InForceOptions) {
    this.#options = options;
    this.#current = options.declaration;
    this.#bytes = options.declaration.encode();
  }

  /** The last declaration that was understood here. */
  get current(): ClusterDeclaration {
    return this.#current;
  }

  /** Canonical bytes of {@link current}. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Why the committed declaration cannot be followed here; undefined where it is, or where that is being found out. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** What {@link declaredKey} says of a declaration. */
  mark(bytes: Uint8Array = this.#bytes): string {
    return this.#options.attestor.hash(bytes).slice(0, 16);
  }

  /** True where this node goes by what the formation is held to. */
  follows(declared: Declared | undefined): boolean {
    return declared === undefined || sameDeclaration(declared.declaration, this.#bytes);
  }

  /** Goes after what is committed. Cheap where that is known already. */
  follow(declared: Declared | undefined): void {
    if (declared === undefined || this.follows(declared)) {
      this.#wanted = undefined;
      this.#refusal = undefined;
      return;
    }
    if (this.#wanted !== undefined && sameDeclaration(this.#wanted, declared.declaration)) return;
    this.#refusal = undefined;
    this.#wanted = declared.declaration;
    void this.#adopt(declared.declaration);
  }

  /** Tries once more what was refused before: something may have been installed, or allowed, since. */
  async again(): Promise<void> {
    const wanted = this.#wanted;
    if (wanted !== undefined && this.#refusal !== undefined) await this.#adopt(wanted);
  }

  /** As the layers of this node would understand it. */
  understand(bytes: Uint8Array): Promise<ClusterDeclaration> {
    return this.#options.understand(bytes);
  }

  async #adopt(bytes: Uint8Array): Promise<void> {
    const { logger, onAdopted } = this.#options;
    let understood: ClusterDeclaration;
    try {
      understood = await this.understand(bytes);
    } catch (error) {
      if (this.#wanted !== bytes) return;
      this.#refusal = error instanceof Error ? error.message : String(error);
      logger.error("the declaration in force is not understood here; this node does not act for it", {
        declaration: declarationId(bytes),
        error: this.#refusal,
      });
      return;
    }
    // Another one may have been committed meanwhile.
    if (this.#wanted !== bytes) return;
    logger.info("another declaration is in force", { before: this.#current.id(), now: understood.id() });
    this.#current = understood;
    this.#bytes = bytes;
    this.#wanted = undefined;
    this.#refusal = undefined;
    onAdopted();
  }
}

/** Settings of a strategy that a running node does not take up: its log and its membership were made with others. */
export function unadoptedSettings(started: ClusterDeclaration, current: ClusterDeclaration): readonly string[] {
  const settingsOf = ({ strategy }: ClusterDeclaration): ReadonlyMap<string, number> =>
    new Map<string, number>([
      ["consensus.electionTimeoutMs", strategy.consensus.electionTimeoutMs],
      ["consensus.snapshotIntervalEntries", strategy.consensus.snapshotIntervalEntries],
      ...Object.entries(strategy.membership).map(([name, value]) => [`membership.${name}`, value] as const),
    ]);
  const [before, now] = [settingsOf(started), settingsOf(current)];
  return [...now].filter(([name, value]) => before.get(name) !== value).map(([name]) => name);
}
