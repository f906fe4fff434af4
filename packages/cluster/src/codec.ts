import { InvalidValueError } from "@revoada/fabric";
import { decode, encode, rfc8949EncodeOptions } from "cborg";

/** Canonical CBOR (RFC 8949 §4.2.1): one value has one encoding, so that what is hashed or signed is never in doubt. */
export function encodeCanonical(value: unknown): Uint8Array {
  return encode(value, { ...rfc8949EncodeOptions, float64: true });
}

/**
 * Decodes canonical CBOR strictly: no indefinite lengths, no duplicate keys, no tags, no floats, nothing behind the value.
 * Throws `FABRIC_INVALID_VALUE`, naming `path`.
 */
export function decodeCanonical(bytes: Uint8Array, path: string): unknown {
  let value: unknown;
  try {
    value = decode(bytes, {
      strict: true,
      allowIndefinite: false,
      allowUndefined: false,
      allowNaN: false,
      allowInfinity: false,
      allowBigInt: false,
      rejectDuplicateMapKeys: true,
    });
  } catch (error) {
    throw new InvalidValueError(
      path,
      bytes,
      `canonical CBOR (${error instanceof Error ? error.message : String(error)})`,
    );
  }
  return value;
}

/** The 8 bytes of a whole number, most significant first, so that numeric order is byte order. */
export function orderedKey(value: number): Uint8Array {
  const key = new Uint8Array(8);
  new DataView(key.buffer).setBigUint64(0, BigInt(value));
  return key;
}

/** The number of an {@link orderedKey}. */
export function numberOfKey(key: Uint8Array): number {
  return Number(new DataView(key.buffer, key.byteOffset, 8).getBigUint64(0));
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function textKey(text: string): Uint8Array {
  return encoder.encode(text);
}

export function textOfKey(key: Uint8Array): string {
  return decoder.decode(key);
}
