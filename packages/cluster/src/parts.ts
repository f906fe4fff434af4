import type {
  Attestor,
  Catalog,
  Clock,
  Committed,
  Consensus,
  Duty,
  Face,
  FaceFactory,
  FormatRegistry,
  Genesis,
  Hash,
  Leadership,
  Logger,
  MachineStore,
  Membership,
  Metrics,
  NodeId,
  Random,
  StoreId,
  SubMachine,
  Transport,
} from "@revoada/fabric";
import type { Policy } from "@revoada/topology";
import type { ClusterDeclaration } from "./declaration.ts";

/** What a consensus factory is given. */
export interface ConsensusParts {
  readonly declaration: ClusterDeclaration;
  readonly genesis: Genesis;
  readonly transport: Transport;
  /** True on the founder's first start: the log begins with the founder as the only voter. */
  readonly founding: boolean;
  /** Who is likely to lead, for nodes that hold no log of their own. */
  readonly leaderHint: () => NodeId | undefined;
  /** False for nodes whose token keeps them from ever having a vote: nothing that a leader or a candidate sends is to be taken of them. */
  readonly mayLead: (peer: NodeId) => boolean;
  /** False for a command that a node may not hand to the leader. */
  readonly mayPropose: (peer: NodeId, command: Uint8Array) => boolean;
}

/** What a membership factory is given. */
export interface MembershipParts {
  readonly declaration: ClusterDeclaration;
  readonly genesis: Genesis;
  readonly transport: Transport;
  /** Facts that this node says of itself from the start. */
  readonly keys: ReadonlyMap<string, string>;
  /** The door: what is said of or by anybody else is dropped. */
  readonly isKnown: (id: NodeId) => boolean;
  /** Who may be met, with or without addresses. */
  readonly peers: () => readonly NodeId[];
}

/** What a catalog factory is given. */
export interface CatalogParts {
  readonly store: MachineStore;
  readonly propose: (
    command: Uint8Array,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number; readonly needs?: "leases" },
  ) => Promise<Uint8Array>;
  /** Who counts the time of leases. */
  readonly leadership: Leadership;
  readonly readBarrier: (options: { readonly signal?: AbortSignal }) => Promise<void>;
  /** Milliseconds since this replica last knew itself current. */
  readonly ageMs: () => number;
}

/** A catalog that a cluster serves. */
export interface ServedCatalog extends Catalog, Disposable {
  /** Answers what another replica asks this one as the leader, about a lease: bytes of its own `Leadership.ask`. */
  answerLease(
    request: Uint8Array,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<Uint8Array>;
}

/** The deterministic half of a catalog and its front. They meet in the store. */
export interface CatalogLayer {
  readonly machine: SubMachine;
  /** Disposed of when the cluster shuts down. */
  create(parts: CatalogParts): ServedCatalog;
}

/** The implementations that a cluster is composed of. Factories are called at start, in order, and never at construction. */
export interface ClusterLayers {
  readonly attestor: Attestor;
  readonly clock: Clock;
  readonly random: Random;
  readonly origin: () => ClusterOrigin | Promise<ClusterOrigin>;
  readonly store: () => MachineStore | Promise<MachineStore>;
  readonly transport: () => Transport | Promise<Transport>;
  readonly membership: (parts: MembershipParts) => Membership;
  readonly consensus: (parts: ConsensusParts) => Consensus<Uint8Array, Uint8Array>;
  readonly catalog: () => CatalogLayer;
  readonly formats: FormatRegistry;
  /** Faces by the protocol that they speak. */
  readonly faces: readonly FaceFactory[];
  /** Serves this node's face to peers; the returned function withdraws it. */
  readonly serveFace?: (parts: { readonly transport: Transport; readonly face: Face }) => () => void;
  /** The face of a node that holds no replica. */
  readonly remoteFace?: (parts: RemoteFaceParts) => Face;
  /**
   * Understands a declaration that the cluster has committed since it was founded. Rejects where its topology is not known here: this node
   * does not act for it then. Built-in topologies are known unless told.
   */
  readonly declarations?: (bytes: Uint8Array) => Promise<ClusterDeclaration>;
  /** Called after this node has taken up another declaration. */
  readonly onDeclared?: (declaration: ClusterDeclaration) => void;
  /** How the formation loop decides, in order; the reactor's default policies unless told. The same on every node. */
  readonly policies?: readonly Policy[];
  /**
   * What masters do beside `api` and `store`, which are the cluster's own: `controllersDuty()`, and those of third parties. Every node of
   * a cluster is to have the same. Without it there are no duties at all, nor those two.
   */
  readonly duties?: readonly Duty[];
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** How this node comes to its cluster: as its founder, as somebody who was let in, or back from a stop. */
export interface ClusterOrigin {
  readonly genesis: Genesis;
  readonly storeId: StoreId;
  /** This node's start, counted: newer than any before it. */
  readonly generation: number;
  readonly zone: string;
  readonly version: string;
  /** True on the founder's first start. */
  readonly founding: boolean;
  /** What this node is to be taken for in an upgrade; absent: its version. */
  readonly upgradeVersion?: string;
  /** A sealed chain to start from, for nodes whose own log does not hold it: the admission that they were given. */
  readonly chain?: Uint8Array;
  /** The recoveries of that chain that the token named: they are believed. */
  readonly recoveries?: readonly Hash[];
}

/** What a remote face is given: the face of a node that holds no replica asks those that do. */
export interface RemoteFaceParts {
  readonly transport: Transport;
  /** Nodes that hold a replica, the likely leader first. */
  readonly replicas: () => readonly NodeId[];
}

/** What the replicated machine's own commands go through. */
export type Propose = (
  command: Uint8Array,
  options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
) => Promise<Committed<Uint8Array>>;
