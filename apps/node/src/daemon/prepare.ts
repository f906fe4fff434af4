import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import {
  blake3Attestor,
  identityFromSeed,
  loadIdentity,
  loadOrCreateIdentity,
  seedLength,
  type StoredIdentity,
} from "@revoada/attest-blake3";
import { joinCluster, type ClusterDeclaration, type ClusterOrigin, type Joined } from "@revoada/cluster";
import { walLogStore } from "@revoada/consensus-raft";
import {
  shortId,
  type Address,
  type Attestor,
  type Clock,
  type ClusterId,
  type Disk,
  type Genesis,
  type JoinToken,
  type Logger,
  type Metrics,
  type NodeId,
  type Random,
  type Transport,
} from "@revoada/fabric";
import { tlsTransport } from "@revoada/transport-tls";
import type { NodeConfig } from "../config/config.ts";
import { defaultListen } from "../config/settings.ts";
import type { DataDirectory } from "../data-directory/data-directory.ts";
import type { NodeFile } from "../data-directory/node-file.ts";
import {
  ExpectInvalidError,
  NodeLeftError,
  NotInitialisedError,
  OtherClusterError,
  OtherStoreError,
  WrongKeyError,
} from "../errors.ts";
import { readBounded } from "../files.ts";
import { version } from "../version.ts";
import { advertisedAddresses } from "./addresses.ts";
import { checkDeclaration, checkOperators, declare, foundingOperators, understoodDeclaration } from "./declare.ts";
import { insist } from "./insist.ts";
import { Expectation } from "./expect/expectation.ts";
import type { ExpectSurroundings } from "./expect/protocol.ts";
import {
  answerAsMember,
  awaitGenesis,
  expectedToken,
  expectTimeoutMs,
  proposeGenesis,
  readExpectation,
  type AskedExpectation,
} from "./expect/together.ts";
import { Finding } from "./finding.ts";
import type { OpenedLog } from "./opened-log.ts";
import { PeerCache } from "./peer-cache.ts";

/** What a node was asked to be, understood before anything is touched. */
export interface Asked {
  readonly config: NodeConfig;
  /** What a founder founds. */
  readonly declaration?: ClusterDeclaration;
  /** Where a newcomer enters. */
  readonly token?: JoinToken;
  /** With whom a cluster is founded, where nobody is first. */
  readonly expect?: AskedExpectation;
}

/** What preparing a node needs. */
export interface PrepareOptions extends Asked {
  readonly data: DataDirectory;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
}

/** A node that knows who it is and where it belongs, before its cluster runs. Whoever has it releases it. */
export interface PreparedNode {
  readonly identity: StoredIdentity;
  readonly attestor: Attestor;
  readonly declaration: ClusterDeclaration;
  readonly origin: ClusterOrigin;
  readonly file: NodeFile;
  readonly log: OpenedLog;
  readonly transport: Transport;
  readonly peers: PeerCache;
  readonly finding: Finding;
  /** Present where the node was told with whom its cluster is founded. */
  readonly expectation?: Expectation;
}

type Parts = Pick<PreparedNode, "identity" | "attestor" | "transport" | "peers" | "finding" | "expectation">;

const maxTokenFileBytes = 16 * 1024;
/** A newcomer that nobody lets in gives up after this. */
const joinTimeoutMs = 30_000;

/** The bytes that name a cluster in its nodes' logs and frames. */
export function groupIdOf(cluster: ClusterId): Uint8Array {
  return new Uint8Array(Buffer.from(cluster, "hex"));
}

/**
 * Understands what was asked. Rejects with what is wrong with a declaration, `TOKEN_INVALID`, or what reading a file rejects with.
 */
export async function understand(config: NodeConfig): Promise<Asked> {
  const expect = await readExpectation(config);
  const declaration = config.bootstrap || expect !== undefined ? await declare(config) : undefined;
  const token = config.join === undefined ? undefined : await readToken(config.join);
  return {
    config,
    ...(declaration === undefined ? {} : { declaration }),
    ...(token === undefined ? {} : { token }),
    ...(expect === undefined ? {} : { expect }),
  };
}

async function readToken(given: string): Promise<JoinToken> {
  const isToken = /^\s*rvd\d{1,4}[A-Za-z0-9_-]/.test(given);
  const text = isToken ? given : Buffer.from(await readBounded(given, maxTokenFileBytes)).toString("latin1");
  // Reading a token needs no key; whose attestor does it makes no difference.
  return blake3Attestor(identityFromSeed(new Uint8Array(seedLength))).decodeToken(text);
}

