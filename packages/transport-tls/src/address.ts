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
