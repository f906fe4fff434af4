/**
 * Who is there and who is alive: scuttlebutt state exchange of signed records, and failure detection that doubts its own host.
 *
 * {@link gossipMembership} makes the membership of one node over any `Transport` of `@revoada/fabric`. Views are hints: what a
 * cluster decides, it decides through consensus.
 *
 * @packageDocumentation
 */
export {
  MembershipBadFrameError,
  MembershipInvalidValueError,
  MembershipOptionsError,
  MembershipQuotaError,
  MembershipStoppedError,
} from "./errors.ts";
export { gossipMembership, gossipProtocol } from "./gossip-membership.ts";
export { memberKeys, type MemberKey } from "./keys.ts";
export type { GossipMembershipOptions, SeedHint } from "./options.ts";
