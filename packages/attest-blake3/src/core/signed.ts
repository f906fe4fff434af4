import type { NodeId, OperatorSignature } from "@revoada/fabric";
import type { CanonicalLimits, CanonicalValue } from "./canonical.ts";
import { decodeViews, encodeCanonical } from "./canonical.ts";
import { FieldList } from "./fields.ts";
import { idBytes } from "./hash.ts";

/** Length of an ed25519 signature (RFC 8032). */
export const signatureLength = 64;

/** The exact bytes that were signed, and the signature under them; empty where there is none. */
export interface SignedBytes {
  readonly body: Uint8Array;
  readonly signature: Uint8Array;
}

/** Body and signature as one record. The body travels as a byte string: it is never encoded again to be checked. */
export function encodeSigned(signed: SignedBytes): Uint8Array {
  return encodeCanonical([signed.body, signed.signature]);
}

/** Takes the two apart. The body is a view into `bytes`: whoever keeps a part of it copies that. */
export function decodeSigned(bytes: Uint8Array, what: string, limits: CanonicalLimits): SignedBytes {
  const fields = new FieldList(decodeViews(bytes, limits), what);
  const body = fields.view("body", { least: 1, most: limits.maxBytes });
  const signature = fields.optionalBytes("signature", { least: signatureLength, most: signatureLength });
  fields.finish();
  return { body, signature: signature ?? new Uint8Array(0) };
}

/** An operator's key and signature as the last two fields of a record that is signed by somebody else too. */
export function encodeOperatorSignature({ operator, signature }: OperatorSignature): readonly CanonicalValue[] {
  return [idBytes(operator, 32), signature];
}

export function readOperatorSignature(value: CanonicalValue, what: string): OperatorSignature {
  const fields = new FieldList(value, what);
  const operator = fields.id<NodeId>("operator", 32);
  const signature = fields.bytes("signature", { least: signatureLength, most: signatureLength });
  fields.finish();
  return { operator, signature };
}
