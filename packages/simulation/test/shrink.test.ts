import { formatEvents, parseEvents, shrinkEvents } from "@revoada/simulation";
import { expect, test } from "vitest";

const all = Array.from({ length: 64 }, (_, event) => event);

test("two events that break something together are what is left", async () => {
  const { events } = await shrinkEvents(all, async (tried) => tried.includes(7) && tried.includes(42));
  expect(events).toEqual([7, 42]);
});

test("a failure that needs no event is left with none", async () => {
  expect((await shrinkEvents(all, async () => true)).events).toEqual([]);
});

test("a failure that needs all of them keeps all of them", async () => {
  const few = [1, 2, 3, 4];
  expect((await shrinkEvents(few, async (tried) => tried.length === few.length)).events).toEqual(few);
});

test("what comes back has failed, also where the attempts run out", async () => {
  const fails = async (tried: readonly number[]): Promise<boolean> => tried.includes(3) && tried.includes(60);
  const { events, attempts } = await shrinkEvents(all, fails, { attempts: 5 });
  expect(attempts).toBe(5);
  expect(await fails(events)).toBe(true);
});

test("a search that is late ends with what it has", async () => {
  let asked = 0;
  const { events } = await shrinkEvents(all, async () => true, {
    isLate: () => {
      asked += 1;
      return asked > 2;
    },
  });
  expect(events.length).toBeGreaterThan(0);
});

test.each([
  ["3", [3]],
  ["3,7,12-15", [3, 7, 12, 13, 14, 15]],
  ["", []],
  ["0-2", [0, 1, 2]],
])("%j reads as events and is written the same way", (text, events) => {
  expect(parseEvents(text)).toEqual(events);
  expect(formatEvents(events)).toBe(text);
});

test.each(["a", "3,", "5-2", "-1", "3;4"])("%j is no list of events", (text) => {
  expect(parseEvents(text)).toBeUndefined();
});
