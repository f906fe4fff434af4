import { Encoder } from "cbor-x";
import { checkShape, WireFault } from "./shape.ts";

const cbor = new Encoder({ useRecords: false, variableMapSize: true, tagUint8Array: false });

/** The bytes of a plain value. */
export function encodeWire(value: unknown): Uint8Array {
  return cbor.encode(value);
}

/** The plain value of untrusted bytes; byte strings are views into them. Throws {@link WireFault}. */
export function decodeWire(bytes: Uint8Array): unknown {
  checkShape(bytes);
  try {
    return cbor.decode(bytes) as unknown;
  } catch (error) {
    throw new WireFault(error instanceof Error ? error.message : "not CBOR");
  }
}

/** An object without its undefined fields: CBOR would carry them, and no reader takes them. */
export function compact(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
