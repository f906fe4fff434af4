import type { NodeId } from "@revoada/fabric";
import { observersPerSubject } from "./limits.ts";

/** A node as the choice of observers sees it. */
export interface Candidate {
  readonly id: NodeId;
  readonly zone: string;
  readonly words: Uint32Array;
}

/** The part of an id that is hashed, prepared once. */
export function idWords(id: NodeId): Uint32Array {
  const words = new Uint32Array(4);
  for (let index = 0; index < 4; index++) words[index] = Number.parseInt(id.slice(index * 8, index * 8 + 8), 16);
  return words;
}

/** Rendezvous weight of an observer for a subject (Thaler & Ravishankar), mixed with the finalizer of MurmurHash3. */
function rendezvousWeight(subject: Uint32Array, observer: Uint32Array): number {
  let hash = 0x9e3779b9;
  for (let index = 0; index < 4; index++) {
    hash = Math.imul(hash ^ (subject[index] ?? 0), 0x85ebca6b);
    hash ^= hash >>> 13;
    hash = Math.imul(hash ^ (observer[index] ?? 0), 0xc2b2ae35);
    hash ^= hash >>> 16;
  }
  return hash >>> 0;
}

function outranks(left: Candidate, leftWeight: number, right: Candidate, rightWeight: number): boolean {
  return leftWeight > rightWeight || (leftWeight === rightWeight && left.id > right.id);
}

/**
 * Who observes whom among the nodes of one view.
 *
 * Where there are at most nine nodes, everybody observes everybody. Beyond that a subject's observers are spread over the
 * zones: each zone gives its share of eight, at least one, by rendezvous weight within the zone. Whether a node is an observer
 * thus depends on its own zone only, and most answers need a look at a few dozen nodes however many there are.
 */
export class ObserverPlan {
  readonly #zones = new Map<string, Candidate[]>();
  readonly #byId = new Map<NodeId, Candidate>();

  constructor(candidates: Iterable<Candidate>) {
    for (const candidate of candidates) {
      this.#byId.set(candidate.id, candidate);
      const zone = this.#zones.get(candidate.zone);
      if (zone === undefined) this.#zones.set(candidate.zone, [candidate]);
      else zone.push(candidate);
    }
  }

  get #everybody(): boolean {
    return this.#byId.size <= observersPerSubject + 1;
  }

  get #share(): number {
    return Math.max(1, Math.ceil(observersPerSubject / this.#zones.size));
  }

  /** True where `observer` is to watch over `subject`. */
  observes(observer: NodeId, subject: NodeId): boolean {
    const watcher = this.#byId.get(observer);
    const watched = this.#byId.get(subject);
    if (watcher === undefined || watched === undefined || observer === subject) return false;
    if (this.#everybody) return true;
    const weight = rendezvousWeight(watched.words, watcher.words);
    let ahead = 0;
    for (const rival of this.#zones.get(watcher.zone) ?? []) {
      if (rival.id === observer || rival.id === subject) continue;
      if (outranks(rival, rendezvousWeight(watched.words, rival.words), watcher, weight) && ++ahead >= this.#share)
        return false;
    }
    return true;
  }

  /** All observers of `subject`. */
  observersOf(subject: NodeId): readonly NodeId[] {
    const watched = this.#byId.get(subject);
    if (watched === undefined) return [];
    if (this.#everybody) return [...this.#byId.keys()].filter((id) => id !== subject);
    const chosen: NodeId[] = [];
    for (const zone of this.#zones.values()) {
      const ranked = zone
        .filter((candidate) => candidate.id !== subject)
        .map((candidate) => ({ candidate, weight: rendezvousWeight(watched.words, candidate.words) }))
        .sort((left, right) => (outranks(left.candidate, left.weight, right.candidate, right.weight) ? -1 : 1));
      for (const { candidate } of ranked.slice(0, this.#share)) chosen.push(candidate.id);
    }
    return chosen;
  }
}
