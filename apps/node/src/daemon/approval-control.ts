import type { Cluster } from "@revoada/cluster";
import {
  FieldReader,
  InvalidValueError,
  parseNodeId,
  type Attestor,
  type NodeId,
  type OperatorSignature,
  type PlainValue,
} from "@revoada/fabric";

/** What `chain.pending` answers. Statements are canonical bytes. */
export interface PendingReport {
  readonly cluster: string;
  readonly waiting: readonly { readonly statement: Uint8Array; readonly kind: string; readonly sinceMs: number }[];
  /** The last orders that waited and were dropped, and why. */
  readonly dropped: readonly {
    readonly statement: Uint8Array;
    readonly sinceMs: number;
    readonly droppedMs: number;
    readonly why: string;
  }[];
}

/** What `operator.list` answers. */
export interface OperatorReport {
  /** The keys in force, and the height from which each counts. */
  readonly keys: readonly { readonly key: NodeId; readonly since: number }[];
  readonly height: number;
  readonly sealedHeight: number;
  /** Up to where an operator vouches for the chain. */
  readonly signedHeight: number;
}

const timeoutMs = 20_000;

type Answer = (method: string, work: (parameters: PlainValue, signal: AbortSignal) => unknown) => void;

/** Registers what operators' keys are asked for and bring. No key comes this way: signatures do. */
export function registerApprovalControl(answer: Answer, cluster: Cluster, attestor: Attestor): void {
  answer("chain.pending", async (): Promise<PendingReport> => {
    const { waiting, dropped } = await cluster.pending({ timeoutMs });
    return {
      cluster: cluster.running().origin.genesis.clusterId,
      waiting: waiting.map(({ statement, kind, sinceMs }) => ({
        statement: attestor.encodeApproval(statement),
        kind,
        sinceMs,
      })),
      dropped: dropped.map(({ statement, ...rest }) => ({ ...rest, statement: attestor.encodeApproval(statement) })),
    };
  });
  answer("chain.approve", async (parameters) => {
    const fields = new FieldReader(parameters ?? {}, "approval");
    const statement = bytesOf(fields, "statement");
    const approval: OperatorSignature = {
      operator: parseNodeId(fields.take("operator"), "approval.operator"),
      signature: bytesOf(fields, "signature"),
    };
    fields.finish();
    return { generation: await cluster.approve(attestor.readApproval(statement), approval, { timeoutMs }) };
  });
  answer("chain.cosign", async (parameters) => {
    const fields = new FieldReader(parameters ?? {}, "cosignature");
    const cosignature = bytesOf(fields, "cosignature");
    fields.finish();
    await cluster.cosign(cosignature, { timeoutMs });
    return { signedHeight: cluster.chainHeads()?.operatorSigned?.height ?? 0 };
  });
  answer("operator.list", (): OperatorReport => describeOperators(cluster));
  answer("operator.order", async (parameters) => {
    const fields = new FieldReader(parameters ?? {}, "operator");
    const verb = fields.oneOf("verb", ["enrol", "revoke"]);
    const key = parseNodeId(fields.take("key"), "operator.key");
    fields.finish();
    return { generation: await cluster.orderKey(verb, key, { timeoutMs }) };
  });
}

function describeOperators(cluster: Cluster): OperatorReport {
  const { operators } = cluster.formation();
  const heads = cluster.chainHeads();
  const keys = [...(operators ?? [])].map(([key, since]) => ({ key, since: Number(since) }));
  return {
    keys: keys.toSorted((a, b) => a.since - b.since || (a.key < b.key ? -1 : 1)),
    height: heads?.head.height ?? 0,
    sealedHeight: heads?.sealed.height ?? 0,
    signedHeight: heads?.operatorSigned?.height ?? 0,
  };
}

function bytesOf(fields: FieldReader, name: string): Uint8Array {
  const value = fields.take(name);
  if (value instanceof Uint8Array) return value;
  throw new InvalidValueError(fields.at(name), value, "bytes");
}
