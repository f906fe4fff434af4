import type { Protocol } from "@revoada/fabric";
import { FaceProtocolError } from "../errors.ts";
import { decodeWire } from "../wire/cbor.ts";
import { WireFault } from "../wire/shape.ts";

/** How nodes ask each other's faces. */
export const faceProtocol: Protocol = { name: "/revoada/face/1", channel: "bulk" };

/** What a message says, and the rest of it, still unchecked. Throws `FACE_PROTOCOL`. */
export function openMessage(bytes: Uint8Array): { readonly type: string; readonly rest: readonly unknown[] } {
  let value: unknown;
  try {
    value = decodeWire(bytes);
  } catch (error) {
    if (error instanceof WireFault) throw new FaceProtocolError(error.message);
    throw error;
  }
  const [type, ...rest] = Array.isArray(value) ? (value as readonly unknown[]) : [];
  if (typeof type !== "string") throw new FaceProtocolError("a message without type");
  return { type, rest };
}
