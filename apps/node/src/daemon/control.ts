import { isAbsolute } from "node:path";
import { exportChainOf } from "@revoada/attest-blake3";
import {
  defaultKeepBlocks,
  type BrokenInvariant,
  type ChainLimits,
  type Cluster,
  type ClusterHealth,
} from "@revoada/cluster";
import {
  FieldReader,
  InvalidValueError,
  type ArchivedSegment,
  type Attestor,
  type Control,
  type LimitedRole,
  type NodeId,
  type PlainValue,
  type TopologyStrategy,
} from "@revoada/fabric";
import { registerApprovalControl } from "./approval-control.ts";
import { describeChain, type BlockLine, type ChainReport, type ExplainReport } from "./chain-report.ts";
import { registerOperatorControl, resolveId } from "./operator-control.ts";
import type { ReloadReport } from "./reload.ts";
import { registerSwitchControl } from "./switch-control.ts";
import { describeFormation, toPlain, type NodeStatus } from "./status.ts";

/** What the control methods of a node reach. */
export interface ControlHost {
  readonly cluster: Cluster;
  readonly attestor: Attestor;
  readonly status: () => NodeStatus;
  /** Gives the node's place up and then stops it. */
  readonly leave: (options: { readonly timeoutMs: number }) => Promise<void>;
  readonly createToken: (options: {
    readonly ttlMs: number;
    readonly uses: number;
    readonly label?: string;
    readonly limitedTo?: LimitedRole;
    readonly signal: AbortSignal;
  }) => Promise<string>;
  /** Has the next key committed and stops the node, to be started under it. */
  readonly rotateKey: (options: { readonly timeoutMs: number }) => Promise<NodeId>;
  /** A topology that this node may use. Rejects with `TOPOLOGY_UNKNOWN` or `TOPOLOGY_PACKAGE_INVALID`. */
  readonly findTopology: (name: string, options: { readonly minNodes?: number }) => Promise<TopologyStrategy>;
  /** Takes up what the settings say now. */
  readonly reload: () => Promise<ReloadReport>;
  /** The archive of a directory, or, where none is told, the one of the settings; undefined where there is none. */
  readonly archiveTo: (directory: string | undefined) => ChainLimits | undefined;
  /** Milliseconds since the epoch, to say which tokens are good now. */
  readonly wallMs: () => number;
}

/** How much of a chain travels in one answer. */
const chainPieceBytes = 256 * 1024;
const defaultLeaveTimeoutMs = 60_000;
/** A token lives for a day and lets 64 nodes in unless told. */
export const tokenDefaults: { readonly ttlMs: number; readonly uses: number } = { ttlMs: 24 * 3_600_000, uses: 64 };
const maxTokenTtlMs = 365 * 24 * 3_600_000;
const maxTokenUses = 1_000_000;

/** Registers everything that a node can be asked beside its face's verbs. */
export function registerControl(control: Control, host: ControlHost): void {
  const { cluster } = host;
  const answer = (method: string, work: (parameters: PlainValue, signal: AbortSignal) => unknown): void => {
    control.register(method, async (parameters, { signal }) => toPlain((await work(parameters, signal)) ?? null));
  };
  answer("status", () => host.status());
  answer("health", () => describeHealth(cluster));
  answer("formation", () => describeFormation(cluster.formation()));
  answer("identity", () => identityOf(host));
  answer("stateHash", () => cluster.stateHash());
  answer("chain.show", () => describe(host, cluster.running().directory.parts()));
  answer("formation.explain", (parameters): ExplainReport => {
    const fields = new FieldReader(parameters ?? {}, "explain");
    const given = fields.take("node");
    fields.finish();
    const { origin } = cluster.running();
    const { blocks, archivedHeight, nodes } = describe(host, cluster.chainParts());
    const known = new Set([origin.genesis.founder as string, ...nodes, ...blocks.map(({ node }) => node)]);
    const node = resolveId("node", given, known) as NodeId;
    // A switch is told at a node and moves none.
    const moves = ({ verb }: BlockLine): boolean => !["declare", "confirm", "revert"].includes(verb);
    return { node, archivedHeight, blocks: blocks.filter((block) => block.node === node && moves(block)) };
  });
  control.register("chain.export", (parameters) => pieces(exportedChain(host, parameters)));
  answer("token.create", async (parameters, signal) => {
    const fields = new FieldReader(parameters ?? {}, "token");
    const ttlMs = wholeNumber(fields, "ttlMs", tokenDefaults.ttlMs, maxTokenTtlMs);
    const uses = wholeNumber(fields, "uses", tokenDefaults.uses, maxTokenUses);
    const [label, role] = [fields.take("label"), fields.take("role")];
    fields.finish();
    if (label !== undefined && typeof label !== "string")
      throw new InvalidValueError(fields.at("label"), label, "a text");
    const limits = role === undefined ? {} : limitOf(role, fields.at("role"));
    const named = label === undefined ? {} : { label };
    return { token: await host.createToken({ ttlMs, uses, signal, ...named, ...limits }) };
  });
  registerOperatorControl(answer, cluster, host.wallMs);
  registerSwitchControl(answer, host);
  answer("reload", () => host.reload());
  answer("chain.archive", (parameters, signal) => archive(host, parameters, signal));
  registerApprovalControl(answer, cluster, host.attestor);
  answer("leave", async (parameters) => {
    const fields = new FieldReader(parameters ?? {}, "leave");
    const timeoutMs = wholeNumber(fields, "timeoutMs", defaultLeaveTimeoutMs, 600_000);
    fields.finish();
    await host.leave({ timeoutMs });
    return { left: true };
  });
  answer("key.rotate", async (parameters) => {
    const fields = new FieldReader(parameters ?? {}, "key");
    const timeoutMs = wholeNumber(fields, "timeoutMs", defaultLeaveTimeoutMs, 600_000);
    fields.finish();
    const { id } = host.attestor.identity;
    return { from: id, to: await host.rotateKey({ timeoutMs }) };
  });
}

