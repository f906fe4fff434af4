import { blake3Attestor, identityFromSeed } from "@revoada/attest-blake3";
import type { Attestor, Member, MemberStatus, NodeId, StoreId } from "@revoada/fabric";
import type { SeededRandom } from "@revoada/fabric/memory";
import { memberKeys } from "@revoada/topology";

/** What one machine has heard of another. */
interface Sight {
  status: MemberStatus;
  evidence: "closed" | "silent";
  sinceMs: number;
  heardMs: number;
  generation: number;
  incarnation: number;
  version: string;
  storeId: StoreId;
}

/** How fast deaths are noticed, milliseconds. */
export interface Detection {
  readonly suspectAfterMs: number;
  readonly suspicionMs: number;
  readonly closedAfterMs: number;
}

/** One machine of the world: a process that lives, a disk, a place in the network, and what it has heard of the others. */
export class SimulatedMachine {
  readonly id: NodeId;
  readonly attestor: Attestor;
  readonly zone: string;
  /** How far its wall clock is off. */
  readonly skewMs: number;
  readonly #random: SeededRandom;
  readonly #seen = new Map<NodeId, Sight>();
  storeId: StoreId;
  generation = 0;
  incarnation = 0;
  version = "1.0";
  isUp = false;
  /** It was let into the formation, and has not left. */
  isMember = false;
  stalledUntilMs = 0;
  downSinceMs = 0;
  /** Machines hear each other within one island. */
  island = 0;
  /** Its replica takes nothing in. */
  isSlow = false;
  /** How far its copy of the log is. */
  match = 0;

  constructor(zone: string, random: SeededRandom) {
    const identity = identityFromSeed(random.bytes(32));
    this.id = identity.id;
    this.attestor = blake3Attestor(identity);
    this.zone = zone;
    this.#random = random;
    this.skewMs = Math.floor((random.float() - 0.5) * 4000);
    this.storeId = this.#newStore();
  }

  start(nowMs: number): void {
    this.isUp = true;
    this.generation += 1;
    this.incarnation = 0;
    this.stalledUntilMs = 0;
    // Whom it knew before may be anywhere by now: it waits for a word of each as long as for any other.
    for (const sight of this.#seen.values())
      Object.assign(sight, { status: "suspect", sinceMs: nowMs, heardMs: nowMs });
  }

  stop(nowMs: number): void {
    this.isUp = false;
    this.downSinceMs = nowMs;
  }

  /** Its disk is replaced by an empty one. */
  wipe(): void {
    this.storeId = this.#newStore();
    this.match = 0;
  }

  /** True where it does anything at this moment. */
  acts(nowMs: number): boolean {
    return this.isUp && nowMs >= this.stalledUntilMs;
  }

  reaches(other: SimulatedMachine, nowMs: number): boolean {
    return this.acts(nowMs) && other.acts(nowMs) && this.island === other.island;
  }

  /** Stands still for a while; who does doubts itself afterwards, not the others. */
  stall(nowMs: number, forMs: number): void {
    this.stalledUntilMs = nowMs + forMs;
    for (const sight of this.#seen.values()) sight.heardMs = this.stalledUntilMs;
  }

  /** Hears of another, or does not. */
  listen(other: SimulatedMachine, nowMs: number, detection: Detection): void {
    const sight = this.#seen.get(other.id);
    if (this.reaches(other, nowMs)) {
      const { generation, incarnation, version, storeId } = other;
      const news = { generation, incarnation, version, storeId, heardMs: nowMs, status: "alive" as const };
      const sinceMs = sight?.status === "alive" ? sight.sinceMs : nowMs;
      this.#seen.set(other.id, { evidence: "silent", ...sight, ...news, sinceMs });
      return;
    }
    if (sight === undefined || sight.status === "dead") return;
    const silentMs = nowMs - sight.heardMs;
    const isClosed =
      !other.isUp && other.island === this.island && nowMs - other.downSinceMs >= detection.closedAfterMs;
    if (isClosed && silentMs >= detection.closedAfterMs) this.#judge(sight, "dead", "closed", nowMs);
    else if (silentMs >= detection.suspectAfterMs + detection.suspicionMs) this.#judge(sight, "dead", "silent", nowMs);
    else if (silentMs >= detection.suspectAfterMs && sight.status === "alive")
      this.#judge(sight, "suspect", "silent", nowMs);
  }

  /** A moment of silence that nobody can explain. */
  blink(id: NodeId, nowMs: number): void {
    const sight = this.#seen.get(id);
    if (sight?.status === "alive") this.#judge(sight, "suspect", "silent", nowMs);
  }

  forget(id: NodeId): void {
    this.#seen.delete(id);
  }

  silentMs(id: NodeId, nowMs: number): number {
    return nowMs - (this.#seen.get(id)?.heardMs ?? nowMs);
  }

  /** Everybody as this machine sees them, itself included. */
  members(nowMs: number): ReadonlyMap<NodeId, Member> {
    const members = new Map<NodeId, Member>();
    const own: Sight = { ...this.#own(), status: "alive", evidence: "silent", sinceMs: 0, heardMs: nowMs };
    for (const [id, sight] of [...this.#seen, [this.id, own] as const]) {
      members.set(id, {
        id,
        status: sight.status,
        ...(sight.status === "dead" ? { evidence: sight.evidence } : {}),
        generation: sight.generation,
        incarnation: sight.incarnation,
        addresses: [],
        keys: new Map([
          [memberKeys.storeId, sight.storeId],
          [memberKeys.version, sight.version],
        ]),
        statusSinceMs: nowMs - sight.sinceMs,
      });
    }
    return members;
  }

  #own(): Pick<Sight, "generation" | "incarnation" | "version" | "storeId"> {
    const { generation, incarnation, version, storeId } = this;
    return { generation, incarnation, version, storeId };
  }

  #judge(sight: Sight, status: MemberStatus, evidence: Sight["evidence"], nowMs: number): void {
    sight.status = status;
    sight.evidence = evidence;
    sight.sinceMs = nowMs;
  }

  #newStore(): StoreId {
    return Buffer.from(this.#random.bytes(16)).toString("hex") as StoreId;
  }
}
