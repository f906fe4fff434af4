import { catalog, catalogMachine } from "@revoada/catalog";
import {
  commandCodec,
  controllersDuty,
  type ChainLimits,
  type CatalogLayer,
  type ClusterDeclaration,
  type ClusterLayers,
  type HistoryLimits,
} from "@revoada/cluster";
import { raft, walLogStore } from "@revoada/consensus-raft";
import {
  type Clock,
  type Configuration,
  type Disk,
  type Generation,
  type Logger,
  type LogStore,
  type MachineStore,
  type Metrics,
  type Random,
  type ReplicaId,
} from "@revoada/fabric";
import { pureRaftFace, remoteFace, serveFace } from "@revoada/face-pure-raft";
import { defaultFormats } from "@revoada/format";
import { gossipMembership } from "@revoada/membership-gossip";
import { advertisedAddresses } from "./addresses.ts";
import { openedLogStore } from "./opened-log.ts";
import { groupIdOf, type PreparedNode } from "./prepare.ts";

/** What the layers of a node are made of. */
export interface LayerOptions {
  readonly node: PreparedNode;
  readonly advertise: string | undefined;
  readonly history: HistoryLimits;
  /** Where old blocks of the chain go; absent where they stay. */
  readonly chain: ChainLimits | undefined;
  readonly store: () => Promise<MachineStore>;
  /** Understands a declaration that was committed since the founding. */
  readonly declarations: (bytes: Uint8Array) => Promise<ClusterDeclaration>;
  readonly onDeclared: (declaration: ClusterDeclaration) => void;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** The layers of this node: TLS, gossip, Raft over the write-ahead log, LMDB, and the raw face. */
export function nodeLayers(options: LayerOptions): ClusterLayers {
  const { node, store, clock, random, logger, metrics } = options;
  const { attestor, transport, origin } = node;
  const addresses = (): readonly string[] => advertisedAddresses(options.advertise, transport.listening());
  return {
    attestor,
    clock,
    random,
    logger,
    metrics,
    origin: () => origin,
    store,
    declarations: options.declarations,
    onDeclared: options.onDeclared,
    transport: () => transport,
    membership: ({ declaration, genesis, keys, isKnown, peers }) => {
      const membership = gossipMembership({
        identity: node.identity.identity,
        verifier: { verify: (signer, message, signature) => attestor.verifySignature(signer, message, signature) },
        transport,
        clock,
        random,
        clusterId: genesis.clusterId,
        strategy: declaration.strategy.membership,
        generation: origin.generation,
        addresses,
        seeds: () => peers().map((id) => ({ id, addresses: node.finding.addressesOf(id) })),
        keys: Object.fromEntries(keys),
        isKnown,
        logger,
        metrics,
      });
      node.finding.follow(membership, isKnown);
      return membership;
    },
    consensus: ({ declaration, genesis, founding, leaderHint, mayLead, mayPropose }) =>
      raft({
        id: attestor.identity.id,
        transport,
        clock,
        random,
        disk: options.disk,
        codec: commandCodec,
        electionTimeoutMs: declaration.strategy.consensus.electionTimeoutMs,
        snapshotIntervalEntries: declaration.strategy.consensus.snapshotIntervalEntries,
        ...(founding ? { bootstrap: loneVoter } : {}),
        logStore: logStores(options, groupIdOf(genesis.clusterId)),
        groupId: groupIdOf(genesis.clusterId),
        hintLeader: leaderHint,
        mayLead,
        mayPropose,
        logger,
        metrics,
      }),
    catalog: () => catalogLayer(options),
    formats: defaultFormats(),
    faces: [pureRaftFace()],
    duties: [controllersDuty(options.history, options.chain)],
    serveFace: ({ transport: over, face }) => serveFace({ transport: over, face }),
    remoteFace: ({ transport: over, replicas }) => remoteFace({ transport: over, replicas }),
  };
}

function loneVoter(self: ReplicaId): Configuration {
  return { voters: [self], learners: [], generation: 0 as Generation };
}

/** The log that was opened before; later, after a failure, the same one opened anew. */
function logStores(options: LayerOptions, groupId: Uint8Array): () => LogStore {
  const { disk, clock, random, logger, metrics } = options;
  let first: LogStore | undefined = openedLogStore(options.node.log);
  return () => {
    const store = first ?? walLogStore({ disk, clock, random, groupId, logger, metrics });
    first = undefined;
    return store;
  };
}

/** Both halves of the catalog, which meet in the store. */
function catalogLayer({ node, clock, logger, metrics }: LayerOptions): CatalogLayer {
  const machine = catalogMachine();
  const { clusterId } = node.origin.genesis;
  return { machine, create: (parts) => catalog({ ...parts, machine, clusterId, clock, logger, metrics }) };
}
