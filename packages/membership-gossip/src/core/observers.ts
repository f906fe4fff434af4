import type { NodeId } from "@revoada/fabric";
import { observersPerSubject } from "./limits.ts";

/** A node as the choice of observers sees it. */
export interface Candidate {
  readonly id: NodeId;
  readonly zone: string;
  /** {@link idHash} of its id, kept because it is asked for so often. */
  readonly hash: number;
}

/** 32 bits of an id, as a signed integer. Ids are public keys, so any 32 of their bits are as good as a hash. */
export function idHash(id: string): number {
  return Number.parseInt(id.slice(0, 8), 16) | 0;
}

/** Rendezvous weight of an observer for a subject (Thaler & Ravishankar), mixed with the finalizer of MurmurHash3. */
function rendezvousWeight(subject: number, observer: number): number {
  let hash = Math.imul(subject ^ 0x9e3779b9, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash ^ observer, 0xc2b2ae35);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
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
  readonly #find: (id: NodeId) => Candidate | undefined;
  readonly #chosen = new Map<NodeId, readonly NodeId[]>();
  readonly #everybody: boolean;
  readonly #share: number;

  /** `find` gives the candidate of an id; whoever it does not find takes part no more. */
  constructor(candidates: readonly Candidate[], find?: (id: NodeId) => Candidate | undefined) {
    for (const candidate of candidates) {
      const zone = this.#zones.get(candidate.zone);
      if (zone === undefined) this.#zones.set(candidate.zone, [candidate]);
      else zone.push(candidate);
    }
    this.#everybody = candidates.length <= observersPerSubject + 1;
    this.#share = Math.max(1, Math.ceil(observersPerSubject / Math.max(1, this.#zones.size)));
    if (find === undefined) {
      const byId = new Map(candidates.map((candidate) => [candidate.id, candidate]));
      this.#find = (id) => byId.get(id);
    } else {
      this.#find = find;
    }
  }

  /** True where `observer` is to watch over `subject`. */
  observes(observer: NodeId, subject: NodeId): boolean {
    const watcher = this.#find(observer);
    const watched = this.#find(subject);
    if (watcher === undefined || watched === undefined || observer === subject) return false;
    if (this.#everybody) return true;
    const weight = rendezvousWeight(watched.hash, watcher.hash);
    let ahead = 0;
    for (const rival of this.#zones.get(watcher.zone) ?? []) {
      if (rival === watcher || rival === watched) continue;
      if (outranks(rival, rendezvousWeight(watched.hash, rival.hash), watcher, weight) && ++ahead >= this.#share)
        return false;
    }
    return true;
  }

  /** All observers of `subject`. */
  observersOf(subject: NodeId): readonly NodeId[] {
    const known = this.#chosen.get(subject);
    if (known !== undefined) return known;
    const watched = this.#find(subject);
    if (watched === undefined) return [];
    const chosen: NodeId[] = [];
    for (const zone of this.#zones.values()) {
      const share = this.#everybody ? zone.length : this.#share;
      for (const { id } of best(watched, zone, share)) chosen.push(id);
    }
    // Few are asked for: the local node in each round, and those who are accused.
    if (this.#chosen.size >= chosenMax) this.#chosen.clear();
    this.#chosen.set(subject, chosen);
    return chosen;
  }
}

const chosenMax = 256;

/** The `count` candidates of the greatest weight for `watched`, the greatest first. */
function best(watched: Candidate, zone: readonly Candidate[], count: number): readonly Candidate[] {
  const ranked: { readonly candidate: Candidate; readonly weight: number }[] = [];
  for (const candidate of zone) {
    if (candidate.id === watched.id) continue;
    const weight = rendezvousWeight(watched.hash, candidate.hash);
    const last = ranked.at(-1);
    if (ranked.length >= count && last !== undefined && !outranks(candidate, weight, last.candidate, last.weight))
      continue;
    let place = ranked.length;
    for (; place > 0; place--) {
      const rival = ranked[place - 1];
      if (rival === undefined || !outranks(candidate, weight, rival.candidate, rival.weight)) break;
    }
    ranked.splice(place, 0, { candidate, weight });
    if (ranked.length > count) ranked.pop();
  }
  return ranked.map(({ candidate }) => candidate);
}
