import { decode, encode, rfc8949EncodeOptions } from "cborg";

const encodeOptions = { ...rfc8949EncodeOptions, float64: true };
const decodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowNaN: false,
  allowInfinity: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
};

/** Canonical CBOR (RFC 8949 §4.2.1): one value has one encoding. */
export function encodeCanonical(value: unknown): Uint8Array {
  return encode(value, encodeOptions);
}

/** Decodes strictly, one value and nothing behind it; undefined where the bytes are not that. */
export function decodeCanonical(bytes: Uint8Array): unknown {
  try {
    return decode(bytes, decodeOptions);
  } catch {
    return undefined;
  }
}

export function isCounter(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

export function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array;
}
