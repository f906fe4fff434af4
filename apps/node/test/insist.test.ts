import { JoinRefusedError, JoinUnreachableError } from "@revoada/cluster";
import { isFabricError } from "@revoada/fabric";
import { virtualClock } from "@revoada/fabric/memory";
import { expect, test } from "vitest";
import { insist } from "../src/daemon/insist.ts";

const notNow = new JoinRefusedError("no leader is known", { retryable: true });
const never = new JoinRefusedError();
const nobody = new JoinUnreachableError(["127.0.0.1:1"], undefined);

/** Asks with answers in order, the last one for ever, and says how often was asked and how it ended. */
async function asked(
  answers: readonly Error[],
  { isEarly = false, letIn = answers.length + 1, patienceMs = 30_000 } = {},
): Promise<{ readonly times: number; readonly ended: unknown; readonly tookMs: number }> {
  const clock = virtualClock();
  let times = 0;
  const ask = async (): Promise<string> => {
    times += 1;
    if (times >= letIn) return "let in";
    throw answers[Math.min(times, answers.length) - 1] ?? notNow;
  };
  const asking = insist(ask, { clock, signal: new AbortController().signal, patienceMs, isEarly });
  const beganMs = clock.monotonicMs();
  const ended = await clock.run(asking).catch((error: unknown) => error);
  return { times, ended, tookMs: clock.monotonicMs() - beganMs };
}

test("a newcomer that cannot be let in at the moment asks again, and is let in when it can be", async () => {
  expect(await asked([notNow, notNow])).toMatchObject({ times: 3, ended: "let in" });
});

test("a newcomer that is refused for good, or reaches nobody, ends at once", async () => {
  expect(await asked([never])).toMatchObject({ times: 1, ended: never });
  expect(await asked([nobody])).toMatchObject({ times: 1, ended: nobody });
});

test("a newcomer gives up when its patience is over, with the last answer", async () => {
  const { ended, tookMs } = await asked([notNow], { letIn: Infinity });
  expect(isFabricError(ended, "JOIN_REFUSED")).toBe(true);
  expect(tookMs).toBeGreaterThanOrEqual(30_000);
  expect(tookMs).toBeLessThan(31_000);
});

test("where the cluster may not be there yet, refusals and silence are early, and a broken declaration is not", async () => {
  expect(await asked([never, nobody], { isEarly: true })).toMatchObject({ times: 3, ended: "let in" });
  const broken = new RangeError("no such thing");
  expect(await asked([broken], { isEarly: true })).toMatchObject({ times: 1, ended: broken });
});
