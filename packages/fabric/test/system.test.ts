import { systemClock, systemRandom } from "@revoada/fabric/node";
import { describe, expect, test } from "vitest";

describe("the system's clock", () => {
  const clock = systemClock();

  test("goes forward, and its wall clock is that of the host", () => {
    const first = clock.monotonicMs();
    expect(clock.monotonicMs()).toBeGreaterThanOrEqual(first);
    expect(Math.abs(clock.wallMs() - Date.now())).toBeLessThan(1000);
  });

  test("runs nothing earlier than asked for, fractions included", async () => {
    for (const delayMs of [0, 0.5, 1.7, 3.2, 10.9]) {
      const startMs = clock.monotonicMs();
      await new Promise<void>((resolve) => void clock.schedule(delayMs, resolve));
      expect(clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(delayMs);
    }
  });

  test("runs nothing that was cancelled, and cancelling twice is no error", async () => {
    const ran: string[] = [];
    const cancel = clock.schedule(1, () => ran.push("cancelled"));
    cancel();
    cancel();
    await new Promise<void>((resolve) => void clock.schedule(5, resolve));
    expect(ran).toEqual([]);
  });

  test("waits for a time that no timer reaches, and for ever, without firing at once", async () => {
    const ran: string[] = [];
    const cancels = [2 ** 32, 2 ** 40, Number.POSITIVE_INFINITY].map((delayMs) =>
      clock.schedule(delayMs, () => ran.push("early")),
    );
    await new Promise<void>((resolve) => void clock.schedule(5, resolve));
    for (const cancel of cancels) cancel();
    expect(ran).toEqual([]);
    expect(() => clock.schedule(Number.NaN, () => {})).toThrow(/delayMs/);
  });

  test("runs the next turn after what runs now and its promises", async () => {
    const ran: string[] = [];
    const turn = new Promise<void>((resolve) => {
      clock.nextTurn(() => {
        ran.push("turn");
        resolve();
      });
    });
    void Promise.resolve().then(() => ran.push("promise"));
    ran.push("now");
    await turn;
    expect(ran).toEqual(["now", "promise", "turn"]);
  });
});

describe("the system's random source", () => {
  const random = systemRandom();

  test("stays in its ranges over many draws, more than its pool holds", () => {
    const seen = new Set<number>();
    for (let draw = 0; draw < 5000; draw += 1) {
      const value = random.uint32();
      expect(Number.isInteger(value) && value >= 0 && value < 2 ** 32).toBe(true);
      seen.add(value);
      const float = random.float();
      expect(float >= 0 && float < 1).toBe(true);
    }
    expect(seen.size).toBeGreaterThan(4990);
  });

  test("gives bytes up to its limit", () => {
    expect(random.bytes(0).length).toBe(0);
    expect(new Set(random.bytes(65_536)).size).toBe(256);
    expect(() => random.bytes(65_537)).toThrow(/65,536/);
    expect(Buffer.compare(random.bytes(32), random.bytes(32))).not.toBe(0);
  });
});
