import { encodeCanonical } from "./canonical.ts";
import type { CanonicalLimits } from "./canonical.ts";
import { decodeCanonical } from "./canonical.ts";
import { FieldList } from "./fields.ts";

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

export function decodeSigned(bytes: Uint8Array, what: string, limits: CanonicalLimits): SignedBytes {
  const fields = new FieldList(decodeCanonical(bytes, limits), what);
  const body = fields.bytes("body", { least: 1, most: limits.maxBytes });
  const signature = fields.optionalBytes("signature", { least: signatureLength, most: signatureLength });
  fields.finish();
  return { body, signature: signature ?? new Uint8Array(0) };
}
