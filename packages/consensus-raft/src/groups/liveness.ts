import type { Clock, Metrics, NodeId, ReplicaId } from "@revoada/fabric";
import type { Presence } from "../core/rest.ts";
import type { HostedReplica } from "../driver/host-link.ts";
import { maxClaims, type Claim } from "./claims.ts";
import type { Beat, BeatAnswer, HostWord } from "./host-frame.ts";
import { Peer, type Told } from "./peer.ts";

/** What liveness needs of the host around it. */
export interface LivenessSurroundings {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly electionTimeoutMs: number;
  /** Names this life of the host. */
  readonly epoch: string;
  replica(key: string): HostedReplica | undefined;
  /** Words are due: sees to it that they leave with what else is to be sent. */
  wordsDue(): void;
}

/** Beats per election timeout, as of heartbeats. */
const beatsPerTimeout = 5;
/** Of an election timeout: after so much silence of a host its groups fall back to their own heartbeats and timers, well in time. */
const patience = 0.6;
/** Election timeouts of complete silence after which nothing is expected of a host any more. */
const goneTimeouts = 2;
/** Election timeouts after which what was known of a silent host is forgotten. */
const forgottenTimeouts = 20;

/**
 * Says for all groups of a host at once what heartbeats and their answers say for one: "I am alive, and stand by this". The
 * argument why that is as good as heartbeats is in docs/groups.md.
 */
export class Liveness {
  readonly #around: LivenessSurroundings;
  readonly #beatMs: number;
  readonly #peers = new Map<NodeId, Peer>();
  /** The highest numbers that any peer was told that is forgotten here. */
  #told: Told = { seq: 0, version: 0 };
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(around: LivenessSurroundings) {
    this.#around = around;
    this.#beatMs = around.electionTimeoutMs / beatsPerTimeout;
  }

  /** What one group may know of its other replicas' hosts. */
  presenceOf(key: string): Presence {
    const { electionTimeoutMs, clock } = this.#around;
    return {
      heardMs: (id) => {
        const peer = this.#peers.get(id);
        if (peer === undefined) return -Infinity;
        // Where this replica follows, the other's claim counts; where it leads, its answers to the own claim do.
        if (peer.heard.isAccepted(key)) return peer.beatMs;
        return peer.own.isTaken(key) ? peer.answeredMs : -Infinity;
      },
      covers: (id) => {
        const peer = this.#peers.get(id);
        return peer !== undefined && peer.answers && peer.own.isTaken(key);
      },
      isGone: (id) => {
        const peer = this.#peers.get(id);
        return peer === undefined || clock.monotonicMs() - peer.heardMs > goneTimeouts * electionTimeoutMs;
      },
    };
  }

  /** A leader has nothing to say: its claim goes with the beats to the hosts of these replicas. */
  offer(key: string, groupId: Uint8Array, term: number, replicas: readonly ReplicaId[]): void {
    for (const { id, storeId } of replicas) {
      const peer = this.#peerOf(id);
      if (!peer.own.add(key, { groupId, term, toStore: storeId }))
        this.#around.metrics.count("revoada_raft_claims_refused_total", 1, { reason: "bound" });
    }
    this.#arm();
  }

  /** Something about a group's replica is different here: what this host claims and what it accepts must be so. */
  changed(key: string): void {
    const replica = this.#around.replica(key);
    for (const peer of this.#peers.values()) {
      const own = peer.own.get(key)?.claim;
      if (own !== undefined && replica?.leadsTo(peer.id, own.term, own.toStore) !== true) peer.own.remove(key);
      this.#judge(peer, key);
    }
  }

