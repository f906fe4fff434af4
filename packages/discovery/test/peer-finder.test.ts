import { HintFeed, parseNodeId, type Address, type AddressHint, type Discovery, type NodeId } from "@revoada/fabric";
import { seededRandom, virtualClock, type VirtualClock } from "@revoada/fabric/memory";
import { PeerFinder, type Identified } from "@revoada/discovery";
import { describe, expect, test } from "vitest";
import { Complaints } from "./complaints.ts";

const id = (letter: string): NodeId => parseNodeId(letter.repeat(64));

/** A source whose hints are made by hand. */
class Hand implements Discovery {
  readonly name: string;
  readonly #feed = new HintFeed();
  readonly #fault: Error | undefined;
  isStopped = false;

  constructor(name: string, fault?: Error) {
    this.name = name;
    this.#fault = fault;
  }

  give(addresses: readonly Address[], letter?: string): void {
    this.#feed.offer({ source: this.name, ...(letter === undefined ? {} : { id: id(letter) }), addresses });
  }

  async start(): Promise<void> {
    if (this.#fault !== undefined) throw this.#fault;
  }

  hints(options: { readonly signal: AbortSignal }): AsyncIterable<AddressHint> {
    return this.#feed.hints(options);
  }

  async shutdown(): Promise<void> {
    this.isStopped = true;
    this.#feed.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}

/** A finder with one source, and hosts that answer or do not. */
class Kit implements AsyncDisposable {
  readonly clock: VirtualClock = virtualClock();
  readonly source = new Hand("hand");
  readonly complaints = new Complaints();
  readonly found: string[] = [];
  readonly asked: { readonly address: Address; readonly atMs: number }[] = [];
  readonly hosts = new Map<Address, NodeId>();
  /** Hosts that say nothing until they are told to. */
  readonly silent = new Map<Address, () => void>();
  readonly finder: PeerFinder;

  constructor() {
    this.finder = new PeerFinder({
      self: id("0"),
      sources: [this.source],
      identify: (address) => this.#identify(address),
      clock: this.clock,
      random: { ...seededRandom("s"), float: () => 0.5 },
      logger: this.complaints,
      onFound: (node, addresses) => this.found.push(`${node[0]} ${addresses.join(" ")}`),
    });
  }

  async #identify(address: Address): Promise<Identified> {
    this.asked.push({ address, atMs: this.clock.monotonicMs() });
    if (this.silent.has(address)) await new Promise<void>((resolve) => this.silent.set(address, resolve));
    const peer = this.hosts.get(address);
    return peer === undefined ? { why: "ECONNREFUSED" } : { peer };
  }

  async until(condition: () => boolean, withinMs = 1_000): Promise<void> {
    await this.clock.runUntil(condition, { withinMs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const release of this.silent.values()) release();
    await this.finder.shutdown();
  }
}

describe("a finder of peers", () => {
  test("tells of a node each time that it is heard of, with all that is known", async () => {
    await using kit = new Kit();
    await kit.finder.start();
    kit.source.give(["x:1"], "a");
    await kit.until(() => kit.found.length === 1);
    kit.source.give(["x:1"], "a");
    await kit.until(() => kit.found.length === 2);
    expect(kit.found).toEqual(["a x:1", "a x:1"]);
    expect([kit.finder.addressesOf(id("a")), kit.finder.addressesOf(id("b"))]).toEqual([["x:1"], []]);
    expect([...kit.finder.found()]).toEqual([id("a")]);
  });

  test("never tells of its own node", async () => {
    await using kit = new Kit();
    await kit.finder.start();
    kit.hosts.set("me:1", id("0"));
    kit.source.give(["me:2"], "0");
    kit.source.give(["me:1"]);
    kit.source.give(["x:1"], "a");
    await kit.until(() => kit.found.length === 1 && kit.asked.length === 1);
    expect([kit.found, [...kit.finder.found()]]).toEqual([["a x:1"], [id("a")]]);
  });

  test("asks an address without a node who is there, until somebody answers, and says aloud once that nobody does", async () => {
    await using kit = new Kit();
    await kit.finder.start();
    kit.source.give(["x:1"]);
    await kit.until(() => kit.asked.length === 3, 10_000);
    const [first, second, third] = kit.asked.map(({ atMs }) => atMs);
    expect([(second ?? 0) - (first ?? 0), (third ?? 0) - (second ?? 0)]).toEqual([500, 1_000]);
    kit.hosts.set("x:1", id("a"));
    await kit.until(() => kit.found.length === 1, 10_000);
    expect([kit.found, kit.complaints.warnings]).toEqual([["a x:1"], ["ECONNREFUSED"]]);
  });

  test("asks again once in a while, because another may stand there by then", async () => {
    await using kit = new Kit();
    await kit.finder.start();
    kit.hosts.set("x:1", id("a"));
    kit.source.give(["x:1"]);
    await kit.until(() => kit.found.length === 1);
    kit.hosts.set("x:1", id("b"));
    await kit.until(() => kit.found.length === 2, 90_000);
    expect([kit.found[1], kit.finder.addressesOf(id("a")), kit.finder.addressesOf(id("b"))]).toEqual([
      "b x:1",
      [],
      ["x:1"],
    ]);
  });

  test("asks four at a time, however many there are", async () => {
    await using kit = new Kit();
    await kit.finder.start();
    for (let at = 0; at < 10; at += 1) kit.silent.set(`x:${at + 1}`, () => {});
    for (const address of kit.silent.keys()) kit.source.give([address]);
    await kit.until(() => kit.asked.length === 4);
    const [first] = kit.asked;
    if (first !== undefined) kit.silent.get(first.address)?.();
    await kit.until(() => kit.asked.length === 5);
  });

  test("forgets an address that no source speaks of any more, and asks it no longer", async () => {
    await using kit = new Kit();
    await kit.finder.start();
    kit.source.give(["x:1"]);
    await kit.until(() => kit.asked.length === 1);
    await kit.clock.advanceAsync(16 * 60_000);
    const before = kit.asked.length;
    await kit.clock.advanceAsync(60 * 60_000);
    expect(kit.asked.length).toBe(before);
  });

  test("starts with none of its sources where one cannot start", async () => {
    const clock = virtualClock();
    const [good, bad] = [new Hand("good"), new Hand("bad", new Error("in use"))];
    const finder = new PeerFinder({
      self: id("0"),
      sources: [good, bad],
      identify: async () => ({ why: "nobody asks" }),
      clock,
      random: seededRandom("s"),
    });
    await expect(finder.start()).rejects.toThrow("in use");
    expect([good.isStopped, bad.isStopped]).toEqual([true, true]);
  });
});
