import {
  ChainVerifier,
  decodeCanonical,
  ed25519Verifier,
  encodeCanonical,
  readChainFile,
  type CanonicalValue,
  type VerifiedBlock,
} from "@revoada/attest-blake3";
import {
  parseClusterId,
  parseNodeId,
  type ApprovalStatement,
  type Attestor,
  type ChainHead,
  type ClusterId,
  type NodeId,
  type OperatorSignature,
} from "@revoada/fabric";
import { OperatorFileError, OperatorKeyError } from "../errors.ts";
import { unsignedAttestor } from "./keys.ts";

/** A shift that waits for an operator's approval. */
export interface WaitingLine {
  readonly statement: ApprovalStatement;
  readonly kind: string;
  /** Milliseconds since the epoch. */
  readonly sinceMs: number;
}

/** What an operator is asked to sign: the whole chain, so that nothing has to be believed, and what waits. */
export interface OperatorRequest {
  readonly cluster: ClusterId;
  /** A chain file. */
  readonly chain: Uint8Array;
  readonly waiting: readonly WaitingLine[];
}

/** What an operator sends back: signatures, never a key. */
export interface OperatorAnswer {
  readonly cluster: ClusterId;
  /** Canonical bytes of a cosignature; absent where no block awaits one. */
  readonly cosignature?: Uint8Array;
  readonly approvals: readonly { readonly statement: ApprovalStatement; readonly approval: OperatorSignature }[];
}

/** What a request comes to once its chain is verified. */
export interface ReviewedRequest {
  readonly cluster: ClusterId;
  /** The head that voters have sealed and an operator signs; absent where nothing but genesis is sealed. */
  readonly sealed?: ChainHead;
  /** The highest head that an operator vouches for. */
  readonly signed: ChainHead;
  /** Operator keys in force at the sealed head. */
  readonly operators: readonly NodeId[];
  /** Sealed blocks that await an operator. */
  readonly unsigned: readonly VerifiedBlock[];
  /** What waits and would follow upon the sealed head. */
  readonly waiting: readonly WaitingLine[];
}

const requestMagic = "revoada/operator-request/1";
const answerMagic = "revoada/operator-answer/1";
/** A request holds a chain. */
export const maxRequestBytes: number = 1024 * 1024 * 1024;
export const maxAnswerBytes: number = 16 * 1024 * 1024;

export function encodeRequest({ cluster, chain, waiting }: OperatorRequest): Uint8Array {
  const attestor = unsignedAttestor();
  const lines = waiting.map(({ statement, kind, sinceMs }) => [attestor.encodeApproval(statement), kind, sinceMs]);
  return encodeCanonical([requestMagic, cluster, chain, lines]);
}

/** Rejects with `OPERATOR_FILE_INVALID`, or `CHAIN_INVALID` for a statement that is none. */
export function decodeRequest(bytes: Uint8Array, file: string): OperatorRequest {
  const [, cluster, chain, lines] = open(bytes, requestMagic, { file, maxBytes: maxRequestBytes, fields: 4 });
  const attestor = unsignedAttestor();
  if (!(chain instanceof Uint8Array) || !Array.isArray(lines)) throw new OperatorFileError(file, "its form is wrong");
  return {
    cluster: parseClusterId(cluster, "request.cluster"),
    chain,
    waiting: (lines as readonly CanonicalValue[]).map((line): WaitingLine => {
      const [statement, kind, sinceMs] = Array.isArray(line) ? (line as readonly CanonicalValue[]) : [];
      if (!(statement instanceof Uint8Array) || typeof kind !== "string" || typeof sinceMs !== "number")
        throw new OperatorFileError(file, "its form is wrong");
      return { statement: attestor.readApproval(statement), kind, sinceMs };
    }),
  };
}

export function encodeAnswer({ cluster, cosignature, approvals }: OperatorAnswer): Uint8Array {
  const attestor = unsignedAttestor();
  const signed = approvals.map(({ statement, approval }) => [
    attestor.encodeApproval(statement),
    approval.operator,
    approval.signature,
  ]);
  return encodeCanonical([answerMagic, cluster, cosignature ?? null, signed]);
}

/** Rejects with `OPERATOR_FILE_INVALID`, or `CHAIN_INVALID` for a statement that is none. */
export function decodeAnswer(bytes: Uint8Array, file: string): OperatorAnswer {
  const [, cluster, cosignature, lines] = open(bytes, answerMagic, { file, maxBytes: maxAnswerBytes, fields: 4 });
  const attestor = unsignedAttestor();
  if (!(cosignature === null || cosignature instanceof Uint8Array) || !Array.isArray(lines))
    throw new OperatorFileError(file, "its form is wrong");
  return {
    cluster: parseClusterId(cluster, "answer.cluster"),
    ...(cosignature === null ? {} : { cosignature }),
    approvals: (lines as readonly CanonicalValue[]).map((line) => {
      const [statement, operator, signature] = Array.isArray(line) ? (line as readonly CanonicalValue[]) : [];
      if (!(statement instanceof Uint8Array) || !(signature instanceof Uint8Array))
        throw new OperatorFileError(file, "its form is wrong");
      const approval = { operator: parseNodeId(operator, "answer.operator"), signature };
      return { statement: attestor.readApproval(statement), approval };
    }),
  };
}

