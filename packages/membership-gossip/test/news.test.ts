import { expect, test } from "vitest";
import { News } from "../src/core/news.ts";
import { signedRecord } from "./cores.ts";

/** How many rounds an item rides along where others tell it again so often in each. */
function rides(timesHeard: number, population: number): number {
  const news = new News();
  const item = signedRecord(1);
  news.add("1", { item, bucket: 0, afterHeads: false }, population);
  for (let round = 0; round < 100; round++) {
    if (news.collect().length === 0) return round;
    for (let heard = 0; heard < timesHeard; heard++) news.heardAgain(signedRecord(1));
    news.age();
  }
  throw new RangeError("it rides along for ever");
}

test("news rides along for more rounds the more nodes there are, and for fewer the more of them tell it again", () => {
  expect(rides(0, 1_000)).toBeGreaterThan(rides(0, 10));
  expect(rides(2, 1_000)).toBe(rides(0, 1_000) / 2);
  expect(rides(6, 1_000)).toBe(2);
});

test("what others tell of an older item drops no newer one", () => {
  const news = new News();
  const [old, fresh] = [signedRecord(1), signedRecord(1, { version: 2 })];
  news.add("1", { item: old, bucket: 0, afterHeads: false }, 10);
  news.add("1", { item: fresh, bucket: 0, afterHeads: false }, 10);
  for (let heard = 0; heard < 100; heard++) news.heardAgain(old);
  news.age();
  expect(news.collect()).toEqual([fresh]);
});
