import { type Address, type ClusterId, describeValue, type Identity } from "@revoada/fabric";
import { MembershipQuotaError } from "../errors.ts";
import { utf8Length } from "./bytes.ts";
import { encodeRecord, type GossipRecord, keyPattern, type SignedItem } from "./items.ts";
import { limits } from "./limits.ts";

export interface OwnRecordOptions {
  readonly identity: Identity;
  readonly clusterId: ClusterId;
  readonly generation: number;
  readonly addresses: readonly Address[];
  readonly keys: ReadonlyMap<string, string>;
}

/** What the local node says of itself; nobody else raises its counters. */
export class OwnRecord {
  readonly #identity: Identity;
  readonly #clusterId: ClusterId;
  readonly #keys = new Map<string, string>();
  #generation: number;
  #incarnation = 0;
  #version = 0;
  #status: "alive" | "left" = "alive";
  #addresses: readonly Address[];
  #notAfterMs = 0;
  #conflicts = 0;

  constructor(options: OwnRecordOptions) {
    this.#identity = options.identity;
    this.#clusterId = options.clusterId;
    this.#generation = options.generation;
    this.#addresses = boundAddresses(options.addresses);
    for (const [key, value] of options.keys) this.set(key, value);
  }

  get generation(): number {
    return this.#generation;
  }

  get incarnation(): number {
    return this.#incarnation;
  }

  get left(): boolean {
    return this.#status === "left";
  }

  get keys(): ReadonlyMap<string, string> {
    return this.#keys;
  }

  #record(): GossipRecord {
    return {
      id: this.#identity.id,
      generation: this.#generation,
      incarnation: this.#incarnation,
      version: this.#version,
      status: this.#status,
      notAfterMs: this.#notAfterMs,
      addresses: this.#addresses,
      keys: new Map(this.#keys),
    };
  }

  /** Signs the next version. */
  publish(wallMs: number): { readonly record: GossipRecord; readonly item: SignedItem } {
    this.#version += 1;
    this.#notAfterMs = Math.max(0, Math.floor(wallMs)) + limits.recordLifeMs;
    const record = this.#record();
    const payload = encodeRecord(this.#clusterId, record);
    return { record, item: { payload, signature: this.#identity.sign(payload) } };
  }

  /** True where the record should be signed again: half its life is over, or the wall clock has jumped. */
  stale(wallMs: number): boolean {
    const leftMs = this.#notAfterMs - wallMs;
    return leftMs < limits.recordLifeMs / 2 || leftMs > limits.recordLifeMs * 1.5;
  }

  /** Sets a key; false where it says so already. Throws `MEMBERSHIP_QUOTA`. */
  set(key: string, value: string): boolean {
    if (typeof key !== "string" || !keyPattern.test(key)) {
      throw new MembershipQuotaError(`key ${describeValue(key)}: expected 1 to 64 of [a-z0-9.-]`);
    }
    if (typeof value !== "string" || !value.isWellFormed())
      throw new MembershipQuotaError(`value of ${key}: expected well-formed text`);
    const bytes = utf8Length(value);
    if (bytes > limits.valueMaxBytes)
      throw new MembershipQuotaError(`value of ${key}: ${bytes} bytes where ${limits.valueMaxBytes} are allowed`);
    const before = this.#keys.get(key);
    if (before === value) return false;
    if (before === undefined && this.#keys.size >= limits.keysMax) {
      throw new MembershipQuotaError(`key ${key}: ${limits.keysMax} keys are set already`);
    }
    this.#keys.set(key, value);
    const size = encodeRecord(this.#clusterId, { ...this.#record(), notAfterMs: Number.MAX_SAFE_INTEGER }).length;
    if (size <= limits.recordMaxBytes - counterHeadroomBytes) return true;
    if (before === undefined) this.#keys.delete(key);
    else this.#keys.set(key, before);
    throw new MembershipQuotaError(
      `key ${key}: the record would have ${size} bytes where ${limits.recordMaxBytes - counterHeadroomBytes} are allowed`,
    );
  }

  /** True where the addresses are other ones than before. */
  setAddresses(addresses: readonly Address[]): boolean {
    const bounded = boundAddresses(addresses);
    if (
      bounded.length === this.#addresses.length &&
      bounded.every((address, index) => address === this.#addresses[index])
    )
      return false;
    this.#addresses = bounded;
    return true;
  }

  raiseIncarnation(): void {
    this.#incarnation += 1;
  }

  markLeft(): void {
    this.#status = "left";
  }

  /**
   * Moves past a record under the own key that this process did not make: what an earlier run left behind when the caller's
   * generation was not newer, or a second process with the same key. The second case cannot be won, so attempts are few.
   */
  surpass(other: GossipRecord, wallMs: number): boolean {
    if (this.#conflicts >= limits.ownConflictsMax || this.#status === "left") return false;
    this.#conflicts += 1;
    if (other.generation > this.#generation) {
      const next = other.generation + 1;
      if (next > wallMs / 1_000 + limits.generationAheadMaxSeconds) return false;
      this.#generation = next;
      this.#incarnation = 0;
      return true;
    }
    if (other.incarnation >= Number.MAX_SAFE_INTEGER || other.version >= Number.MAX_SAFE_INTEGER) return false;
    this.#incarnation = Math.max(this.#incarnation, other.incarnation) + 1;
    this.#version = Math.max(this.#version, other.version);
    return true;
  }
}

/** Counters may grow by this many bytes after the keys were set. */
const counterHeadroomBytes = 32;

function boundAddresses(addresses: readonly Address[]): readonly Address[] {
  return Object.freeze(
    addresses
      .filter((address) => address.length > 0 && address.length <= limits.addressMaxLength)
      .slice(0, limits.addressesMax),
  );
}
