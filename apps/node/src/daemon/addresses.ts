import { networkInterfaces } from "node:os";
import type { Address } from "@revoada/fabric";

const maxAddresses = 16;

/** Addresses of this host that others may reach: not loopback, and not bound to one link. */
function hostAddresses(): readonly string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all
    .filter(
      ({ internal, address, family }) => !internal && !(family === "IPv6" && address.toLowerCase().startsWith("fe80")),
    )
    .toSorted((a, b) => a.family.localeCompare(b.family))
    .map(({ address, family }) => (family === "IPv6" ? `[${address}]` : address));
}

/**
 * What others are told: what the operator said, with the real port for 0, or else where the node listens; a node that listens on all
 * of a host's addresses names them.
 */
export function advertisedAddresses(
  advertise: Address | undefined,
  listening: readonly Address[],
  hosts: () => readonly string[] = hostAddresses,
): readonly Address[] {
  const portOf = (address: Address): string => address.slice(address.lastIndexOf(":") + 1);
  if (advertise !== undefined) {
    const [real] = listening;
    return [real !== undefined && portOf(advertise) === "0" ? advertise.replace(/0$/, portOf(real)) : advertise];
  }
  const expanded = listening.flatMap((address) => {
    const anywhere = address.startsWith("0.0.0.0:") || address.startsWith("[::]:");
    if (!anywhere) return [address];
    const v4Only = address.startsWith("0.0.0.0:");
    const found = hosts().filter((host) => !v4Only || !host.startsWith("["));
    // A host with no network still talks to itself.
    return (found.length > 0 ? found : ["127.0.0.1"]).map((host) => `${host}:${portOf(address)}`);
  });
  return [...new Set(expanded)].slice(0, maxAddresses);
}
