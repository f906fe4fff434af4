import { isFabricError } from "@revoada/fabric";
import { virtualClock } from "@revoada/fabric/memory";
import { expect, test } from "vitest";

test("timers run in the order of their due time and, where equal, of their calls", () => {
  const clock = virtualClock();
  const ran: string[] = [];
  clock.schedule(20, () => ran.push("c"));
  clock.schedule(10, () => ran.push("a"));
  clock.schedule(10, () => ran.push("b"));
  clock.advance(15);
  expect(ran).toEqual(["a", "b"]);
  expect(clock.monotonicMs()).toBe(15);
  clock.advance(5);
  expect(ran).toEqual(["a", "b", "c"]);
});

test("time stands at the due moment while a callback runs, and a timer made there runs within the same advance", () => {
  const clock = virtualClock();
  const seen: number[] = [];
  clock.schedule(10, () => {
    seen.push(clock.monotonicMs());
    clock.schedule(5, () => seen.push(clock.monotonicMs()));
  });
  clock.advance(100);
  expect(seen).toEqual([10, 15]);
  expect(clock.monotonicMs()).toBe(100);
});

test("a cancelled timer never runs, and cancelling twice or after the fact does nothing", () => {
  const clock = virtualClock();
  const ran: string[] = [];
  const cancel = clock.schedule(1, () => ran.push("x"));
  const late = clock.schedule(2, () => ran.push("y"));
  cancel();
  cancel();
  clock.advance(5);
  late();
  expect(ran).toEqual(["y"]);
  expect(clock.pending()).toBe(0);
});

test("thousands of cancelled timers leave the others in their order", () => {
  const clock = virtualClock();
  const ran: number[] = [];
  const cancels: (() => void)[] = [];
  for (let index = 0; index < 5000; index += 1) {
    const cancel = clock.schedule(5000 - index, () => ran.push(5000 - index));
    if (index % 5 !== 0) cancels.push(cancel);
  }
  for (const cancel of cancels) cancel();
  expect(clock.pending()).toBe(1000);
  clock.advance(5000);
  expect(ran).toEqual(Array.from({ length: 1000 }, (_, index) => (index + 1) * 5));
});

test("of what is due at one moment timers come first, then input, then turns", () => {
  const clock = virtualClock();
  const ran: string[] = [];
  clock.schedule(10, () => {
    clock.nextTurn(() => ran.push("turn"));
    clock.input(0, () => ran.push("input"));
    clock.schedule(0, () => ran.push("timer"));
  });
  clock.advance(10);
  expect(ran).toEqual(["timer", "input", "turn"]);
});

test("a stalled host runs late, what it missed runs in order, and other hosts do not notice", () => {
  const clock = virtualClock();
  const [one, other] = [clock.host("one"), clock.host("other")];
  const ran: string[] = [];
  const note = (what: string) => () => ran.push(`${what}@${clock.monotonicMs()}`);
  one.stall(100);
  one.input(10, note("one.input"));
  one.schedule(20, note("one.timer"));
  one.schedule(150, note("one.later"));
  other.schedule(30, note("other"));
  clock.advance(200);
  expect(ran).toEqual(["other@30", "one.timer@100", "one.input@100", "one.later@150"]);
  expect(one.monotonicMs()).toBe(200);
});

test("a stopped host never runs again", () => {
  const clock = virtualClock();
  const host = clock.host("h");
  const ran: string[] = [];
  host.schedule(1, () => ran.push("before"));
  host.stop();
  host.schedule(1, () => ran.push("after"));
  host.nextTurn(() => ran.push("turn"));
  clock.advance(10);
  expect(ran).toEqual([]);
});

test("the wall clock goes with time, and jumps on one host only", () => {
  const clock = virtualClock({ wallMs: 1000 });
  const host = clock.host("h");
  host.jumpWall(-3_600_000);
  clock.advance(5);
  expect(clock.wallMs()).toBe(1005);
  expect(host.wallMs()).toBe(1005 - 3_600_000);
  expect(host.monotonicMs()).toBe(5);
});

test("advanceAsync lets promises settle between callbacks, so that their timers run in the same call", async () => {
  const clock = virtualClock();
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => void clock.schedule(ms, resolve));
  const seen: number[] = [];
  const loop = async (): Promise<void> => {
    for (let index = 0; index < 3; index += 1) {
      await sleep(10);
      seen.push(clock.monotonicMs());
    }
  };
  const done = loop();
  await clock.advanceAsync(30);
  await done;
  expect(seen).toEqual([10, 20, 30]);
});

test("runUntil stops at the moment that the condition holds and says how long that took", async () => {
  const clock = virtualClock();
  let ready = false;
  clock.schedule(40, () => {
    ready = true;
  });
  clock.schedule(41, () => expect.unreachable("it went on"));
  expect(await clock.runUntil(() => ready, { withinMs: 100 })).toBe(40);
});

test("a condition that never holds is given up at its limit, not before", async () => {
  const clock = virtualClock();
  const error = await clock.runUntil(() => false, { withinMs: 250 }).catch((reason: unknown) => reason);
  expect(isFabricError(error, "CLOCK_CONDITION_NOT_MET")).toBe(true);
  expect(clock.monotonicMs()).toBe(250);
});

test("run settles as the promise does", async () => {
  const clock = virtualClock();
  const sleep = (ms: number): Promise<string> =>
    new Promise((resolve) => void clock.schedule(ms, () => resolve("done")));
  expect(await clock.run(sleep(20))).toBe("done");
  expect(clock.monotonicMs()).toBe(20);
  await expect(clock.run(Promise.reject(new Error("no")))).rejects.toThrow("no");
  await expect(clock.run(sleep(1000), { withinMs: 10 })).rejects.toMatchObject({ code: "CLOCK_CONDITION_NOT_MET" });
});

test("a loop that never lets time pass is an error, not a hang", () => {
  const clock = virtualClock();
  const again = (): void => void clock.schedule(0, again);
  again();
  expect(() => clock.advance(1)).toThrow(/time does not pass/);
});
