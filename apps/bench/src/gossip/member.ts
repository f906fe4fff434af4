/**
 * One of five processes that run `@revoada/membership-gossip` over TLS. Driven over the channel of its parent.
 */
import { ed25519Verifier, identityFromSeed } from "@revoada/attest-blake3";
import { type Member, type Membership, prescribedHomelab } from "@revoada/fabric";
import { systemClock, systemRandom } from "@revoada/fabric/node";
import { gossipMembership } from "@revoada/membership-gossip";
import { tlsTransport } from "@revoada/transport-tls";
import { hostMs } from "../host.ts";
import { takeOrders } from "../processes.ts";
import type { GossipOrder, Opened, Seen } from "./orders.ts";

type Order<Type> = Extract<GossipOrder, { type: Type }>;

const clock = systemClock();
const random = systemRandom();
const listeners = new Set<() => void>();
let seed = new Uint8Array(32);
let transport: ReturnType<typeof tlsTransport>;
let membership: Membership;
let sentBytes = 0;

async function open(order: Order<"open">): Promise<Opened> {
  seed = new Uint8Array(order.seed);
  transport = tlsTransport({ privateKey: seed, listen: order.listen, admission: () => true, clock, random });
  await transport.start();
  return { id: transport.localId, addresses: transport.listening() };
}

async function start({ clusterId, generation, peers }: Order<"start">): Promise<void> {
  membership = gossipMembership({
    identity: identityFromSeed(seed),
    verifier: ed25519Verifier(),
    transport,
    clock,
    random,
    clusterId,
    strategy: prescribedHomelab().membership,
    generation,
    addresses: () => transport.listening(),
    seeds: peers.map(([id, addresses]) => ({ id, addresses })),
    metrics: {
      count(name, value = 1) {
        if (name === "revoada_membership_sent_bytes") sentBytes += value;
      },
      gauge() {},
      observe() {},
    },
  });
  await membership.start();
  void follow();
}

/** Whoever waits looks again after each change. */
async function follow(): Promise<void> {
  for await (const _ of membership.changes({ signal: new AbortController().signal }))
    for (const look of [...listeners]) look();
}

function once(isSo: () => Seen | undefined): Promise<Seen> {
  return new Promise((resolve) => {
    const look = (): void => {
      const found = isSo();
      if (found === undefined) return;
      listeners.delete(look);
      resolve(found);
    };
    listeners.add(look);
    look();
  });
}

function seen({ member, status, generation = 0 }: Order<"seen">): Promise<Seen> {
  return once(() => {
    const found: Member | undefined = membership.view().members.get(member);
    if (found?.status !== status || found.generation < generation) return undefined;
    return { atMs: hostMs(), ...(found.evidence === undefined ? {} : { evidence: found.evidence }) };
  });
}

function heard({ member, key, value }: Order<"heard">): Promise<Seen> {
  return once(() => (membership.view().members.get(member)?.keys.get(key) === value ? { atMs: hostMs() } : undefined));
}

async function set({ key, value }: Order<"set">): Promise<number> {
  const atMs = hostMs();
  membership.set(key, value);
  return atMs;
}

function carryOut(order: GossipOrder): Promise<unknown> {
  switch (order.type) {
    case "open":
      return open(order);
    case "start":
      return start(order);
    case "seen":
      return seen(order);
    case "set":
      return set(order);
    case "heard":
      return heard(order);
    case "sent":
      return Promise.resolve(sentBytes);
  }
}

takeOrders(carryOut);
