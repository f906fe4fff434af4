import type { StoreId } from "@revoada/fabric";

/** A host says that its replica leads a group in a term, to the store of one other replica. */
export interface Claim {
  readonly groupId: Uint8Array;
  readonly term: number;
  readonly toStore: StoreId;
}

/** A claim that came up, or one of a group that is given up. */
export interface ClaimChange {
  readonly key: string;
  readonly groupId: Uint8Array;
  readonly claim: Claim | undefined;
}

/** More claims than a host makes to one other, or takes from one. Groups beyond go on with heartbeats of their own. */
export const maxClaims = 16_384;

interface Versioned {
  readonly claim: Claim;
  /** The version from which on it is part of the set. */
  readonly version: number;
}

/**
 * What this host claims towards one other: a set with a version, of which the other side holds some earlier version.
 *
 * What changed since the version that was acknowledged goes with every beat until it is acknowledged: a lost frame needs no
 * answer of its own.
 */
export class OwnClaims {
  readonly #claims = new Map<string, Versioned>();
  readonly #changes = new Map<string, { readonly version: number; readonly groupId: Uint8Array }>();
  #version: number;
  #acknowledged = 0;

  /** Above `version` there is nothing that was ever told. Where it is not 0, the other side is told first that the set is empty. */
  constructor(version = 0) {
    this.#version = version;
  }

  get version(): number {
    return this.#version;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  get size(): number {
    return this.#claims.size;
  }

  /** True while the other side does not hold the set as it is. */
  get isBehind(): boolean {
    return this.#acknowledged < this.#version;
  }

  get(key: string): Versioned | undefined {
    return this.#claims.get(key);
  }

  keys(): Iterable<string> {
    return this.#claims.keys();
  }

  /** Takes a claim, in the place of an earlier one of its group. False where there are too many. */
  add(key: string, claim: Claim): boolean {
    const known = this.#claims.get(key)?.claim;
    if (known !== undefined && known.term === claim.term && known.toStore === claim.toStore) return true;
    if (known === undefined && this.#claims.size >= maxClaims) return false;
    this.#version += 1;
    this.#claims.set(key, { claim, version: this.#version });
    this.#changes.set(key, { version: this.#version, groupId: claim.groupId });
    if (this.#changes.size > maxClaims) this.startOver();
    return true;
  }

  remove(key: string): boolean {
    const known = this.#claims.get(key);
    if (known === undefined) return false;
    this.#claims.delete(key);
    this.#version += 1;
    this.#changes.set(key, { version: this.#version, groupId: known.claim.groupId });
    // Longer than the whole set: what is gone need not be told one by one.
    if (this.#changes.size > maxClaims) this.startOver();
    return true;
  }

  /** True where the other side has taken this very claim. */
  isTaken(key: string): boolean {
    const known = this.#claims.get(key);
    return known !== undefined && known.version <= this.#acknowledged;
  }

  /** What the other side does not hold yet: everything, where it holds nothing. */
  changes(): readonly ClaimChange[] {
    const list: ClaimChange[] = [];
    for (const [key, { groupId }] of this.#changes) list.push({ key, groupId, claim: this.#claims.get(key)?.claim });
    return list;
  }

  /** The other side holds `version`, which is none of the future. */
  confirm(version: number): void {
    if (version <= this.#acknowledged) return;
    this.#acknowledged = version;
    for (const [key, change] of this.#changes) if (change.version <= version) this.#changes.delete(key);
  }

  /** The other side holds nothing, or too little: it gets everything. */
  startOver(): void {
    this.#acknowledged = 0;
    this.#changes.clear();
    // A version above every one that was ever told: an answer to an earlier beat must not stand for this.
    this.#version += 1;
    for (const [key, { claim }] of this.#claims) {
      this.#claims.set(key, { claim, version: this.#version });
      this.#changes.set(key, { version: this.#version, groupId: claim.groupId });
    }
  }
}

/** What one other host claims towards this one, and which of that does not agree with what is so here. */
export class HeardClaims {
  readonly #claims = new Map<string, Claim>();
  readonly #refused = new Set<string>();
  #version = 0;

  get version(): number {
    return this.#version;
  }

  get size(): number {
    return this.#claims.size;
  }

  keys(): Iterable<string> {
    return this.#claims.keys();
  }

  get(key: string): Claim | undefined {
    return this.#claims.get(key);
  }

  isAccepted(key: string): boolean {
    return this.#claims.has(key) && !this.#refused.has(key);
  }

  /** Groups whose claims are not accepted. */
  refused(): readonly string[] {
    return [...this.#refused];
  }

  /** True where changes since `base` can be applied to what is held. */
  follows(base: number): boolean {
    return base <= this.#version;
  }

  set(key: string, claim: Claim): void {
    this.#claims.set(key, claim);
    this.#refused.add(key);
  }

  delete(key: string): void {
    this.#claims.delete(key);
    this.#refused.delete(key);
  }

  /** Everything has been applied up to `version`. */
  reach(version: number): void {
    this.#version = Math.max(this.#version, version);
  }

  /** Takes a judgement. True where it differs from the one before. */
  judge(key: string, accepted: boolean): boolean {
    if (!this.#claims.has(key) || this.#refused.has(key) === !accepted) return false;
    if (accepted) this.#refused.delete(key);
    else this.#refused.add(key);
    return true;
  }

  clear(): void {
    this.#claims.clear();
    this.#refused.clear();
    this.#version = 0;
  }
}
