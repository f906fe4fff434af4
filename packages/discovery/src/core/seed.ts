import { parseNodeId, type AddressHint } from "@revoada/fabric";
import { DiscoverySourceError } from "../errors.ts";
import { isAddress } from "./addresses.ts";

/**
 * Reads a seed: `host:port`, or `id@host:port` where it is known who is there. Throws `DISCOVERY_INVALID_SOURCE`.
 *
 * @example
 * ```ts
 * parseSeed("10.0.0.1:7400");
 * parseSeed(`${founder}@node-1.example.com:7400`);
 * ```
 */
export function parseSeed(text: string): AddressHint {
  const expected = "host:port, or a node id, @ and host:port";
  const at = text.indexOf("@");
  const address = text.slice(at + 1);
  if (!isAddress(address)) throw new DiscoverySourceError(text, expected);
  if (at < 0) return { source: "static", addresses: [address] };
  try {
    return { source: "static", id: parseNodeId(text.slice(0, at)), addresses: [address] };
  } catch {
    throw new DiscoverySourceError(text, expected);
  }
}
