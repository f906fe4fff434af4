import { decode, encode, rfc8949EncodeOptions } from "cborg";
import { FieldReader, InvalidValueError, parseNodeId, type Address, type NodeId } from "@revoada/fabric";

/** Where a node says that it is. */
export interface Whereabouts {
  readonly id: NodeId;
  readonly addresses: readonly Address[];
}

/** Longest message that says where a node is. */
export const maxWhereaboutsBytes: number = 8 * 1024;

const domain = "revoada/whereabouts/1";
const maxAddresses = 16;
const addressPattern = /^(?:\[[0-9a-fA-F:.]+(?:%[\w.-]+)?\]|[\w.-]+):\d{1,5}$/;
const maxAddressLength = 261;
const signatureLength = 64;

/** A message that was taken apart and is not yet believed. */
export interface SignedWhereabouts {
  readonly whereabouts: Whereabouts;
  /** What the signature is over. */
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
}

/** The bytes that a node signs: who and where, for one group alone. */
export function messageOf(body: Uint8Array, context: Uint8Array): Uint8Array {
  return encode([domain, context, body], rfc8949EncodeOptions);
}

/** The bytes of the part that is signed. Addresses beyond the bound are left out. */
export function encodeBody({ id, addresses }: Whereabouts): Uint8Array {
  return encode({ id, addresses: addresses.slice(0, maxAddresses) }, rfc8949EncodeOptions);
}

/** The bytes that travel. */
export function encodeWhereabouts(body: Uint8Array, signature: Uint8Array): Uint8Array {
  return encode({ version: 1, body, signature }, rfc8949EncodeOptions);
}

/** Takes a message apart. Throws `FABRIC_INVALID_VALUE`; whether it is believed is for the signature to say. */
export function decodeWhereabouts(bytes: Uint8Array, context: Uint8Array): SignedWhereabouts {
  if (bytes.length > maxWhereaboutsBytes)
    throw new InvalidValueError("whereabouts", bytes, `at most ${maxWhereaboutsBytes} bytes`);
  const outer = new FieldReader(decodeStrictly(bytes, "whereabouts"), "whereabouts");
  const [version, body, signature] = [outer.take("version"), outer.take("body"), outer.take("signature")];
  outer.finish();
  if (version !== 1) throw new InvalidValueError("whereabouts.version", version, "1");
  if (!(body instanceof Uint8Array)) throw new InvalidValueError("whereabouts.body", body, "bytes");
  if (!(signature instanceof Uint8Array) || signature.length !== signatureLength)
    throw new InvalidValueError("whereabouts.signature", signature, `${signatureLength} bytes`);
  const fields = new FieldReader(decodeStrictly(body, "whereabouts.body"), "whereabouts.body");
  const whereabouts = { id: parseNodeId(fields.take("id"), fields.at("id")), addresses: addressesOf(fields) };
  fields.finish();
  return { whereabouts, message: messageOf(body, context), signature };
}

function addressesOf(fields: FieldReader): readonly Address[] {
  const value = fields.take("addresses");
  const fits = Array.isArray(value) && value.length <= maxAddresses && value.every(isAddress);
  if (!fits) throw new InvalidValueError(fields.at("addresses"), value, `at most ${maxAddresses} of host:port`);
  return value as readonly Address[];
}

function isAddress(value: unknown): boolean {
  return typeof value === "string" && value.length <= maxAddressLength && addressPattern.test(value);
}

function decodeStrictly(bytes: Uint8Array, path: string): unknown {
  try {
    return decode(bytes, { strict: true, rejectDuplicateMapKeys: true, allowIndefinite: false, allowUndefined: false });
  } catch (error) {
    throw new InvalidValueError(path, bytes, `canonical CBOR (${error instanceof Error ? error.message : "?"})`);
  }
}