/**
 * Finds out how this node comes to its cluster: back from a stop, as its founder, or with a token.
 *
 * What cannot work is refused before it is written; the node file, written last, is what makes the directory a node's.
 */
export async function prepareNode(options: PrepareOptions): Promise<PreparedNode> {
  const { data, clock, logger, token, declaration } = options;
  const file = await data.readNode();
  if (file === undefined && token === undefined && declaration === undefined)
    throw new NotInitialisedError(data.paths.directory);
  if (file !== undefined && token !== undefined && token.clusterId !== file.cluster) {
    throw new OtherClusterError(data.paths.directory, file.cluster, token.clusterId);
  }
  if (file?.left === true) throw new NodeLeftError(data.paths.directory, shortId(file.cluster));
  const identity = await openIdentity(data, file);
  const peers = await PeerCache.open(data.paths.peers, clock, logger);
  const transport = makeTransport(options, identity, file, peers);
  const finding = makeFinding(options, identity, transport, peers);
  try {
    const expectation = expectationOf(options, identity, file);
    if (expectation !== undefined) requireWay(expectation, finding);
    const parts: Parts = {
      identity,
      attestor: blake3Attestor(identity.identity),
      transport,
      peers,
      finding,
      ...(expectation === undefined ? {} : { expectation }),
    };
    if (file !== undefined) return await comeBack(options, parts, file);
    if (token !== undefined) return await enter(options, parts, token, joinTimeoutMs);
    if (parts.expectation?.isFounder === false) return await follow(options, parts, parts.expectation);
    return await found(options, parts, declaration as ClusterDeclaration);
  } catch (error) {
    await finding[Symbol.asyncDispose]();
    await transport.shutdown();
    throw error;
  }
}

/** A node that has its cluster and rotated its key since is not among those who found it any more, and has no part in that. */
function expectationOf(
  { expect }: PrepareOptions,
  { identity }: StoredIdentity,
  file: NodeFile | undefined,
): Expectation | undefined {
  if (expect === undefined || (file !== undefined && !expect.nodes.some(({ id }) => id === identity.id)))
    return undefined;
  return new Expectation({ self: identity.id, ...expect });
}

/** The key of a node: the one that its file names, or a new one where there is no file yet. Rejects with `NODE_WRONG_KEY`. */
export async function openIdentity(data: DataDirectory, file: NodeFile | undefined): Promise<StoredIdentity> {
  const { key, nextKey } = data.paths;
  if (file === undefined) return loadOrCreateIdentity(key);
  const identity = await loadIdentity(key);
  if (identity.identity.id === file.node) return identity;
  // The node file decides who this node is. A crash may have come between it and the key's change of place.
  if (existsSync(nextKey)) {
    const next = await loadIdentity(nextKey);
    if (next.identity.id === file.node) {
      await data.adoptNextKey();
      return next;
    }
  }
  throw new WrongKeyError(key, shortId(identity.identity.id), shortId(file.node));
}

function makeTransport(
  options: PrepareOptions,
  identity: StoredIdentity,
  file: NodeFile | undefined,
  peers: PeerCache,
): Transport {
  const { config, clock, random, logger, metrics } = options;
  const listen = config.listen ?? file?.listen ?? defaultListen;
  return tlsTransport({
    privateKey: identity.seed,
    listen: [listen],
    addresses: peers.entries(),
    clock,
    random,
    logger,
    metrics,
  });
}

function makeFinding(
  options: PrepareOptions,
  { seed }: StoredIdentity,
  transport: Transport,
  peers: PeerCache,
): Finding {
  const written = new Map(options.expect?.nodes.map(({ id, addresses }) => [id, addresses]));
  const known = (id: NodeId): readonly Address[] => [...peers.addressesOf(id), ...(written.get(id) ?? [])];
  return new Finding({ ...options, seed, transport, known });
}

/** Whoever is written down without an address has to be found in another way. */
function requireWay(expectation: Expectation, finding: Finding): void {
  const lost = expectation.others.find(({ addresses }) => addresses.length === 0);
  if (lost === undefined || finding.isLooking) return;
  throw new ExpectInvalidError(
    `node ${lost.id} is listed without an address, and nothing is there to find it by: see --seed and --discover`,
  );
}

