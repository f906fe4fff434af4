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
  let hash = 0;
  for (let index = 0; index < 8; index++) {
    const code = id.charCodeAt(index);
    hash = (hash << 4) | (code < 58 ? code - 48 : code - 87);
  }
  return hash;
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

/** Those of one zone, by what the choice of observers asks for, side by side: there may be thousands of them. */
interface Zone {
  readonly ids: readonly NodeId[];
  readonly hashes: Int32Array;
}

function zoneOf(candidates: readonly Candidate[]): Zone {
  return { ids: candidates.map(({ id }) => id), hashes: Int32Array.from(candidates, ({ hash }) => hash) };
}

/**
 * Who observes whom among the nodes of one view.
 *
 * Where there are at most nine nodes, everybody observes everybody. Beyond that a subject's observers are spread over the
 * zones: each zone gives its share of eight, at least one, by rendezvous weight within the zone. Whether a node is an observer
 * thus depends on its own zone only, and most answers need a look at a few dozen nodes however many there are.
 */
export class ObserverPlan {
  readonly #zones: ReadonlyMap<string, Zone>;
  readonly #find: (id: NodeId) => Candidate | undefined;
  readonly #chosen = new Map<NodeId, readonly NodeId[]>();
  readonly #everybody: boolean;
  readonly #share: number;

  /** `find` gives the candidate of an id; whoever it does not find takes part no more. */
  constructor(candidates: readonly Candidate[], find?: (id: NodeId) => Candidate | undefined) {
    const zones = Map.groupBy(candidates, ({ zone }) => zone);
    this.#zones = new Map([...zones].map(([name, members]) => [name, zoneOf(members)]));
    this.#everybody = candidates.length <= observersPerSubject + 1;
    this.#share = Math.max(1, Math.ceil(observersPerSubject / Math.max(1, zones.size)));
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
    return watcher !== undefined && watched !== undefined && this.watches(watcher, watched);
  }

  /** The same, of two who take part. */
  watches(watcher: Candidate, watched: Candidate): boolean {
    if (watcher.id === watched.id) return false;
    const zone = this.#zones.get(watcher.zone);
    if (this.#everybody || zone === undefined) return true;
    const weight = rendezvousWeight(watched.hash, watcher.hash);
    let ahead = 0;
    for (let rival = 0; rival < zone.hashes.length; rival++) {
      const rivalWeight = rendezvousWeight(watched.hash, zone.hashes[rival] ?? 0);
      if (rivalWeight < weight) continue;
      const id = zone.ids[rival] ?? watcher.id;
      if (id === watcher.id || id === watched.id || (rivalWeight === weight && id < watcher.id)) continue;
      ahead += 1;
      if (ahead >= this.#share) return false;
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
    for (const zone of this.#zones.values())
      chosen.push(...best(watched, zone, this.#everybody ? zone.ids.length : this.#share));
    // Few are asked for: the local node in each round, and those who are accused.
    if (this.#chosen.size >= chosenMax) this.#chosen.clear();
    this.#chosen.set(subject, chosen);
    return chosen;
  }
}

const chosenMax = 256;

/** The `count` of a zone that have the greatest weight for `watched`, the greatest first. */
function best(watched: Candidate, { ids, hashes }: Zone, count: number): readonly NodeId[] {
  const ranked: { readonly id: NodeId; readonly weight: number }[] = [];
  for (let place = 0; place < hashes.length; place++) {
    const weight = rendezvousWeight(watched.hash, hashes[place] ?? 0);
    const last = ranked.at(-1);
    if (ranked.length >= count && last !== undefined && weight < last.weight) continue;
    const id = ids[place] ?? watched.id;
    if (id === watched.id) continue;
    const behind = ranked.findIndex((rival) => weight > rival.weight || (weight === rival.weight && id > rival.id));
    ranked.splice(behind < 0 ? ranked.length : behind, 0, { id, weight });
    if (ranked.length > count) ranked.pop();
  }
  return ranked.map(({ id }) => id);
}
