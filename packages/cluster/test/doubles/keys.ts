import { createHash } from "node:crypto";
import type { Hash, Identity, NodeId, StoreId } from "@revoada/fabric";

/** SHA-256 of texts and bytes, each with its length, as hex. */
export function digest(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest("hex");
}

export function hashOf(bytes: Uint8Array): Hash {
  return digest("hash", bytes) as Hash;
}

/** A node id that is the same in every run. */
export function nodeId(name: string): NodeId {
  return digest("node", name) as NodeId;
}

export function storeId(name: string): StoreId {
  return digest("store", name).slice(0, 32) as StoreId;
}

/** 64 bytes that only a test takes for a signature: whoever knows the id can make them. */
export function signatureOf(signer: string, message: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.from(digest("s1", signer, message) + digest("s2", signer, message), "hex"));
}

export function identityOf(name: string): Identity {
  const id = nodeId(name);
  return { id, sign: (message) => signatureOf(id, message) };
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

export function jsonBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(
    JSON.stringify(value, (_key, item: unknown) =>
      item instanceof Uint8Array ? { hex: Buffer.from(item).toString("hex") } : item,
    ),
  );
}

export function jsonValue(bytes: Uint8Array): unknown {
  return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes), (_key, item: unknown) => {
    const hex = (item as { hex?: unknown } | null)?.hex;
    return typeof hex === "string" ? new Uint8Array(Buffer.from(hex, "hex")) : item;
  });
}
