import type {
  ApprovalStatement,
  ClusterId,
  Hash,
  Identity,
  OperatorSignature,
  SignatureVerifier,
} from "@revoada/fabric";
import { maxTransitionsPerCommand } from "@revoada/fabric";
import { encodeCanonical } from "./canonical.ts";
import { encodeTransition, readTransition } from "./command.ts";
import { decodingAt } from "./faults.ts";
import { domainOf, openRecord } from "./fields.ts";
import { idBytes } from "./hash.ts";
import { maxCommandBytes, maxReasonBytes } from "./limits.ts";

/**
 * What an operator signs to approve of a shift: domain, cluster, the head that it is to follow upon, and the shift. A head has one chain
 * before it and is followed by one command, so that a signature counts once and nowhere else.
 */
export function encodeApproval(statement: ApprovalStatement): Uint8Array {
  const { clusterId, head, transitions, reason } = statement;
  const bytes = encodeCanonical([
    domainOf("approval"),
    idBytes(clusterId, 32),
    head.height,
    idBytes(head.hash, 32),
    transitions.map(encodeTransition),
    reason,
  ]);
  readStatement(bytes);
  return bytes;
}

/** Decodes what an operator is asked to approve of. Throws `CHAIN_INVALID`. */
export function readApproval(bytes: Uint8Array): ApprovalStatement {
  return decodingAt(0, "malformed", () => readStatement(bytes));
}

export function signApproval(statement: ApprovalStatement, identity: Identity): OperatorSignature {
  return { operator: identity.id, signature: identity.sign(encodeApproval(statement)) };
}

/** True for a signature under this statement by the key that it names. */
export function checkApproval(
  statement: ApprovalStatement,
  { operator, signature }: OperatorSignature,
  verifier: SignatureVerifier,
): boolean {
  return verifier.verify(operator, encodeApproval(statement), signature);
}

function readStatement(bytes: Uint8Array): ApprovalStatement {
  const fields = openRecord(bytes, "approval", { maxBytes: maxCommandBytes });
  const statement = {
    clusterId: fields.id<ClusterId>("clusterId", 32),
    head: { height: fields.counter("height"), hash: fields.id<Hash>("hash", 32) },
    transitions: fields.list("transitions", { least: 1, most: maxTransitionsPerCommand }).map(readTransition),
    reason: fields.text("reason", maxReasonBytes),
  };
  fields.finish();
  return statement;
}
