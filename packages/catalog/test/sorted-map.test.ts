import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SortedMap } from "../src/core/sorted-map.ts";

const bytes = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255);
const number = (key: Uint8Array): number => (key[0]! << 8) | key[1]!;

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant("put" as const), from: fc.nat(2_000), count: fc.nat(120) }) },
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant("delete" as const), from: fc.nat(2_000), count: fc.nat(200) }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("clone" as const) }) },
);

describe("the sorted map", () => {
  test("holds, finds and walks what a plain map holds, and its clones go their own ways", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.nat(2_000), fc.nat(2_000), (steps, low, high) => {
        const worlds = [{ map: new SortedMap<number>(), model: new Map<number, number>() }];
        let written = 0;
        for (const [index, one] of steps.entries()) {
          const world = worlds[index % worlds.length]!;
          if (one.type === "clone") {
            worlds.push({ map: world.map.clone(), model: new Map(world.model) });
            continue;
          }
          for (let key = one.from; key < one.from + one.count; key += 1 + (index % 3)) {
            if (one.type === "put") {
              expect(world.map.put(bytes(key), written)).toBe(world.model.get(key));
              world.model.set(key, written++);
            } else expect(world.map.delete(bytes(key))).toBe(world.model.delete(key));
          }
        }
        for (const { map, model } of worlds) {
          const sorted = [...model].toSorted(([left], [right]) => left - right);
          expect(map.size).toBe(model.size);
          expect([...map.entries()].map(({ key, value }) => [number(key), value])).toEqual(sorted);
          const within = sorted.filter(([key]) => key >= low && key < high);
          const range = { start: bytes(low), end: bytes(high) };
          expect([...map.entries(range)].map(({ key, value }) => [number(key), value])).toEqual(within);
          expect([...map.entries({ ...range, reverse: true })].map(({ key, value }) => [number(key), value])).toEqual(
            within.toReversed(),
          );
          expect([...map.entries({ reverse: true })]).toHaveLength(model.size);
          for (const [key, value] of sorted) expect(map.get(bytes(key))).toBe(value);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("can be walked while it is changed: what is ahead is seen as it is then, and nothing twice", () => {
    for (const reverse of [false, true]) {
      const map = new SortedMap<number>();
      for (let key = 0; key < 500; key++) map.put(bytes(key), key);
      const seen: number[] = [];
      for (const { key } of map.entries({ reverse })) {
        const at = number(key);
        seen.push(at);
        map.delete(key);
        map.delete(bytes(reverse ? at - 1 : at + 1));
        map.put(bytes(1_000 + at), at);
        if (seen.length > 1_000) break;
      }
      const old = seen.filter((key) => key < 500);
      expect(old).toEqual(Array.from({ length: 250 }, (_, index) => (reverse ? 499 - 2 * index : 2 * index)));
      expect(new Set(seen).size).toBe(seen.length);
    }
  });

  test("stays shallow: ten thousand keys in and out again", () => {
    const map = new SortedMap<number>();
    for (let key = 0; key < 10_000; key++) map.put(bytes((key * 7_919) % 65_536), key);
    expect(map.size).toBe(10_000);
    for (let key = 0; key < 10_000; key++) expect(map.delete(bytes((key * 7_919) % 65_536))).toBe(true);
    expect([map.size, [...map.entries()]]).toEqual([0, []]);
  });
});
