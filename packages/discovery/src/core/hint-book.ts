import type { Address, AddressHint, NodeId } from "@revoada/fabric";
import { isAddress } from "./addresses.ts";

/** Bounds of a book. Each source has its own share, so that one that is flooded takes nothing from the others. */
export interface BookLimits {
  /** Nodes that one source may name. */
  readonly nodesPerSource: number;
  /** Addresses without a node that one source may name. */
  readonly strangersPerSource: number;
  /** Addresses of one node from one source. */
  readonly addressesPerNode: number;
  /** How long a hint is good for that is not given again. */
  readonly lifeMs: number;
}

/** The bounds unless told. */
const bookLimits: BookLimits = {
  nodesPerSource: 1024,
  strangersPerSource: 64,
  addressesPerNode: 8,
  lifeMs: 15 * 60_000,
};

interface Entry {
  readonly addresses: readonly Address[];
  readonly seenMs: number;
}

/** What is remembered of the hints of one source. */
interface Page {
  readonly nodes: Map<NodeId, Entry>;
  readonly strangers: Map<Address, number>;
}

/** Most addresses that are known of one node, whatever the sources say. */
const maxAddressesPerNode = 16;

/** What was hinted at, by whom, and when: bounded, without duplicates, and forgotten in time. Pure: time is an argument. */
export class HintBook {
  readonly #limits: BookLimits;
  readonly #pages = new Map<string, Page>();

  constructor(limits: Partial<BookLimits> = {}) {
    this.#limits = { ...bookLimits, ...limits };
  }

  /** Remembers a hint. Returns whether it says something that the book did not. */
  learn(hint: AddressHint, nowMs: number): boolean {
    const { nodesPerSource, strangersPerSource, addressesPerNode } = this.#limits;
    const page = this.#page(hint.source);
    const usable = [...new Set(hint.addresses)].filter(isAddress).slice(0, addressesPerNode);
    if (usable.length === 0) return false;
    if (hint.id === undefined) {
      const isNews = usable.some((address) => !page.strangers.has(address));
      for (const address of usable) remember(page.strangers, address, nowMs, strangersPerSource);
      return isNews;
    }
    const before = page.nodes.get(hint.id)?.addresses;
    remember(page.nodes, hint.id, { addresses: usable, seenMs: nowMs }, nodesPerSource);
    return before?.join(" ") !== usable.join(" ");
  }

  /** Where a node is said to be, the latest hint first. */
  addressesOf(id: NodeId, nowMs: number): readonly Address[] {
    const entries = [...this.#pages.values()].flatMap(({ nodes }) => nodes.get(id) ?? []);
    const alive = entries.filter(({ seenMs }) => this.#isAlive(seenMs, nowMs));
    const sorted = alive.toSorted((a, b) => b.seenMs - a.seenMs).flatMap(({ addresses }) => addresses);
    return [...new Set(sorted)].slice(0, maxAddressesPerNode);
  }

  /** Everybody who was named. */
  nodes(nowMs: number): ReadonlySet<NodeId> {
    const named = new Set<NodeId>();
    for (const { nodes } of this.#pages.values())
      for (const [id, { seenMs }] of nodes) if (this.#isAlive(seenMs, nowMs)) named.add(id);
    return named;
  }

  /** Addresses of which nobody has said who is there. */
  strangers(nowMs: number): ReadonlySet<Address> {
    const addresses = new Set<Address>();
    for (const { strangers } of this.#pages.values())
      for (const [address, seenMs] of strangers) if (this.#isAlive(seenMs, nowMs)) addresses.add(address);
    return addresses;
  }

  #isAlive(seenMs: number, nowMs: number): boolean {
    return nowMs - seenMs <= this.#limits.lifeMs;
  }

  #page(source: string): Page {
    const known = this.#pages.get(source);
    if (known !== undefined) return known;
    const page: Page = { nodes: new Map(), strangers: new Map() };
    this.#pages.set(source, page);
    return page;
  }
}

/** Puts an entry last; where there are too many, the first one goes, which was not seen for the longest time. */
function remember<K, V>(map: Map<K, V>, key: K, value: V, limit: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= limit) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