function describe({ cluster, attestor }: ControlHost, parts: ReturnType<Cluster["chainParts"]>): ChainReport {
  const { clusterId } = cluster.running().origin.genesis;
  const signedHeight = cluster.chainHeads()?.operatorSigned?.height;
  return describeChain(attestor, clusterId, parts, (command) => cluster.decisionOf(command), signedHeight);
}

/** What a token lets its holder become: a master may be anything. */
function limitOf(role: unknown, path: string): { readonly limitedTo?: LimitedRole } {
  if (role === "master") return {};
  if (role === "worker" || role === "observer") return { limitedTo: role };
  throw new InvalidValueError(path, role, "master, worker or observer");
}

/** What `health` answers: all that the layers say of themselves, and the first invariant that does not hold. */
export interface HealthReport extends ClusterHealth {
  readonly ok: boolean;
  readonly broken?: BrokenInvariant;
}

export function describeHealth(cluster: Cluster): HealthReport {
  const health = cluster.health();
  const broken = cluster.check();
  const ok = health.running && broken === undefined && health.condition !== "no-quorum";
  return { ok, ...health, ...(broken === undefined ? {} : { broken }) };
}

/** What `chain.archive` answers: one segment, and what there is beside it. */
export interface ArchiveReport {
  readonly place: string;
  readonly keepBlocks: number;
  readonly sealedHeight: number;
  /** The blocks up to here are archived and dropped. */
  readonly archivedHeight: number;
  /** Absent where too few blocks may go. */
  readonly segment?: ArchivedSegment;
}

async function archive(
  { cluster, archiveTo }: ControlHost,
  parameters: PlainValue,
  signal: AbortSignal,
): Promise<ArchiveReport> {
  const fields = new FieldReader(parameters ?? {}, "archive");
  const to = fields.take("to");
  const keep = fields.take("keep");
  const dryRun = fields.boolean("dryRun", false);
  fields.finish();
  if (to !== undefined && (typeof to !== "string" || !isAbsolute(to)))
    throw new InvalidValueError("archive.to", to, "the whole path of a directory");
  const limits = archiveTo(to);
  if (limits === undefined)
    throw new InvalidValueError("archive.to", to, "a directory, by --to or by the setting chainArchiveDir");
  const keepBlocks = keep ?? limits.keepBlocks ?? defaultKeepBlocks;
  if (typeof keepBlocks !== "number" || !Number.isSafeInteger(keepBlocks) || keepBlocks < 16)
    throw new InvalidValueError("archive.keep", keepBlocks, "a whole number from 16");
  const segment = await cluster.archive({ sink: limits.sink, keepBlocks, partial: true, dryRun }, { signal });
  const { sealedHeight, firstKeptHeight } = cluster.health().chain;
  const facts = { place: limits.sink.place, keepBlocks, sealedHeight, archivedHeight: firstKeptHeight - 1 };
  return segment === undefined ? facts : { ...facts, segment };
}

function identityOf(host: ControlHost): unknown {
  const { id, cluster, declaration, generation, dataDir } = host.status();
  return { node: id, cluster, declaration, storeId: host.cluster.running().origin.storeId, generation, dataDir };
}

/** The chain as a bare file, or where that is asked for as an export that this node signs. */
function exportedChain({ cluster, attestor, wallMs }: ControlHost, parameters: PlainValue): Uint8Array {
  const fields = new FieldReader(parameters ?? {}, "export");
  const signed = fields.take("signed") ?? false;
  const [from, to] = [heightOf(fields, "from"), heightOf(fields, "to")];
  fields.finish();
  if (typeof signed !== "boolean") throw new InvalidValueError(fields.at("signed"), signed, "true or false");
  const chain = cluster.exportChain();
  if (!signed) return chain;
  const { clusterId } = cluster.running().origin.genesis;
  const part = { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
  return exportChainOf(chain, clusterId, { exportedMs: wallMs(), ...part }, attestor.identity);
}

function heightOf(fields: FieldReader, name: string): number | undefined {
  const value = fields.take(name);
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 1) return value;
  throw new InvalidValueError(fields.at(name), value, "a height from 1");
}

async function* pieces(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += chainPieceBytes)
    yield bytes.subarray(offset, offset + chainPieceBytes);
}

function wholeNumber(fields: FieldReader, name: string, fallback: number, most: number): number {
  const value = fields.take(name) ?? fallback;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 1 && value <= most) return value;
  throw new InvalidValueError(fields.at(name), value, `a whole number from 1 to ${most}`);
}
