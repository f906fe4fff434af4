import {
  isFabricError,
  type ApprovalStatement,
  type FabricStrategy,
  type Face,
  type OperatorSignature,
  type PlainValue,
} from "@revoada/fabric";
import { controlClient, type ControlClient } from "@revoada/face-pure-raft";
import type { OperatorReport, PendingReport } from "./daemon/approval-control.ts";
import type { ChainReport, ExplainReport } from "./daemon/chain-report.ts";
import type { ArchiveReport, HealthReport } from "./daemon/control.ts";
import type { ShiftReport, TokenLine } from "./daemon/operator-control.ts";
import type { ReloadReport } from "./daemon/reload.ts";
import { toPlain, type FormationReport, type NodeStatus } from "./daemon/status.ts";
import type { DeclarationReport, ProgressReport, SwitchReport } from "./daemon/switch-control.ts";
import { findSocket } from "./data-directory/data-directory.ts";
import { unsignedAttestor } from "./operator/keys.ts";
import type { WaitingLine } from "./operator/request.ts";
import { NodeUnreachableError } from "./errors.ts";

const connectTimeoutMs = 5_000;
/** What an answer may be waited for unless told. */
const callTimeoutMs = 30_000;
/** A node that leaves waits for the others first. */
const leaveMarginMs = 15_000;
const defaultLeaveTimeoutMs = 60_000;

/** Who a node is, as its daemon says. */
export interface NodeIdentity {
  readonly node: string;
  readonly cluster: string;
  readonly declaration: string;
  readonly storeId: string;
  readonly generation: number;
  readonly dataDir: string;
}

/** An order that waited for an operator and was dropped. */
export interface DroppedLine {
  readonly statement: ApprovalStatement;
  readonly sinceMs: number;
  readonly droppedMs: number;
  readonly why: string;
}

/** A daemon, asked over the control socket of its data directory. Calls reject with the daemon's own codes. */
export interface NodeClient extends AsyncDisposable {
  /** The verbs of the cluster's face. */
  readonly face: Pick<Face, "apply" | "get" | "list" | "delete" | "watch" | "snapshot" | "restore" | "leases">;
  status(): Promise<NodeStatus>;
  health(): Promise<HealthReport>;
  formation(): Promise<FormationReport>;
  identity(): Promise<NodeIdentity>;
  /** The hash of the replicated state and the index that it is of. */
  stateHash(): Promise<{ readonly appliedIndex: number; readonly hash: string }>;
  chainShow(): Promise<ChainReport>;
  /** The shifts of one node, given by its id or the beginning of it, and why they were made. */
  explain(node: string): Promise<ExplainReport>;
  /**
   * The chain as a file that verifies offline. With `signed` it is an export in CBOR under the node's signature, of the whole or of the blocks `from` to
   * `to`.
   */
  chainExport(options?: {
    readonly signed?: boolean;
    readonly from?: number;
    readonly to?: number;
  }): Promise<Uint8Array>;
  createToken(options?: {
    readonly ttlMs?: number;
    readonly uses?: number;
    readonly label?: string;
    /** The most that a newcomer may become; `master`, which may be anything, unless told. */
    readonly role?: string;
  }): Promise<string>;
  /** The join tokens that the cluster keeps, without their secrets. */
  tokens(): Promise<readonly TokenLine[]>;
  /** Ends a token, told by its id or a beginning of it that no other has. */
  revokeToken(id: string): Promise<{ readonly revoked: string }>;
  /** Asks for a shift of one node, or, with `dryRun`, what it would be. */
  propose(order: {
    readonly verb: string;
    readonly node: string;
    readonly role?: string;
    readonly dryRun?: boolean;
  }): Promise<ShiftReport>;
  /** Asks for another declaration, or, with `dryRun`, whether it would be committed. */
  switchTo(wanted: {
    readonly topology?: string;
    readonly minNodes?: number;
    readonly strategy?: FabricStrategy;
    readonly withinMs?: number;
    readonly dryRun?: boolean;
  }): Promise<SwitchReport>;
  /** The shifts above a generation, and whether a switch is still under way. */
  progress(after: number): Promise<ProgressReport>;
  /** What the cluster is, as the node goes by it. */
  declaration(): Promise<DeclarationReport>;
  /** Has the daemon read its settings again. Rejects, with nothing changed, where they are wrong. */
  reload(): Promise<ReloadReport>;
  /** What waits for an operator's approval. Rejects with `CLUSTER_NO_OPERATORS`. */
  pending(): Promise<{
    readonly cluster: string;
    readonly waiting: readonly WaitingLine[];
    readonly dropped: readonly DroppedLine[];
  }>;
  /** Has a shift committed that an operator approves of; resolves with the generation after it. */
  approve(statement: ApprovalStatement, approval: OperatorSignature): Promise<number>;
  /** Commits an operator's signature under a sealed head, as canonical bytes. */
  cosign(cosignature: Uint8Array): Promise<undefined>;
  /** Puts the next segment of the sealed chain away, and has its blocks dropped; with `dryRun`, says what would be. */
  archive(order: { readonly to?: string; readonly keep?: number; readonly dryRun?: boolean }): Promise<ArchiveReport>;
  /** The operator keys in force, and up to where they vouch for the chain. */
  operators(): Promise<OperatorReport>;
  /** Has an operator key wait to be enrolled or revoked. Rejects with `CLUSTER_AWAITS_OPERATOR` once it does. */
  orderKey(verb: "enrol" | "revoke", key: string): Promise<void>;
  /** Takes a node out of the cluster for ever, told by its id or a beginning of it that no other has. */
  removeNode(node: string, options?: { readonly timeoutMs?: number }): Promise<{ readonly removed: string }>;
  /** Resolves once the node's next key is committed; its daemon starts anew under it then. */
  rotateKey(options?: { readonly timeoutMs?: number }): Promise<{ readonly from: string; readonly to: string }>;
  /** Resolves once the cluster has let the node go; its daemon stops then. */
  leave(options?: { readonly timeoutMs?: number }): Promise<void>;
}

