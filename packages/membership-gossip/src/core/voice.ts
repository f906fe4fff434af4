import type { ClusterId, Identity, MembershipStrategy, NodeId, Random, SignatureVerifier } from "@revoada/fabric";
import type { Effect } from "./effects.ts";
import { encodeFrame, type Frame } from "./frames.ts";
import { Heartbeats } from "./heartbeats.ts";
import { type GossipRecord, type Page, type SignedItem, subjectKey, type Verdict } from "./items.ts";
import { observersPerSubject } from "./limits.ts";
import { bucketOf } from "./members.ts";
import { News } from "./news.ts";
import type { OwnRecord } from "./own-record.ts";
import { isLive } from "./partners.ts";
import { type Reader, RememberingReader } from "./reader.ts";
import { sampleMembers } from "./roster.ts";
import { GossipStore, type Now } from "./store.ts";

export interface VoiceOptions {
  readonly identity: Identity;
  readonly verifier: SignatureVerifier;
  readonly random: Random;
  readonly clusterId: ClusterId;
  readonly strategy: MembershipStrategy;
  readonly isKnown: ((id: NodeId) => boolean) | undefined;
  /** One of its own unless given. */
  readonly reader?: Reader;
}

/** What the parts of a core share: the time, what is held, and the ways to tell others and the driver. */
export class Voice {
  readonly self: NodeId;
  readonly store: GossipStore;
  readonly news: News = new News();
  readonly heartbeats: Heartbeats;
  readonly random: Random;
  readonly own: OwnRecord;
  now: Now;
  readonly #reader: Reader;
  readonly #clusterId: ClusterId;
  #effects: Effect[] = [];

  constructor(options: VoiceOptions, own: OwnRecord, now: Now) {
    const { identity, verifier, random, clusterId, strategy, isKnown, reader = new RememberingReader() } = options;
    this.self = identity.id;
    this.random = random;
    this.own = own;
    this.now = now;
    this.#clusterId = clusterId;
    this.#reader = reader;
    this.store = new GossipStore({ self: this.self, clusterId, verifier, isKnown, reader });
    this.heartbeats = new Heartbeats(this.self, strategy.gossipCadenceMs);
  }

  /** Hands over what has to be done since the last call. */
  takeEffects(): readonly Effect[] {
    const effects = this.#effects;
    if (effects.length > 0) this.#effects = [];
    return effects;
  }

  tell(effect: Effect): void {
    this.#effects.push(effect);
  }

  /** Reads a frame. Throws a `Refusal`. */
  decode(bytes: Uint8Array): Frame {
    return this.#reader.frame(bytes, this.#clusterId);
  }

  encode(frame: Frame): Uint8Array {
    const bytes = encodeFrame(this.#clusterId, frame);
    this.#reader.wrote?.(bytes, frame);
    return bytes;
  }

  send(peers: Iterable<NodeId>, frame: Frame): void {
    const bytes = this.encode(frame);
    for (const peer of peers) if (peer !== this.self) this.tell({ type: "send", peer, frame: bytes });
  }

  push(peers: Iterable<NodeId>, items: readonly SignedItem[]): void {
    if (items.length > 0) this.send(peers, { type: "news", items });
  }

  /** What rides along with the next rounds. */
  spread(about: GossipRecord | Page | Verdict, item: SignedItem): void {
    const id = "subject" in about ? about.subject : about.id;
    const entry = { item, bucket: bucketOf(id), afterHeads: "number" in about };
    this.news.add(subjectKey(about), entry, this.store.subjects.size);
  }

  /** Those who are told at once: everybody in a small cluster, a few in a large one. */
  audience(): readonly NodeId[] {
    const wanted = sampleMembers(
      this.store,
      observersPerSubject,
      this.random,
      (subject) => subject.id !== this.self && isLive(subject),
    );
    return wanted.map(({ id }) => id);
  }

  /** A sign of life, as it goes out now. */
  beat(): Frame {
    const { generation, incarnation } = this.own;
    return { type: "beat", generation, incarnation, sequence: this.heartbeats.nextSequence() };
  }
}
