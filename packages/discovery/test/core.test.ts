import { parseNodeId, type AddressHint, type NodeId } from "@revoada/fabric";
import { parseDnsQuestion, parseSeed } from "@revoada/discovery";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isAddress, isUnicast } from "../src/core/addresses.ts";
import { addressesOf, maxAddresses, maxTargets, targetsOf } from "../src/core/answers.ts";
import { HintBook } from "../src/core/hint-book.ts";
import { pauseMs } from "../src/core/pace.ts";

const invalid = expect.objectContaining({ code: "DISCOVERY_INVALID_SOURCE" });
const id = (letter: string): NodeId => parseNodeId(letter.repeat(64));

describe("a seed", () => {
  test("is an address, or a node at an address", () => {
    expect(parseSeed("10.0.0.1:7400")).toEqual({ source: "static", addresses: ["10.0.0.1:7400"] });
    expect(parseSeed(`${id("a")}@[fd00::1]:7400`)).toEqual({
      source: "static",
      id: id("a"),
      addresses: ["[fd00::1]:7400"],
    });
  });

  test.each(["", "host", "host:", "host:0", "host:65536", "a b:1", "@host:1", "abc@host:1", `${id("a")}@`, "[::1]"])(
    "%j is refused",
    (text) => {
      expect(() => parseSeed(text)).toThrow(invalid);
    },
  );

  test("never breaks anything, whatever it is", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          return parseSeed(text).addresses.every(isAddress);
        } catch (error) {
          return (error as { code?: string }).code === "DISCOVERY_INVALID_SOURCE";
        }
      }),
    );
  });
});

describe("a question to the DNS", () => {
  test("asks for hosts with a port, or for a service", () => {
    expect(parseDnsQuestion("nodes.example.com", 7400)).toEqual({
      kind: "host",
      name: "nodes.example.com",
      port: 7400,
    });
    expect(parseDnsQuestion("nodes.example.com.:99", 7400)).toEqual({
      kind: "host",
      name: "nodes.example.com.",
      port: 99,
    });
    expect(parseDnsQuestion("_revoada._tcp.example.com", 7400)).toEqual({
      kind: "service",
      name: "_revoada._tcp.example.com",
    });
  });

  test.each([
    "",
    "a..b",
    "-a.b",
    "a:b",
    "a:0",
    "a:70000",
    "a:1:2",
    "_revoada.example.com",
    "_revoada._tcp.example.com:7400",
    `${"a".repeat(64)}.b`,
    `${"a.".repeat(130)}b`,
  ])("%j is refused", (text) => {
    expect(() => parseDnsQuestion(text, 7400)).toThrow(invalid);
  });
});