/**
 * Connects to the daemon of a data directory. Rejects with `NODE_UNREACHABLE` where none answers.
 *
 * @example
 * ```ts
 * const node = await connectNode("./revoada-data");
 * const { consensus } = await node.status();
 * ```
 */
export async function connectNode(
  directory: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<NodeClient> {
  const path = await findSocket(directory);
  const deadline = AbortSignal.timeout(connectTimeoutMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
  try {
    return wrap(await controlClient(path, { signal, timeoutMs: callTimeoutMs }), options.signal);
  } catch (error) {
    if (deadline.aborted && options.signal?.aborted !== true)
      throw new NodeUnreachableError(directory, `no answer within ${connectTimeoutMs} ms`, error);
    if (isFabricError(error, "CONTROL_UNREACHABLE"))
      throw new NodeUnreachableError(directory, whyUnreachable(error), error);
    throw error;
  }
}

/** A daemon of another user runs, as far as anybody can tell: to ask whether it does would lead astray. */
function whyUnreachable({ cause }: Error): string {
  const code = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined;
  const isDenied = code === "EACCES" || code === "EPERM";
  return isDenied ? "permission denied, the directory belongs to another user" : "is revoada up running?";
}

function readLine<T extends { readonly statement: Uint8Array }>({
  statement,
  ...line
}: T): Omit<T, "statement"> & { readonly statement: ApprovalStatement } {
  return { ...line, statement: unsignedAttestor().readApproval(statement) };
}

function wrap(client: ControlClient, signal: AbortSignal | undefined): NodeClient {
  const interruptible = signal === undefined ? {} : { signal };
  // Daemon and client are one program; what the daemon answers is trusted as far as its socket is.
  const ask = async <T>(method: string, parameters: PlainValue = null, timeoutMs: number = callTimeoutMs): Promise<T> =>
    (await client.call(method, parameters, { ...interruptible, timeoutMs })) as T;
  return {
    face: client,
    status: () => ask<NodeStatus>("status"),
    health: () => ask<HealthReport>("health"),
    formation: () => ask<FormationReport>("formation"),
    identity: () => ask<NodeIdentity>("identity"),
    stateHash: () => ask<{ readonly appliedIndex: number; readonly hash: string }>("stateHash"),
    chainShow: () => ask<ChainReport>("chain.show"),
    explain: (node) => ask<ExplainReport>("formation.explain", { node }),
    async chainExport(options = {}): Promise<Uint8Array> {
      const pieces: Uint8Array[] = [];
      const stream = client.stream("chain.export", { ...options }, interruptible);
      for await (const piece of stream) pieces.push(piece as Uint8Array);
      return Buffer.concat(pieces);
    },
    async createToken({ ttlMs, uses, label, role } = {}): Promise<string> {
      const parameters = {
        ...(ttlMs === undefined ? {} : { ttlMs }),
        ...(uses === undefined ? {} : { uses }),
        ...(label === undefined ? {} : { label }),
        ...(role === undefined ? {} : { role }),
      };
      return (await ask<{ readonly token: string }>("token.create", parameters)).token;
    },
    tokens: async () => (await ask<{ readonly tokens: readonly TokenLine[] }>("token.list")).tokens,
    revokeToken: (id) => ask<{ readonly revoked: string }>("token.revoke", { id }),
    propose: (order) => ask<ShiftReport>("formation.propose", { ...order }),
    switchTo: (wanted) => ask<SwitchReport>("formation.switch", toPlain(wanted)),
    progress: (after) => ask<ProgressReport>("formation.progress", { after }),
    declaration: () => ask<DeclarationReport>("declaration"),
    reload: () => ask<ReloadReport>("reload"),
    async pending() {
      const { cluster, waiting, dropped } = await ask<PendingReport>("chain.pending");
      return { cluster, waiting: waiting.map(readLine), dropped: dropped.map(readLine) };
    },
    async approve(statement, { operator, signature }): Promise<number> {
      const bytes = unsignedAttestor().encodeApproval(statement);
      const answer = await ask<{ readonly generation: number }>("chain.approve", {
        statement: bytes,
        operator,
        signature,
      });
      return answer.generation;
    },
    async cosign(cosignature): Promise<undefined> {
      await ask("chain.cosign", { cosignature });
    },
    archive: (order) => ask<ArchiveReport>("chain.archive", { ...order }),
    operators: () => ask<OperatorReport>("operator.list"),
    async orderKey(verb, key): Promise<void> {
      await ask("operator.order", { verb, key });
    },
    removeNode: (id, { timeoutMs = defaultLeaveTimeoutMs } = {}) =>
      ask<{ readonly removed: string }>("node.remove", { node: id, timeoutMs }, timeoutMs + leaveMarginMs),
    rotateKey: ({ timeoutMs = defaultLeaveTimeoutMs } = {}) =>
      ask<{ readonly from: string; readonly to: string }>("key.rotate", { timeoutMs }, timeoutMs + leaveMarginMs),
    async leave({ timeoutMs = defaultLeaveTimeoutMs } = {}): Promise<void> {
      await ask("leave", { timeoutMs }, timeoutMs + leaveMarginMs);
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}