/** Back from a stop. Flags that found or join are of no use here and do no harm. */
async function comeBack(options: PrepareOptions, parts: Parts, file: NodeFile): Promise<PreparedNode> {
  const { config, data, logger } = options;
  const genesis = parts.attestor.openGenesis(file.genesis);
  if (genesis.clusterId !== file.cluster)
    throw new OtherClusterError(data.paths.directory, genesis.clusterId, file.cluster);
  const declaration = await understoodDeclaration(file.declaration ?? genesis.declaration, config);
  await checkDeclaration(config, declaration);
  if (config.bootstrap || config.join !== undefined) {
    logger.info("the data directory has its cluster already; it goes on", { cluster: shortId(file.cluster) });
  }
  if (parts.expectation !== undefined) answerAsMember(surroundings(options, parts, parts.expectation), file.genesis);
  await requireLog(data, file);
  const log = await openLog(options, file.cluster);
  if (log.recovered.storeId !== file.store) {
    await log.store.close();
    throw new OtherStoreError(
      join(data.paths.directory, data.paths.walName),
      `store ${log.recovered.storeId}`,
      file.store,
    );
  }
  return finish(options, {
    ...parts,
    declaration,
    genesis,
    log,
    file: { ...file, generation: nextGeneration(options.clock, file) },
  });
}

/** A log that is gone must not be begun anew: this node's votes were in it. */
async function requireLog(data: DataDirectory, file: NodeFile): Promise<void> {
  const { directory, walName } = data.paths;
  const folder = join(directory, walName);
  const names = existsSync(folder) ? await readdir(folder) : [];
  if (names.length === 0) throw new OtherStoreError(folder, "no log", file.store);
}

async function found(options: PrepareOptions, parts: Parts, declaration: ClusterDeclaration): Promise<PreparedNode> {
  const { config, clock, random, data } = options;
  const { attestor, identity, transport, expectation } = parts;
  const operators = await foundingOperators(config, declaration);
  if (expectation !== undefined) admitExpected(parts, expectation);
  // A port that is taken is found out before there is a cluster.
  await transport.start();
  if (expectation !== undefined) await parts.finding.meet(expectation.meetingGroup());
  // The log is made first, because genesis names its store; it learns the cluster's name with the next segment.
  const log = await openLog(options, undefined);
  const create = (): Genesis =>
    attestor.createGenesis({
      nonce: random.bytes(32),
      createdMs: Math.floor(clock.wallMs()),
      declaration: declaration.encode(),
      storeId: log.recovered.storeId,
      zone: zoneOf(config),
      version,
      operators,
    });
  const genesis =
    expectation === undefined
      ? create()
      : await proposeGenesis(surroundings(options, parts, expectation), data, create).catch(async (error: unknown) => {
          await log.store.close();
          throw error;
        });
  if (genesis.storeId !== log.recovered.storeId) {
    await log.store.close();
    throw new OtherStoreError(
      join(data.paths.directory, data.paths.walName),
      `store ${log.recovered.storeId}`,
      genesis.storeId,
    );
  }
  const file: NodeFile = {
    node: identity.identity.id,
    cluster: genesis.clusterId,
    store: log.recovered.storeId,
    generation: nextGeneration(clock),
    genesis: genesis.bytes,
  };
  return finish(options, { ...parts, declaration, genesis, log, file });
}

function surroundings(options: PrepareOptions, parts: Parts, expectation: Expectation): ExpectSurroundings {
  const { clock, logger, signal } = options;
  const { attestor, transport, finding } = parts;
  const addressesOf = (id: NodeId): readonly Address[] => finding.addressesOf(id);
  return { expectation, attestor, transport, clock, logger, signal, addressesOf };
}

/** Before there is a cluster, those who are to found it speak on the channel of strangers, and nobody else does. */
function admitExpected({ transport, finding }: Pick<Parts, "transport" | "finding">, expectation: Expectation): void {
  finding.seek((id) => expectation.has(id));
  transport.setAdmission((peer, channel) => channel === "join" && expectation.has(peer));
}

/** One of several that found a cluster together, and not the one that makes its genesis. */
async function follow(options: PrepareOptions, parts: Parts, expectation: Expectation): Promise<PreparedNode> {
  const { attestor } = parts;
  admitExpected(parts, expectation);
  await parts.finding.meet(expectation.meetingGroup());
  const genesis = await awaitGenesis(surroundings(options, parts, expectation), options.data);
  // The founder begins only once everybody has agreed.
  return enter(options, parts, expectedToken(attestor, expectation, genesis), expectTimeoutMs);
}

