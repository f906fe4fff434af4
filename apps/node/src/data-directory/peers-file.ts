import { readFile } from "node:fs/promises";
import type { Address, NodeId } from "@revoada/fabric";
import { writeDurably } from "../files.ts";

const maxPeers = 4096;
const maxAddresses = 16;
const maxAddressLength = 300;
const maxFileBytes = 32 * 1024 * 1024;
const nodeId = /^[0-9a-f]{64}$/;

/** Node id → where it was found last. Hints: only the key that answers counts. */
export type Peers = ReadonlyMap<NodeId, readonly Address[]>;

/** The text of a peers file. */
export function encodePeers(peers: Peers): string {
  const entries = [...peers].filter(([, addresses]) => addresses.length > 0).slice(0, maxPeers);
  return `${JSON.stringify({ version: 1, peers: Object.fromEntries(entries) }, undefined, 2)}\n`;
}

/** Reads a peers file; what cannot be understood is left out, because nothing but a first guess depends on it. */
export function decodePeers(text: string): Peers {
  const peers = new Map<NodeId, readonly Address[]>();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return peers;
  }
  const { version, peers: entries } = (value ?? {}) as { readonly version?: unknown; readonly peers?: unknown };
  if (version !== 1 || typeof entries !== "object" || entries === null) return peers;
  for (const [id, addresses] of Object.entries(entries).slice(0, maxPeers)) {
    if (!nodeId.test(id) || !Array.isArray(addresses)) continue;
    const usable = addresses.filter(
      (address): address is string => typeof address === "string" && address.length <= maxAddressLength,
    );
    peers.set(id as NodeId, usable.slice(0, maxAddresses));
  }
  return peers;
}

/** The peers of a file; nobody where there is none or it cannot be read. */
export async function loadPeers(path: string): Promise<Peers> {
  try {
    const bytes = await readFile(path);
    return bytes.length > maxFileBytes ? new Map() : decodePeers(bytes.toString("utf8"));
  } catch {
    return new Map();
  }
}

export async function savePeers(path: string, peers: Peers): Promise<void> {
  await writeDurably(path, [Buffer.from(encodePeers(peers))], { mode: 0o600 });
}
