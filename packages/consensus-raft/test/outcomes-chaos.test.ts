import * as fc from "fast-check";
import { expect, test } from "vitest";
import { isFabricError } from "@revoada/fabric";
import type { Session, SessionedConsensus } from "@revoada/consensus-raft";
import { mishap, Trouble, type Mishap } from "./support/chaos.ts";
import { nodeId, T, World } from "./support/replicas.ts";

interface Call {
  readonly kind: "propose";
  readonly n: number;
  readonly timeoutMs: number;
  readonly abortMs: number | undefined;
}

const call: fc.Arbitrary<Call> = fc.record({
  kind: fc.constant("propose" as const),
  n: fc.integer({ min: 1, max: 3 }),
  timeoutMs: fc.constantFrom(5, T, 4 * T, 60 * T),
  abortMs: fc.option(fc.integer({ min: 0, max: 3 * T }), { nil: undefined, freq: 4 }),
});

const event: fc.Arbitrary<Mishap | Call> = fc.oneof(mishap, call);
const events = fc.array(event, { minLength: 30, maxLength: 60 });

test("whatever happens, a refused command is in no log, an acknowledged one is applied once, and every call ends", async () => {
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(events, async (steps) => {
      const world = new World();
      const trouble = new Trouble(world);
      await trouble.form();
      const outcomes: { text: string; code: string | undefined }[] = [];
      for (const [at, step] of steps.entries()) {
        if (step.kind !== "propose") {
          await trouble.happen(step);
          continue;
        }
        const { n, timeoutMs, abortMs } = step;
        const outcome: { text: string; code: string | undefined } = { text: `command ${at}`, code: undefined };
        outcomes.push(outcome);
        const member = world.member(n);
        const controller = new AbortController();
        if (abortMs !== undefined) world.clock.schedule(abortMs, () => controller.abort(new Error("enough")));
        member.consensus.propose(outcome.text, { timeoutMs, signal: controller.signal }).then(
          () => (outcome.code = "committed"),
          (error: unknown) => (outcome.code = isFabricError(error) ? error.code : "ABORTED"),
        );
        // Those whose process was killed hear nothing more, which is the one way to hear nothing.
        member.host.schedule(100 * T, () => expect(outcome.code).toBeDefined());
      }
      world.network.heal();
      await world.clock.advanceAsync(100 * T);
      const commands = await trouble.settle();
      for (const { text, code } of outcomes) {
        seen.set(String(code), (seen.get(String(code)) ?? 0) + 1);
        const times = commands.filter((each) => each === text).length;
        expect(times).toBeLessThanOrEqual(1);
        if (code === "committed") expect(times).toBe(1);
        else if (code !== undefined && code !== "RAFT_OUTCOME_UNKNOWN")
          expect([text, code, trouble.written.has(text)]).toEqual([text, code, false]);
      }
      await world.stop();
    }),
    { seed: 17, numRuns: 40 },
  );
  for (const outcome of ["committed", "ABORTED", "RAFT_NO_QUORUM", "RAFT_OUTCOME_UNKNOWN"])
    expect([outcome, (seen.get(outcome) ?? 0) > 0]).toEqual([outcome, true]);
});

test("whatever happens, every command of a session whose client lives on is applied exactly once", async () => {
  let unknown = 0;
  let resolved = 0;
  await fc.assert(
    fc.asyncProperty(events, async (steps) => {
      const world = new World();
      const limits = { maxInFlight: 4, maxResultBytes: 100, maxBytes: 100_000 };
      const trouble = new Trouble(world, {
        sessions: limits,
        snapshotIntervalEntries: 8,
        limits: { trailingEntries: 2, proposalTimeoutMs: 4 * T },
      });
      await trouble.form();
      // The clients are nodes of their own, which nothing happens to but what happens to their leaders.
      const clients = await Promise.all(
        [4, 5].map((n) => world.start(n, { sessions: limits, hintLeader: () => world.leader()?.id ?? nodeId(1) })),
      );
      const sessions: Session<string, string>[] = [];
      for (const client of clients)
        sessions.push(await world.run((client.consensus as SessionedConsensus<string, string>).openSession()));
      const results: Promise<{ text: string; result: string }>[] = [];
      for (const [at, step] of steps.entries()) {
        if (step.kind !== "propose") {
          await trouble.happen(step);
          continue;
        }
        const text = `command ${at}`;
        const session = sessions[at % 2]!;
        results.push(session.propose(text, { timeoutMs: 1000 * T }).then(({ result }) => ({ text, result })));
        // What would have been told to somebody without a session.
        void world
          .member(step.n)
          .consensus.propose(`plain ${at}`, { timeoutMs: 4 * T })
          .catch((error: unknown) => {
            if (isFabricError(error, "RAFT_OUTCOME_UNKNOWN")) unknown += 1;
          });
      }
      world.network.heal();
      const told = await world.run(Promise.all(results), 1000 * T);
      const commands = await trouble.settle();
      for (const { text, result } of told) {
        expect(commands.filter((each) => each === text)).toEqual([text]);
        expect(result).toBe(`${commands.indexOf(text) + 1}:${text}`);
        resolved += 1;
      }
      await world.stop();
    }),
    { seed: 23, numRuns: 30 },
  );
  expect([resolved > 100, unknown > 0]).toEqual([true, true]);
});
