import { seededRandom } from "@revoada/fabric/memory";
import { expect, test } from "vitest";

const draw = (seed: number | string): readonly number[] => {
  const random = seededRandom(seed);
  return Array.from({ length: 8 }, () => random.uint32());
};

test("one seed gives one sequence, neighbouring seeds give others", () => {
  expect(draw(7)).toEqual(draw(7));
  expect(draw("seven")).toEqual(draw("seven"));
  expect(new Set([...draw(7), ...draw(8), ...draw("seven")]).size).toBe(24);
});

test("a seed's first draws stay what they are in every version", () => {
  expect(draw(1)).toMatchInlineSnapshot(`
    [
      393288148,
      2174103013,
      3814759091,
      2092745082,
      1865176206,
      2179171167,
      3207394750,
      2858353069,
    ]
  `);
});

test("a fork depends on seed and label and not on what was drawn", () => {
  const random = seededRandom(1);
  const early = random.fork("disk").uint32();
  random.uint32();
  expect(random.fork("disk").uint32()).toBe(early);
  expect(random.fork("network").uint32()).not.toBe(early);
});

test("draws stay in their ranges and reach all of them", () => {
  const random = seededRandom(3);
  const seen = new Set<number>();
  for (let index = 0; index < 1000; index += 1) {
    const float = random.float();
    expect(float >= 0 && float < 1).toBe(true);
    seen.add(random.below(5));
  }
  expect(seen).toEqual(new Set([0, 1, 2, 3, 4]));
  expect(() => random.below(0)).toThrow(/bound/);
  expect(() => random.pick([])).toThrow(/items/);
});

test("the mean and the bits are those of a fair source", () => {
  const random = seededRandom(11);
  let [sum, ones] = [0, 0];
  for (let index = 0; index < 20_000; index += 1) {
    sum += random.float();
    ones += random.uint32() & 1;
  }
  expect(Math.abs(sum / 20_000 - 0.5)).toBeLessThan(0.01);
  expect(Math.abs(ones / 20_000 - 0.5)).toBeLessThan(0.02);
});

test("bytes are as many as asked for, up to the limit", () => {
  const random = seededRandom(5);
  expect(random.bytes(65_536).length).toBe(65_536);
  expect(new Set(random.bytes(1000)).size).toBeGreaterThan(200);
  expect(() => random.bytes(65_537)).toThrow(/65,536/);
});

test("a shuffle keeps what is there and leaves the original alone", () => {
  const items = [1, 2, 3, 4, 5, 6, 7, 8];
  const shuffled = seededRandom(2).shuffle(items);
  expect(shuffled).not.toEqual(items);
  expect(shuffled.toSorted((left, right) => left - right)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});
