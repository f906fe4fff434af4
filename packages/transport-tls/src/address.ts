import type { Address } from "@revoada/fabric";

/** An address taken apart; the host has no brackets. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

const maxAddressLength = 261;

/** Takes `host:port` or `[v6]:port` apart; undefined for anything else. */
export function parseAddress(address: unknown): HostPort | undefined {
  if (typeof address !== "string" || address.length > maxAddressLength) return undefined;
  const match = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([\w.-]+)):(\d{1,5})$/.exec(address);
  if (match === null) return undefined;
  const host = match[1] ?? match[2];
  const port = Number(match[3]);
  if (host === undefined || port > 65_535 || (match[1] !== undefined && !host.includes(":"))) return undefined;
  return { host, port };
}

/** The opposite of {@link parseAddress}. */
export function formatAddress(host: string, port: number): Address {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

const mappedPrefix = "::ffff:";

/**
 * Who a remote address belongs to, where that counts: an IPv4 address by itself, of IPv6 the network of 64 bits, in which one host may
 * have as many addresses as it likes. `remote` is as sockets tell it.
 */
export function sourceOf(remote: string): string {
  if (remote.startsWith(mappedPrefix)) return remote.slice(mappedPrefix.length);
  if (!remote.includes(":")) return remote;
  const [whole] = remote.split("%") as [string];
  const [left, right] = whole.split("::") as [string, string | undefined];
  const groups = left === "" ? [] : left.split(":");
  if (right !== undefined) {
    const tail = right === "" ? [] : right.split(":");
    while (groups.length + tail.length < 8) groups.push("0");
    groups.push(...tail);
  }
  return `${groups.slice(0, 4).join(":")}::/64`;
}
