import { type Address, type ClusterId, describeValue, type Identity } from "@revoada/fabric";
import { MembershipQuotaError } from "../errors.ts";
import { utf8Length } from "./bytes.ts";
import { encodePage, encodeRecord, type GossipRecord, keyPattern, type Page, type SignedItem } from "./items.ts";
import { limits } from "./limits.ts";
import { KeyPages } from "./pages.ts";

export interface OwnRecordOptions {
  readonly identity: Identity;
  readonly clusterId: ClusterId;
  readonly generation: number;
  readonly addresses: readonly Address[];
  readonly keys: ReadonlyMap<string, string>;
}

/** A head and those pages that changed with it, as they were signed. */
export interface Publication {
  readonly record: GossipRecord;
  readonly item: SignedItem;
  readonly pages: readonly { readonly page: Page; readonly item: SignedItem }[];
}

/** What the local node says of itself; nobody else raises its counters. */
export class OwnRecord {
  readonly #identity: Identity;
  readonly #clusterId: ClusterId;
  readonly #keys = new KeyPages();
  /** The versions of the further pages. */
  readonly #pageVersions: number[] = [];
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

  #record(): GossipRecord {
    return {
      id: this.#identity.id,
      generation: this.#generation,
      incarnation: this.#incarnation,
      version: this.#version,
      status: this.#status,
      notAfterMs: this.#notAfterMs,
      addresses: this.#addresses,
      keys: this.#keys.page(0),
      pages: [...this.#pageVersions],
    };
  }

  #signed(payload: Uint8Array): SignedItem {
    return { payload, signature: this.#identity.sign(payload) };
  }

  #page(number: number): { readonly page: Page; readonly item: SignedItem } {
    const { id } = this.#identity;
    const page = { id, generation: this.#generation, number, version: this.#version, keys: this.#keys.page(number) };
    return { page, item: this.#signed(encodePage(this.#clusterId, page)) };
  }

  /** Signs the next version: the head, and the pages that differ from those signed before. */
  publish(wallMs: number): Publication {
    this.#version += 1;
    this.#notAfterMs = Math.max(0, Math.floor(wallMs)) + limits.recordLifeMs;
    const changed = this.#keys.takeChanged();
    for (const number of changed) this.#pageVersions[number - 1] = this.#version;
    const record = this.#record();
    return {
      record,
      item: this.#signed(encodeRecord(this.#clusterId, record)),
      pages: changed.map((number) => this.#page(number)),
    };
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
    const size = this.#keys.bytesWith(key, value);
    if (size > limits.factsMaxBytes) {
      throw new MembershipQuotaError(
        `key ${key}: all keys together would take ${size} bytes where ${limits.factsMaxBytes} are allowed`,
      );
    }
    this.#keys.set(key, value);
    return true;
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
      this.#keys.touchAll();
      return true;
    }
    if (other.incarnation >= Number.MAX_SAFE_INTEGER || other.version >= Number.MAX_SAFE_INTEGER) return false;
    this.#incarnation = Math.max(this.#incarnation, other.incarnation) + 1;
    this.#version = Math.max(this.#version, other.version);
    // The other one may have signed pages under the same versions.
    this.#keys.touchAll();
    return true;
  }
}

function boundAddresses(addresses: readonly Address[]): readonly Address[] {
  return Object.freeze(
    addresses
      .filter((address) => address.length > 0 && address.length <= limits.addressMaxLength)
      .slice(0, limits.addressesMax),
  );
}