async function enter(
  options: PrepareOptions,
  parts: Parts,
  token: JoinToken,
  patienceMs: number,
): Promise<PreparedNode> {
  const { config, clock, logger, signal } = options;
  const { attestor, transport, peers, identity, finding, expectation } = parts;
  const voters = new Set(token.voters);
  transport.setAdmission((peer, channel) => channel === "join" && voters.has(peer));
  finding.seek((id) => voters.has(id) || expectation?.has(id) === true);
  await transport.start();
  await finding.meet(expectation?.meetingGroup() ?? groupIdOf(token.clusterId));
  const log = await openLog(options, token.clusterId);
  try {
    const generation = nextGeneration(clock);
    logger.info("asking to be let in", { cluster: shortId(token.clusterId), addresses: token.addresses });
    const ask = (): Promise<Joined> =>
      joinCluster({
        attestor,
        transport,
        token,
        storeId: log.recovered.storeId,
        generation,
        zone: zoneOf(config),
        version,
        addresses: advertisedAddresses(config.advertise, transport.listening()),
        addressesOf: (voter) => finding.addressesOf(voter),
        signal: AbortSignal.any([signal, AbortSignal.timeout(joinTimeoutMs)]),
      });
    // A founder that waits for others has no cluster to let anybody in to yet, and no token; who is looked for takes time to be found.
    const isEarly = expectation !== undefined || finding.isLooking;
    const joined = await insist(ask, { clock, signal, patienceMs, isEarly });
    const { genesis, chain } = joined;
    const declaration = await understoodDeclaration(joined.declaration, config);
    await checkDeclaration(config, declaration);
    await checkOperators(config, genesis, declaration);
    for (const peer of joined.peers) {
      if (peer.id === identity.identity.id) continue;
      peers.learn(peer.id, peer.addresses);
      transport.setAddresses(peer.id, peer.addresses);
    }
    // Before the node file: whoever finds that one after a crash must know whom to ask.
    await peers.save();
    const file: NodeFile = {
      node: identity.identity.id,
      cluster: genesis.clusterId,
      store: log.recovered.storeId,
      generation,
      genesis: genesis.bytes,
      declaration: joined.declaration,
      chain,
      ...(joined.recoveries.length === 0 ? {} : { recoveries: joined.recoveries }),
    };
    return await finish(options, { ...parts, declaration, genesis, log, file });
  } catch (error) {
    await log.store.close();
    throw error;
  }
}

async function openLog(options: PrepareOptions, cluster: ClusterId | undefined): Promise<OpenedLog> {
  const { disk, clock, random, logger, metrics } = options;
  const group = cluster === undefined ? {} : { groupId: groupIdOf(cluster) };
  const store = walLogStore({ disk, clock, random, logger, metrics, ...group });
  return { store, recovered: await store.open() };
}

/** Writes the node file and says how the node comes to its cluster. */
async function finish(
  options: PrepareOptions,
  parts: Parts & {
    readonly declaration: ClusterDeclaration;
    readonly genesis: Genesis;
    readonly log: OpenedLog;
    readonly file: NodeFile;
  },
): Promise<PreparedNode> {
  const { config, data } = options;
  const { genesis, log, identity } = parts;
  const zone = zoneOf(config, parts.file);
  const file: NodeFile = { ...parts.file, zone };
  await data.writeNode(file);
  const { recovered } = log;
  const isFresh = Number(recovered.lastIndex) === 0 && recovered.base.configuration === undefined;
  const origin: ClusterOrigin = {
    genesis,
    storeId: file.store,
    generation: file.generation,
    zone,
    version,
    // A crash may have come between the node file and the log's first record.
    founding: genesis.founder === identity.identity.id && isFresh,
    ...(config.upgradeVersion === undefined ? {} : { upgradeVersion: config.upgradeVersion }),
    ...(file.chain === undefined ? {} : { chain: file.chain }),
    ...(file.recoveries === undefined ? {} : { recoveries: file.recoveries }),
  };
  return { ...parts, file, origin };
}

/** What is said now, else what was said last. */
function zoneOf(config: NodeConfig, file?: NodeFile): string {
  return config.zone ?? file?.zone ?? "default";
}

/** Newer than any start before it, also where the file was restored from a backup. */
function nextGeneration(clock: Clock, file?: NodeFile): number {
  return Math.max((file?.generation ?? 0) + 1, Math.floor(clock.wallMs() / 1000));
}
