import {
  FieldReader,
  InvalidValueError,
  parseFace,
  parseStrategy,
  proveLiveness,
  quorumSizeOf,
  type FabricFace,
  type FabricStrategy,
  type TopologyStrategy,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical } from "./codec.ts";
import { SignaturePromiseError, StandaloneTopologyError, TopologyTooSmallError } from "./errors.ts";

/** Finds a topology by the name that a declaration carries; throws `TOPOLOGY_UNKNOWN` for a name that it does not know. */
export type TopologyResolver = (name: string, options: { readonly minNodes: number }) => TopologyStrategy;

/**
 * What a cluster is: how it converges, which API it speaks, what shape it takes. Cannot exist incoherent.
 *
 * @example
 * ```ts
 * const declaration = ClusterDeclaration.create(prescribedHomelab(), face, cluster3mnw());
 * declaration.id(); // "raw/homelab-3node/cluster_3m_nw"
 * ```
 */
export class ClusterDeclaration {
  readonly #strategy: FabricStrategy;
  readonly #face: FabricFace;
  readonly #topology: TopologyStrategy;

  private constructor(strategy: FabricStrategy, face: FabricFace, topology: TopologyStrategy) {
    this.#strategy = strategy;
    this.#face = face;
    this.#topology = topology;
    // What Node's console shows: all three surfaces by name instead of an empty object.
    Object.defineProperty(this, Symbol.for("nodejs.util.inspect.custom"), {
      value: () => `ClusterDeclaration { face: ${face.name}, strategy: ${strategy.name}, topology: ${topology.name} }`,
    });
  }

  /**
   * Checks the three against themselves and each other.
   *
   * Throws what `proveLiveness` throws, `CLUSTER_STANDALONE_TOPOLOGY`, `TOPOLOGY_TOO_SMALL_FOR_QUORUM` or
   * `FACE_SIGNATURE_PROMISE_UNMET`.
   */
  static create(strategy: FabricStrategy, face: FabricFace, topology: TopologyStrategy): ClusterDeclaration {
    proveLiveness(strategy);
    const voters = quorumSizeOf(strategy);
    if (strategy.consensus.protocol === "standalone" && topology.name !== "solo") {
      throw new StandaloneTopologyError(strategy.name, topology.name);
    }
    if (topology.minNodes < voters) throw new TopologyTooSmallError(topology.name, topology.minNodes, voters);
    if (face.kind.requiresOperatorSignature === true && !strategy.attestation.requireOperatorSignature) {
      throw new SignaturePromiseError(face.name, strategy.name);
    }
    return new ClusterDeclaration(deepFreeze(structuredClone(strategy)), deepFreeze(structuredClone(face)), topology);
  }

  /** Reads the canonical bytes that genesis carries. Throws `FABRIC_INVALID_VALUE`, or what {@link create} throws. */
  static decode(bytes: Uint8Array, resolve: TopologyResolver): ClusterDeclaration {
    const fields = new FieldReader(decodeCanonical(bytes, "declaration"), "declaration");
    const version = fields.take("version");
    if (version !== 1) throw new InvalidValueError("declaration.version", version, "1");
    const topology = new FieldReader(fields.take("topology"), "declaration.topology");
    const name = topology.string("name", { maxLength: 214 });
    const minNodes = topology.number("minNodes");
    topology.finish();
    const strategy = parseStrategy(unscaled(fields.take("strategy")), "declaration.strategy");
    const face = parseFace(fields.take("face"), "declaration.face");
    fields.finish();
    return ClusterDeclaration.create(strategy, face, resolve(name, { minNodes }));
  }

  /** Canonical bytes, committed in genesis. */
  encode(): Uint8Array {
    return encodeCanonical({
      version: 1,
      strategy: scaled(this.#strategy),
      face: this.#face,
      topology: { name: this.#topology.name, minNodes: this.#topology.minNodes },
    });
  }

  get strategy(): FabricStrategy {
    return this.#strategy;
  }

  get face(): FabricFace {
    return this.#face;
  }

  get topology(): TopologyStrategy {
    return this.#topology;
  }

  /** `<face>/<strategy>/<topology>`. */
  id(): string {
    return `${this.#face.name}/${this.#strategy.name}/${this.#topology.name}`;
  }

  toJSON(): unknown {
    return {
      id: this.id(),
      strategy: this.#strategy,
      face: this.#face,
      topology: { name: this.#topology.name, minNodes: this.#topology.minNodes },
    };
  }
}

/** Canonical bytes hold no floats: the one number that may be fractional travels in thousandths. */
function scaled(strategy: FabricStrategy): unknown {
  const { phiThreshold, ...membership } = strategy.membership;
  return { ...strategy, membership: { ...membership, phiThresholdMilli: Math.round(phiThreshold * 1000) } };
}

function unscaled(value: unknown): unknown {
  const strategy = (value ?? {}) as { readonly membership?: Readonly<Record<string, unknown>> };
  const { phiThresholdMilli, ...membership } = strategy.membership ?? {};
  if (typeof phiThresholdMilli !== "number") return value;
  return { ...strategy, membership: { ...membership, phiThreshold: phiThresholdMilli / 1000 } };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
