import { InvalidValueError } from "@revoada/fabric";

/** How many masters each region has when all of them are there, in the order of their names. */
export type Shares = ReadonlyMap<string, number>;

const name = /^[a-z][a-z0-9-]{0,31}$/;
const maxRegions = 9;

/** The region of a zone: `eu.a` and `eu.b` are two zones of `eu`. A zone without a dot is a region of its own. */
export function regionOf(zone: string): string {
  const dot = zone.indexOf(".");
  return dot < 0 ? zone : zone.slice(0, dot);
}

/** The most seats of `seats` that one region may hold: one fewer than a quorum. */
export function mostInOneRegion(seats: number): number {
  return Math.max(1, Math.ceil(seats / 2) - 1);
}

/**
 * Reads `{region} → {masters}`. Throws `FABRIC_INVALID_VALUE` where there are fewer than three regions, an even number of masters, or a region
 * that would hold a quorum by itself.
 */
export function parseShares(parameters: ReadonlyMap<string, string>): Shares {
  const shares = new Map<string, number>();
  for (const [region, text] of [...parameters].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (!name.test(region))
      throw new InvalidValueError("region", region, "lower-case letters, digits and dashes, 32 at most");
    const masters = Number(text);
    if (!/^\d{1,2}$/.test(text) || masters < 1)
      throw new InvalidValueError(`region ${region}`, text, "a number of masters, 1 to 99");
    shares.set(region, masters);
  }
  if (shares.size < 3 || shares.size > maxRegions)
    throw new InvalidValueError("regions", shares.size, `from 3 to ${maxRegions} regions`);
  const masters = mastersOf(shares);
  if (masters % 2 === 0) throw new InvalidValueError("masters", masters, "an odd number in all");
  for (const [region, share] of shares) {
    if (share > mostInOneRegion(masters))
      throw new InvalidValueError(
        `region ${region}`,
        share,
        `at most ${mostInOneRegion(masters)} of ${masters} masters`,
      );
  }
  return shares;
}

export function mastersOf(shares: Shares): number {
  return [...shares.values()].reduce((sum, share) => sum + share, 0);
}
