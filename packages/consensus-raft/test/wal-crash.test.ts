import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { act, actions, contentsOfModel, nothing, type Action, type Model } from "./wal-model.ts";
import {
  batch,
  changing,
  codeOf,
  contentsOf,
  entry,
  memoryDisk,
  openable,
  seededRandom,
  type Contents,
  type MemoryDisk,
} from "./wal-support.ts";

interface Crash {
  readonly image: MemoryDisk;
  readonly acknowledged: number;
  readonly issued: number;
}

/** Runs the actions, photographing what a crash would leave before each change of the disk. */
async function run(list: readonly Action[], seed: number): Promise<{ crashes: Crash[]; history: Model[] }> {
  const history: Model[] = [nothing];
  const crashes: Crash[] = [];
  const state = { acknowledged: 0 };
  const random = seededRandom(seed);
  const disk: MemoryDisk = memoryDisk({
    random,
    onOperation(operation) {
      if (!changing.has(operation.kind)) return;
      const image = disk.image(random.chance(0.7) ? "random" : "unsynced-lost", {
        random: random.fork(`${crashes.length}`),
      });
      crashes.push({ image, acknowledged: state.acknowledged, issued: history.length - 1 });
    },
  });
  let log = openable(disk);
  await log.open();
  const pending: Promise<void>[] = [];
  for (const [mark, action] of list.entries()) {
    if (action.kind === "reopen") {
      await Promise.all(pending.splice(0));
      await log.close();
      log = openable(disk);
      await log.open();
      continue;
    }
    const [next, promise] = act(log, history.at(-1) as Model, action, mark);
    const number = history.push(next) - 1;
    const done = promise.then(() => void (state.acknowledged = Math.max(state.acknowledged, number)));
    pending.push(done);
    if (!("wait" in action) || action.wait) await done;
  }
  await Promise.all(pending);
  await log.close();
  crashes.push({ image: disk.image("unsynced-lost"), acknowledged: state.acknowledged, issued: history.length - 1 });
  return { crashes, history };
}

function expectOneOf(
  found: Contents & { integrity: string },
  history: readonly Model[],
  from: number,
  to: number,
): void {
  const { integrity, ...contents } = found;
  expect(integrity).toBe("ok");
  const allowed = history.slice(from, to + 1).map((model) => JSON.stringify(contentsOfModel(model)));
  if (!allowed.includes(JSON.stringify(contents))) expect(contents).toEqual(contentsOfModel(history[from] as Model));
}

describe("a crash", () => {
  test("before any change of the disk leaves a log between what was acknowledged and what was asked for", async () => {
    await fc.assert(
      fc.asyncProperty(actions, fc.nat(), async (list, seed) => {
        const { crashes, history } = await run(list, seed);
        for (const { image, acknowledged, issued } of crashes) {
          const found = await contentsOf(image);
          expectOneOf(found, history, acknowledged, issued);
          // Opening repaired it: the same comes back, also after a second crash.
          image.crash();
          expect(await contentsOf(image)).toEqual(found);
        }
      }),
      { numRuns: 40, seed: 20261 },
    );
  });

  test("while a log recovers from a crash loses nothing either", async () => {
    await fc.assert(
      fc.asyncProperty(actions, fc.nat(), async (list, seed) => {
        const { crashes, history } = await run(list, seed);
        const random = seededRandom(seed);
        for (let round = 0; round < 12; round++) {
          const { image, acknowledged, issued } = random.pick(crashes);
          const second: MemoryDisk[] = [];
          const recovering: MemoryDisk = image.image("nothing-lost", {
            onOperation: (operation) =>
              void (changing.has(operation.kind) && second.push(recovering.image("random", { random }))),
          });
          expectOneOf(await contentsOf(recovering), history, acknowledged, issued);
          for (const left of second) expectOneOf(await contentsOf(left), history, acknowledged, issued);
        }
      }),
      { numRuns: 20, seed: 20262 },
    );
  });

  test("that keeps the page cache, in the middle of anything, leaves a log that goes on", async () => {
    await fc.assert(
      fc.asyncProperty(actions, fc.nat(), async (list, seed) => {
        const { crashes } = await run(list, seed);
        const random = seededRandom(seed);
        for (let round = 0; round < 5; round++) {
          const { image } = random.pick(crashes);
          const before = await contentsOf(image);
          const log = openable(image);
          const { lastIndex, hardState: state, base: found } = await log.open();
          const term = Math.max(state.term, found.term, log.term(lastIndex) ?? 0) + 1;
          await log.append(batch([entry(lastIndex + 1, term, "after the crash")]));
          await log.close();
          image.crash();
          const after = await contentsOf(image);
          expect(after.entries.slice(0, -1)).toEqual(before.entries);
          expect(after.integrity).toBe("ok");
        }
      }),
      { numRuns: 20, seed: 20263 },
    );
  });

  test("with any failing operation rejects with a code and leaves every acknowledged record", async () => {
    let failedRuns = 0;
    for (let fatal = 1; fatal <= 60; fatal++) {
      let countdown = fatal + 20;
      const disk = memoryDisk({
        onOperation(operation) {
          if (!changing.has(operation.kind) || --countdown !== 0) return;
          throw Object.assign(new Error("injected"), { code: "DISK_IO" });
        },
      });
      const log = openable(disk);
      const opened = await codeOf(log.open());
      let acknowledged = 0;
      const rounds = opened === "resolved" ? 40 : 0;
      for (let index = 1; index <= rounds; index++) {
        const code = await codeOf(log.append(batch([entry(index, 1, "x".repeat(600))])));
        if (code !== "resolved") {
          expect(code).toBe("LOG_FAILED");
          failedRuns++;
          break;
        }
        acknowledged = index;
      }
      await log.close();
      const after = await contentsOf(disk.image("unsynced-lost"));
      expect(after.integrity).toBe("ok");
      expect(after.entries.length).toBeGreaterThanOrEqual(acknowledged);
      expect(after.entries.length).toBeLessThanOrEqual(acknowledged + 1);
    }
    expect(failedRuns).toBeGreaterThan(30);
  });
});
