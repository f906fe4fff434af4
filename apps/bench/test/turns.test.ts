import { expect, test } from "vitest";
import { compare, takeTurns, type Program, type Turn } from "../src/turns.ts";

function turn(perSecond: number, more: Partial<Turn> = {}): Turn {
  return {
    callers: 1,
    operations: perSecond,
    allOperations: perSecond,
    failed: 0,
    perSecond,
    p50Ms: 1,
    p99Ms: 2,
    p999Ms: 3,
    leaderCpuSeconds: 1,
    allCpuSeconds: 2,
    residentBytes: 100,
    ...more,
  };
}

test("each figure is the median of its rounds, and a ratio the median of the rounds' ratios", () => {
  const { standings } = compare({ callers: 1, payloadBytes: 64 }, [
    { fast: turn(100), slow: turn(10, { p50Ms: 9 }) },
    { fast: turn(300), slow: turn(100, { p50Ms: 7 }) },
    { fast: turn(200), slow: turn(50, { p50Ms: 8 }) },
  ]);
  expect(standings["fast"]?.perSecond).toBe(200);
  expect(standings["slow"]?.p50Ms).toBe(8);
  expect(standings["fast"]?.ratios).toEqual({ slow: 4 });
  expect(standings["fast"]?.rounds).toEqual([100, 300, 200]);
});

test("programs take turns under each load of each round, after a turn that is not counted", async () => {
  const order: string[] = [];
  const program = (name: string): Program => ({
    name,
    members: () => Promise.resolve([{ cpuSeconds: 1, residentBytes: 10 }]),
    load: (options) => {
      order.push(`${name} ${options.callers}`);
      return Promise.resolve({ ...turn(1), callers: options.callers });
    },
  });
  const loads = [1, 2].map((callers) => ({ callers, payloadBytes: 64, warmUpMs: 0, measureMs: 1 }));
  const compared = await takeTurns([program("a"), program("b")], loads, { rounds: 2, withinMs: 600_000 }, () => {});
  const round = ["a 1", "b 1", "a 2", "b 2"];
  expect(order).toEqual(["a 2", "b 2", ...round, ...round]);
  expect(compared.map(({ callers, standings }) => [callers, Object.keys(standings)])).toEqual([
    [1, ["a", "b"]],
    [2, ["a", "b"]],
  ]);
});

test("where time is up, what the rounds until then have measured stands", async () => {
  const program: Program = {
    name: "a",
    members: () => Promise.resolve([{ cpuSeconds: 1, residentBytes: 10 }]),
    load: () => Promise.resolve(turn(7)),
  };
  const loads = [{ callers: 1, payloadBytes: 64, warmUpMs: 0, measureMs: 1 }];
  const said: string[] = [];
  const [compared] = await takeTurns([program], loads, { rounds: 3, withinMs: 0 }, (line) => said.push(line));
  expect(compared?.standings["a"]?.rounds).toEqual([7]);
  expect(said.at(-1)).toBe("no time for more than 1 of 3 rounds");
});

test("CPU time is that of the turn, for 100,000 operations", async () => {
  let used = 5;
  const member = {
    get cpuSeconds() {
      return used;
    },
    residentBytes: 10,
  };
  const program: Program = {
    name: "a",
    members: () => Promise.resolve([member, member]),
    load: () => {
      used += 2;
      return Promise.resolve({ ...turn(1), allOperations: 50_000 });
    },
  };
  const [compared] = await takeTurns(
    [program],
    [{ callers: 1, payloadBytes: 1, warmUpMs: 0, measureMs: 1 }],
    { rounds: 1, withinMs: 600_000 },
    () => {},
  );
  expect(compared?.standings["a"]).toMatchObject({ leaderCpuSeconds: 4, allCpuSeconds: 8 });
});
