import type { Address } from "@revoada/fabric";
import { formatAddress, isUnicast } from "./addresses.ts";

/** Most addresses that one look-up gives; what an answer holds beyond them is left out. */
export const maxAddresses = 64;
/** Most instances of a service that are looked at. */
export const maxTargets = 16;

/** One instance of a service (RFC 2782). */
export interface ServiceTarget {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** The usable ones of some IPs, as addresses. Answers are a stranger's: everything in them is looked at before it counts. */
export function addressesOf(ips: readonly unknown[], port: number): readonly Address[] {
  const usable = ips.filter((ip): ip is string => typeof ip === "string" && ip.length <= 64 && isUnicast(ip));
  return [...new Set(usable)].slice(0, maxAddresses).map((ip) => formatAddress(ip, port));
}

/** The usable instances of an answer, in the order in which they are to be asked: by priority, the heavier first. */
export function targetsOf(records: readonly unknown[]): readonly ServiceTarget[] {
  const targets: ServiceTarget[] = [];
  for (const record of records) {
    const { name, port, priority, weight } = (record ?? {}) as Readonly<Record<string, unknown>>;
    // A target of "." says that there is no such service here.
    if (typeof name !== "string" || name.length === 0 || name.length > 253 || name === ".") continue;
    if (!isPort(port)) continue;
    targets.push({ name, port, priority: countOf(priority), weight: countOf(weight) });
  }
  return targets.toSorted((a, b) => a.priority - b.priority || b.weight - a.weight).slice(0, maxTargets);
}

function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65_535;
}

function countOf(value: unknown): number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : 0;
}
