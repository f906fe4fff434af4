import type { MembershipStrategy, NodeId, Random } from "@revoada/fabric";
import { GossipCore, type GossipCoreOptions } from "../src/core/core.ts";
import type { Effect } from "../src/core/effects.ts";
import { encodeFrame } from "../src/core/frames.ts";
import {
  encodePage,
  encodeRecord,
  encodeVerdict,
  type GossipRecord,
  type Page,
  type SignedItem,
  type Verdict,
} from "../src/core/items.ts";
import { Refusal } from "../src/core/refusal.ts";
import { clusterId, CountingVerifier, identityOf } from "./identities.ts";

export const wallMs = 1_767_225_600_000;
export const homelab: MembershipStrategy = {
  phiThreshold: 8,
  gossipCadenceMs: 100,
  failureDetectorTimeoutMs: 300,
  suspicionMs: 2_000,
};

/** A small xorshift, so that a core under test draws the same numbers each time. */
export function numbers(seed: number): Random {
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  const uint32 = (): number => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
  return {
    uint32,
    float: () => uint32() / 2 ** 32,
    bytes: (length) => Uint8Array.from({ length }, () => uint32() & 255),
  };
}

export function now(nowMs: number): { nowMs: number; wallMs: number } {
  return { nowMs, wallMs: wallMs + nowMs };
}

export function coreOf(number: number, options: Partial<GossipCoreOptions> = {}): GossipCore {
  return new GossipCore(
    {
      identity: identityOf(number),
      verifier: new CountingVerifier(),
      random: numbers(number + 1),
      clusterId,
      strategy: homelab,
      generation: Math.floor(wallMs / 1_000),
      addresses: [`10.0.0.${number}:7000`],
      keys: new Map(),
      isKnown: undefined,
      ...options,
    },
    now(0),
  );
}

/** A record as its owner signs it. */
export function signedRecord(number: number, changes: Partial<GossipRecord> = {}, cluster = clusterId): SignedItem {
  const identity = identityOf(number);
  const payload = encodeRecord(cluster, {
    id: identity.id,
    generation: Math.floor(wallMs / 1_000),
    incarnation: 0,
    version: 1,
    status: "alive",
    notAfterMs: wallMs + 3_600_000,
    addresses: [],
    keys: new Map(),
    pages: [],
    ...changes,
  });
  return { payload, signature: identity.sign(payload) };
}

/** A further page as its owner signs it. */
export function signedPage(number: number, changes: Partial<Page> = {}): SignedItem {
  const identity = identityOf(number);
  const payload = encodePage(clusterId, {
    id: identity.id,
    generation: Math.floor(wallMs / 1_000),
    number: 1,
    version: 1,
    keys: new Map(),
    ...changes,
  });
  return { payload, signature: identity.sign(payload) };
}

/** One whole round between two cores, lossless and at once. */
export function exchange(from: GossipCore, fromId: NodeId, to: GossipCore, toId: NodeId, nowMs: number): void {
  const digest = to.answer(fromId, from.openRound(), now(nowMs));
  if (digest instanceof Refusal) throw digest;
  const question = from.digestReceived(toId, digest, now(nowMs));
  if (question === undefined) return;
  const news = to.answer(fromId, question, now(nowMs));
  if (news instanceof Refusal) throw news;
  from.received(toId, news, now(nowMs));
}

export function refusals(effects: readonly Effect[]): readonly string[] {
  return effects.filter((effect) => effect.type === "refused").map((effect) => effect.reason);
}

/** Hands items to a core as news of a peer; returns why some were refused. */
export function tell(core: GossipCore, from: number, items: readonly SignedItem[], nowMs = 0): readonly string[] {
  core.takeEffects();
  core.received(identityOf(from).id, encodeFrame(clusterId, { type: "news", items }), now(nowMs));
  return refusals(core.takeEffects());
}

/** A verdict as its observer signs it. */
export function signedVerdict(
  observer: number,
  subject: number,
  opinion: Verdict["opinion"],
  changes: Partial<Verdict> = {},
): SignedItem {
  const identity = identityOf(observer);
  const payload = encodeVerdict(clusterId, {
    observer: identity.id,
    observerGeneration: Math.floor(wallMs / 1_000),
    sequence: 1,
    subject: identityOf(subject).id,
    generation: Math.floor(wallMs / 1_000),
    incarnation: 0,
    opinion,
    ...changes,
  });
  return { payload, signature: identity.sign(payload) };
}
