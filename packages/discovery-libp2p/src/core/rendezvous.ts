import { blake3 } from "@noble/hashes/blake3.js";
import { sha256 } from "@noble/hashes/sha2.js";

/** Where the nodes of one group meet. All of it follows from what they know and others do not. */
export interface Rendezvous {
  /** Every libp2p connection is encrypted under this key from its first byte: whoever lacks it cannot even begin a handshake. 32 bytes. */
  readonly networkKey: Uint8Array;
  /** The service that is asked for by mDNS. Seen by everybody on the LAN; says nothing of the cluster. */
  readonly serviceTag: string;
  /** What every node provides in the DHT: a SHA-256 digest, because kad-dht drops provider records of others without a word. */
  readonly providerDigest: Uint8Array;
  /** What nodes sign along with where they are, so that it counts in this group alone. 32 bytes. */
  readonly context: Uint8Array;
}

/** Bytes of what a group is derived from. */
export const groupLength = 32;

const base32 = "abcdefghijklmnopqrstuvwxyz234567";

/**
 * Derives where a group meets from 32 bytes that its nodes, and those who were invited, know: the cluster id.
 *
 * Each part is a keyed BLAKE3 hash under the group, so that none of them tells another or the group.
 */
export function rendezvousOf(group: Uint8Array): Rendezvous {
  const derive = (purpose: string): Uint8Array =>
    blake3(new TextEncoder().encode(`revoada/discovery/1/${purpose}`), { key: group });
  return {
    networkKey: derive("network"),
    // RFC 6763 §7.2: a service name has at most 15 characters.
    serviceTag: `_rvd${textOf(derive("mdns"), 11)}._udp.local`,
    providerDigest: sha256(derive("provider")),
    context: derive("whereabouts"),
  };
}

/** The first `length` characters in base32, five bits each. */
function textOf(bytes: Uint8Array, length: number): string {
  let text = "";
  for (let at = 0; at < length; at += 1) {
    const bit = at * 5;
    const pair = ((bytes[bit >> 3] ?? 0) << 8) | (bytes[(bit >> 3) + 1] ?? 0);
    text += base32[(pair >> (11 - (bit & 7))) & 31] ?? "";
  }
  return text;
}