function open(
  bytes: Uint8Array,
  magic: string,
  { file, maxBytes, fields }: { readonly file: string; readonly maxBytes: number; readonly fields: number },
): readonly CanonicalValue[] {
  let value: CanonicalValue;
  try {
    value = decodeCanonical(bytes, { maxBytes });
  } catch (error) {
    throw new OperatorFileError(file, error instanceof Error ? error.message : "it cannot be read");
  }
  const list = Array.isArray(value) ? (value as readonly CanonicalValue[]) : [];
  if (list[0] !== magic || list.length !== fields) throw new OperatorFileError(file, `expected a file of ${magic}`);
  return list;
}

/**
 * Verifies the chain of a request and takes from it, and from nothing else, what there is to sign. Throws `CHAIN_INVALID`, and
 * `OPERATOR_FILE_INVALID` where it is of another cluster than `expected`.
 */
export function reviewRequest(request: OperatorRequest, expected?: ClusterId): ReviewedRequest {
  const { cluster } = request;
  if (expected !== undefined && cluster !== expected)
    throw new OperatorFileError("the request", `it is of cluster ${cluster}, expected ${expected}`);
  const [first, ...records] = readChainFile(request.chain);
  if (first?.kind !== "genesis") throw new OperatorFileError("the request", "its chain does not begin with a genesis");
  // An operator is shown what was recovered from, as everything else, and signs for it or does not.
  const believes = (): boolean => true;
  const verifier = new ChainVerifier({
    genesis: first.bytes,
    clusterId: cluster,
    verifier: ed25519Verifier(),
    believes,
  });
  const blocks: VerifiedBlock[] = [];
  for (const { kind, bytes } of records) {
    if (kind === "block") blocks.push(verifier.addBlock(bytes));
    else if (kind === "seal") verifier.addSeal(bytes);
    else if (kind === "cosignature") verifier.addCosignature(bytes);
    // What an operator had vouched for may be archived; what led over it is checked as everything else.
    else if (kind === "hop") verifier.addHop(bytes);
    else if (kind === "checkpoint") verifier.addCheckpoint(bytes);
  }
  const [sealed, signed] = [verifier.sealed(), verifier.operatorSigned()];
  const unsigned = blocks.filter(({ height }) => height > signed.height && height <= (sealed?.height ?? 0));
  return {
    cluster,
    ...(sealed === undefined ? {} : { sealed }),
    signed,
    operators: [...(verifier.sealedFormation().operators?.keys() ?? [])].toSorted(),
    unsigned,
    waiting: request.waiting.filter(
      ({ statement }) => statement.clusterId === cluster && statement.head.hash === (sealed?.hash ?? cluster),
    ),
  };
}

/** A short name for a shift that waits: the same whatever head it would follow. */
export function shiftId(statement: ApprovalStatement, attestor: Attestor = unsignedAttestor()): string {
  const head = { height: 0, hash: statement.clusterId as string as ChainHead["hash"] };
  return attestor.hash(attestor.encodeApproval({ ...statement, head, reason: "" })).slice(0, 12);
}

/** Throws `OPERATOR_KEY_UNKNOWN` where the key is not in force in the chain that was reviewed. */
export function requireInForce({ operators }: Pick<ReviewedRequest, "operators">, key: NodeId): void {
  if (!operators.includes(key)) throw new OperatorKeyError(key, operators);
}

/** Signs the sealed head, where blocks await that, and these shifts. Throws `OPERATOR_KEY_UNKNOWN`. */
export function signRequest(
  reviewed: ReviewedRequest,
  attestor: Attestor,
  shifts: readonly WaitingLine[],
): OperatorAnswer {
  requireInForce(reviewed, attestor.identity.id);
  const { cluster, sealed, unsigned } = reviewed;
  const cosignature =
    sealed === undefined || unsigned.length === 0 ? {} : { cosignature: cosigned(attestor, cluster, sealed) };
  const approvals = shifts.map(({ statement }) => ({ statement, approval: attestor.signApproval(statement) }));
  return { cluster, ...cosignature, approvals };
}

function cosigned(attestor: Attestor, cluster: ClusterId, head: ChainHead): Uint8Array {
  return attestor.encodeCosignature(attestor.cosign(cluster, head));
}