describe("an answer of the DNS", () => {
  test("gives the addresses of single hosts, once each", () => {
    expect(addressesOf(["10.0.0.1", "fd00::1", "10.0.0.1", "127.0.0.1"], 7400)).toEqual([
      "10.0.0.1:7400",
      "[fd00::1]:7400",
      "127.0.0.1:7400",
    ]);
  });

  test.each([
    "0.0.0.0",
    "224.0.0.251",
    "255.255.255.255",
    "240.0.0.1",
    "::",
    "0:0::",
    "ff02::fb",
    "1.2.3",
    "300.1.1.1",
    "x",
    "",
  ])("%j is nobody's address", (ip) => {
    expect(isUnicast(ip)).toBe(false);
  });

  test("that is not what was asked for, or too much, leaves what fits", () => {
    expect(addressesOf([undefined, 7, {}, "10.0.0.1", "x".repeat(1000)], 1)).toEqual(["10.0.0.1:1"]);
    const many = Array.from({ length: 500 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
    expect(addressesOf(many, 1)).toHaveLength(maxAddresses);
  });

  test("names the instances of a service by priority, the heavier first, and none that cannot be dialled", () => {
    const records = [
      { name: "c", port: 3, priority: 20, weight: 0 },
      { name: "b", port: 2, priority: 10, weight: 1 },
      { name: "a", port: 1, priority: 10, weight: 9 },
      { name: ".", port: 1, priority: 0, weight: 0 },
      { name: "d", port: 0, priority: 0, weight: 0 },
      { name: "e", port: 70_000, priority: 0, weight: 0 },
      { name: 7, port: 1 },
      null,
      "x",
    ];
    expect(targetsOf(records).map(({ name }) => name)).toEqual(["a", "b", "c"]);
    const many = Array.from({ length: 100 }, (_, index) => ({
      name: `n${index}`,
      port: 1,
      priority: index,
      weight: 0,
    }));
    expect(targetsOf(many)).toHaveLength(maxTargets);
  });
});

describe("the pause between two attempts", () => {
  const pace = { everyMs: 30_000, retryMs: 1_000, maxRetryMs: 60_000 };

  test("doubles with each failure up to its bound, and is as ever after a success", () => {
    expect([0, 1, 2, 3, 7, 1000].map((failures) => pauseMs(pace, failures, 0.5))).toEqual([
      30_000, 1_000, 2_000, 4_000, 60_000, 60_000,
    ]);
  });

  test("differs between nodes by a quarter at most", () => {
    expect([pauseMs(pace, 1, 0), pauseMs(pace, 1, 1)]).toEqual([750, 1250]);
  });
});

describe("a book of hints", () => {
  const hint = (source: string, letter: string | undefined, ...addresses: string[]): AddressHint => ({
    source,
    ...(letter === undefined ? {} : { id: id(letter) }),
    addresses,
  });

  test("gives the addresses of a node from all sources, the latest first, each once", () => {
    const book = new HintBook();
    expect(book.learn(hint("dns", "a", "x:1", "y:1"), 0)).toBe(true);
    expect(book.learn(hint("mdns", "a", "z:1", "x:1"), 1)).toBe(true);
    expect(book.learn(hint("mdns", "a", "z:1", "x:1"), 2)).toBe(false);
    expect(book.addressesOf(id("a"), 3)).toEqual(["z:1", "x:1", "y:1"]);
    expect(book.learn(hint("mdns", "a", "w:1"), 4)).toBe(true);
    expect(book.addressesOf(id("a"), 4)).toEqual(["w:1", "x:1", "y:1"]);
  });

  test("knows addresses without a node apart", () => {
    const book = new HintBook();
    expect(book.learn(hint("dns", undefined, "x:1"), 0)).toBe(true);
    expect(book.learn(hint("dns", undefined, "x:1"), 1)).toBe(false);
    expect([[...book.strangers(1)], [...book.nodes(1)]]).toEqual([["x:1"], []]);
  });

  test("forgets what is not said again in time", () => {
    const book = new HintBook({ lifeMs: 100 });
    book.learn(hint("dns", "a", "x:1"), 0);
    book.learn(hint("dns", undefined, "y:1"), 50);
    expect([[...book.nodes(100)], [...book.strangers(100)]]).toEqual([[id("a")], ["y:1"]]);
    expect([book.addressesOf(id("a"), 101), [...book.nodes(101)], [...book.strangers(151)]]).toEqual([[], [], []]);
  });

  test("leaves out what is no address, and takes no more of one than its share", () => {
    const book = new HintBook({ addressesPerNode: 2 });
    expect(book.learn(hint("dns", "a", "nowhere", "x:0"), 0)).toBe(false);
    book.learn(hint("dns", "a", "nowhere", "x:1", "x:1", "y:1", "z:1"), 0);
    expect(book.addressesOf(id("a"), 0)).toEqual(["x:1", "y:1"]);
  });

  test("loses nothing of one source to the flood of another", () => {
    const book = new HintBook({ nodesPerSource: 3, strangersPerSource: 3 });
    book.learn(hint("static", "a", "x:1"), 0);
    book.learn(hint("static", undefined, "s:1"), 0);
    const letters = ["b", "c", "d", "e", "f"];
    for (const [at, letter] of letters.entries()) {
      book.learn(hint("mdns", letter, "y:1"), at);
      book.learn(hint("mdns", undefined, `m${at}:1`), at);
    }
    expect([...book.nodes(5)].map((each) => each[0])).toEqual(["a", "d", "e", "f"]);
    expect([...book.strangers(5)]).toEqual(["s:1", "m2:1", "m3:1", "m4:1"]);
  });
});