  #judge(peer: Peer, key: string): void {
    const claim = peer.heard.get(key);
    if (claim === undefined) return;
    const replica = this.#around.replica(key);
    const accepted = replica?.follows(peer.id, claim.term, claim.toStore) === true;
    // Before the judgement changes: what was heard until now counts.
    if (!accepted && peer.heard.isAccepted(key)) replica?.rouse();
    if (peer.heard.judge(key, accepted) && accepted && peer.beats) replica?.rest(peer.id, claim.term);
  }

  /** Anything arrived from a host. */
  heardFrom(id: NodeId): void {
    this.#peerOf(id).heardMs = this.#around.clock.monotonicMs();
  }

  /** Takes the word of another host. */
  take(id: NodeId, word: HostWord): void {
    const peer = this.#peerOf(id);
    if (word.epoch !== peer.epoch) this.#beginLife(peer, word.epoch);
    if (word.beat !== undefined) this.#takeBeat(peer, word.beat);
    if (word.answer !== undefined) this.#takeAnswer(peer, word.answer);
    this.#arm();
  }

  /** Another process speaks under this id: it knows nothing of what the one before it claimed or had taken. */
  #beginLife(peer: Peer, epoch: string): void {
    this.#distrustBeats(peer);
    this.#distrustAnswers(peer);
    peer.heard.clear();
    if (peer.epoch !== undefined) peer.own.startOver();
    peer.epoch = epoch;
    peer.beatSeq = 0;
  }

  #takeBeat(peer: Peer, beat: Beat): void {
    // Overtaken, or sent twice.
    if (beat.seq <= peer.beatSeq) return;
    peer.beatSeq = beat.seq;
    peer.owesAnswer = true;
    if (this.#apply(peer, beat)) {
      peer.beatMs = this.#around.clock.monotonicMs();
      if (!peer.beats) this.#trustBeats(peer);
    }
    // Who has spoken a moment ago answers with its own next beat: one frame each way is enough.
    if (this.#around.clock.monotonicMs() - peer.saidMs >= this.#beatMs / 2 || !peer.wantsBeats) this.#say(peer);
  }

  /** Brings what a peer claims up to date. False where that cannot be: it will send everything once it knows. */
  #apply(peer: Peer, beat: Beat): boolean {
    const { heard } = peer;
    if (!heard.follows(beat.base)) return false;
    const added = beat.changes.filter(({ key, claim }) => claim !== undefined && heard.get(key) === undefined).length;
    if (added + (beat.base === 0 ? 0 : heard.size) > maxClaims) {
      this.#around.metrics.count("revoada_raft_claims_refused_total", 1, { reason: "bound" });
      return false;
    }
    if (beat.base === 0) {
      const kept = new Set(beat.changes.map(({ key }) => key));
      for (const key of [...heard.keys()]) if (!kept.has(key)) this.#drop(peer, key);
    }
    for (const { key, claim } of beat.changes) {
      // The earlier claim ends with what was heard until now.
      this.#drop(peer, key);
      if (claim === undefined) continue;
      heard.set(key, claim);
      this.#judge(peer, key);
    }
    heard.reach(beat.version);
    return true;
  }

  #drop(peer: Peer, key: string): void {
    if (peer.heard.isAccepted(key)) this.#around.replica(key)?.rouse();
    peer.heard.delete(key);
  }

  #takeAnswer(peer: Peer, answer: BeatAnswer): void {
    const { own } = peer;
    const isOurs = answer.epoch === this.#around.epoch && answer.seq <= peer.seq && answer.version <= own.version;
    if (!isOurs || answer.seq <= peer.answeredSeq) return;
    peer.answeredSeq = answer.seq;
    if (answer.version < own.acknowledged) {
      this.#distrustAnswers(peer);
      own.startOver();
      return this.#say(peer);
    }
    for (const key of answer.refused) {
      const claimed = own.get(key);
      // About an earlier claim of this group: the present one has yet to be judged.
      if (claimed === undefined || claimed.version > answer.version) continue;
      this.#around.replica(key)?.rouse();
      own.remove(key);
      this.#around.metrics.count("revoada_raft_claims_refused_total", 1, { reason: "peer" });
    }
    own.confirm(answer.version);
    peer.answeredMs = this.#around.clock.monotonicMs();
    if (peer.answers) return;
    peer.answers = true;
    // Its replicas may have missed what was written while it was away.
    for (const key of own.keys()) this.#around.replica(key)?.rouse();
  }

  /** The words for one peer, where some are due: with them goes whatever else is to be said. */
  wordFor(id: NodeId): HostWord | undefined {
    const peer = this.#peers.get(id);
    if (peer === undefined) return undefined;
    const nowMs = this.#around.clock.monotonicMs();
    // A frame leaves anyway: a beat that would be due soon goes with it.
    const isSoon = peer.wantsBeats && nowMs - peer.saidMs >= this.#beatMs / 2;
    if (!peer.isDue && !isSoon) return undefined;
    peer.isDue = false;
    const word = { epoch: this.#around.epoch, beat: peer.nextBeat(), answer: peer.answer() };
    if (word.beat === undefined && word.answer === undefined) return undefined;
    peer.saidMs = nowMs;
    return word;
  }

  /** Peers that must be sent a word now. */
  due(): readonly NodeId[] {
    return [...this.#peers.values()].filter((peer) => peer.isDue).map((peer) => peer.id);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#peers.clear();
  }

  #say(peer: Peer): void {
    peer.isDue = true;
    this.#around.wordsDue();
  }

  #peerOf(id: NodeId): Peer {
    const known = this.#peers.get(id);
    if (known !== undefined) return known;
    const made = new Peer(id, this.#around.clock.monotonicMs(), this.#told);
    this.#peers.set(id, made);
    this.#arm();
    return made;
  }

  #arm(): void {
    if (this.#stopped || this.#cancel !== undefined || this.#peers.size === 0) return;
    this.#cancel = this.#around.clock.schedule(this.#beatMs, () => {
      this.#cancel = undefined;
      this.#pulse();
      this.#arm();
    });
  }

  /** Once per T/5: beats that are due, and hosts that have fallen silent. */
  #pulse(): void {
    const nowMs = this.#around.clock.monotonicMs();
    const { electionTimeoutMs } = this.#around;
    for (const peer of this.#peers.values()) {
      if (peer.beats && nowMs - peer.beatMs > patience * electionTimeoutMs) this.#distrustBeats(peer);
      if (peer.answers && nowMs - peer.answeredMs > patience * electionTimeoutMs) this.#distrustAnswers(peer);
      if (nowMs - peer.heardMs > forgottenTimeouts * electionTimeoutMs && peer.own.size === 0) {
        this.#forget(peer);
        continue;
      }
      if ((peer.wantsBeats || peer.owesAnswer) && nowMs - peer.saidMs >= this.#beatMs / 2) this.#say(peer);
    }
  }

  /** It may have been heard by who was not, and go on from what it holds: what it is told later must be news to it. */
  #forget(peer: Peer): void {
    this.#peers.delete(peer.id);
    const { seq, version } = this.#told;
    this.#told = { seq: Math.max(seq, peer.seq), version: Math.max(version, peer.own.version) };
  }

  #trustBeats(peer: Peer): void {
    peer.beats = true;
    for (const key of peer.heard.keys()) {
      const claim = peer.heard.get(key) as Claim;
      if (peer.heard.isAccepted(key)) this.#around.replica(key)?.rest(peer.id, claim.term);
    }
  }

  #distrustBeats(peer: Peer): void {
    if (!peer.beats) return;
    peer.beats = false;
    for (const key of peer.heard.keys()) if (peer.heard.isAccepted(key)) this.#around.replica(key)?.rouse();
  }

  #distrustAnswers(peer: Peer): void {
    if (!peer.answers) return;
    peer.answers = false;
    for (const key of peer.own.keys()) this.#around.replica(key)?.rouse();
  }
}
