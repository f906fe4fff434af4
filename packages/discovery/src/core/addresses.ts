import type { Address } from "@revoada/fabric";

const maxAddressLength = 261;
const pattern = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([\w.-]+)):(\d{1,5})$/;

/** `host:port` or `[v6]:port`, with a port that can be dialled. */
export function isAddress(value: unknown): value is Address {
  if (typeof value !== "string" || value.length > maxAddressLength) return false;
  const match = pattern.exec(value);
  if (match === null) return false;
  const port = Number(match[3]);
  return port >= 1 && port <= 65_535 && (match[1] === undefined || match[1].includes(":"));
}

/** An IP and a port as an address; IPv6 in brackets. */
export function formatAddress(host: string, port: number): Address {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * True for an IP that one host can have: not the unspecified address, nor multicast, nor broadcast. Whoever answers a question of
 * names could otherwise have every node speak to a whole network.
 */
export function isUnicast(ip: string): boolean {
  const four = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(ip);
  if (four !== null) {
    const parts = four.slice(1).map(Number);
    const first = parts[0] ?? 0;
    return parts.every((part) => part <= 255) && first !== 0 && first < 224;
  }
  if (!/^[0-9a-fA-F:]+(?:\d{1,3}(?:\.\d{1,3}){3})?(?:%[\w.-]+)?$/.test(ip) || !ip.includes(":")) return false;
  const isUnspecified = /^[0:]+(?:%[\w.-]+)?$/.test(ip);
  return !isUnspecified && !/^ff/i.test(ip);
}
