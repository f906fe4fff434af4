import { prescribedKubernetes, type FabricFace, type FabricStrategy, type TopologyStrategy } from "@revoada/fabric";
import type { Cluster } from "./cluster.ts";
import { ClusterDeclaration } from "./declaration.ts";
import { ClusterIncompleteError } from "./errors.ts";
import type { ClusterLayers } from "./parts.ts";

/** Puts a cluster together step by step. Nothing is taken or started before {@link start}. */
export class ClusterBuilder {
  readonly #make: (declaration: ClusterDeclaration, layers: ClusterLayers) => Cluster;
  #strategy: FabricStrategy | undefined;
  #face: FabricFace | undefined;
  #topology: TopologyStrategy | undefined;
  #layers: ClusterLayers | undefined;

  /** Use `Cluster.builder()`. */
  constructor(make: (declaration: ClusterDeclaration, layers: ClusterLayers) => Cluster) {
    this.#make = make;
  }

  strategy(strategy: FabricStrategy): this {
    this.#strategy = strategy;
    return this;
  }

  face(face: FabricFace): this {
    this.#face = face;
    return this;
  }

  /** The raw log's own face. */
  facePureRaft(name: string): this {
    return this.face({ name, kind: { protocol: "pure-raft" } });
  }

  /** The certified Kubernetes face of version 1.34. */
  faceKubernetesPrescribed(): this {
    return this.face(prescribedKubernetes("1.34"));
  }

  topology(topology: TopologyStrategy): this {
    this.#topology = topology;
    return this;
  }

  layers(layers: ClusterLayers): this {
    this.#layers = layers;
    return this;
  }

  /** The declaration alone. Throws `CLUSTER_INCOMPLETE`, naming the first of strategy, face, topology that is missing. */
  declaration(): ClusterDeclaration {
    if (this.#strategy === undefined) throw new ClusterIncompleteError("strategy");
    if (this.#face === undefined) throw new ClusterIncompleteError("face");
    if (this.#topology === undefined) throw new ClusterIncompleteError("topology");
    return ClusterDeclaration.create(this.#strategy, this.#face, this.#topology);
  }

  /** A stopped cluster. Throws what {@link declaration} throws, and `CLUSTER_INCOMPLETE` without layers. */
  build(): Cluster {
    const declaration = this.declaration();
    if (this.#layers === undefined) throw new ClusterIncompleteError("layers");
    return this.#make(declaration, this.#layers);
  }

  /** A running cluster. */
  async start(): Promise<Cluster> {
    const cluster = this.build();
    await cluster.start();
    return cluster;
  }
}
