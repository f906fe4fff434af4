import { expect, onTestFinished, test } from "vitest";
import { torturedByKills } from "../../src/torture/kills.ts";
import { inScratch } from "../../src/torture/scratch.ts";

test("no acknowledged write is lost or doubled where the leader is killed five times under load, and everybody twice", async () => {
  const controller = new AbortController();
  onTestFinished(() => controller.abort(new Error("the test is over")));
  const figures = await inScratch("torture-kills", (directory) =>
    torturedByKills({
      ...{ directory, signal: controller.signal, report: () => {} },
      ...{ kills: 5, all: 2, clients: 8, seed: 1, settings: { electionTimeoutMs: 500 } },
    }),
  );
  expect(figures.findings).toEqual([]);
  expect([figures.kills, figures.all]).toEqual([5, 2]);
  expect(figures.unknown).toBeGreaterThan(0);
});
