/**
 * Where other nodes may be found: seeds that were written down, names in the DNS, and what is made of such hints.
 *
 * {@link staticSeeds} and {@link dnsDiscovery} implement the `Discovery` of `@revoada/fabric`; {@link PeerFinder} makes one bounded
 * book of the hints of any number of sources. A hint is never believed: whoever is dialled proves its key.
 *
 * @packageDocumentation
 */
export { dnsDiscovery, type DnsDiscoveryOptions } from "./dns-discovery.ts";
export { DiscoverySourceError } from "./errors.ts";
export { PeerFinder, type Identified, type PeerFinderOptions } from "./peer-finder.ts";
export { staticSeeds, type StaticSeedsOptions } from "./static-seeds.ts";
export type { SourceOptions } from "./repeated-look.ts";
export type { BookLimits } from "./core/hint-book.ts";
export { parseSeed } from "./core/seed.ts";
export { parseDnsQuestion, type DnsQuestion } from "./core/dns-question.ts";
export type { Pace } from "./core/pace.ts";
