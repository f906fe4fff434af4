import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { fileURLToPath } from "node:url";
import {
  formationBugs,
  noFormationTotals,
  plant,
  runFormationSeed,
  sumFormationTotals,
  type FormationRunOptions,
  type FormationRunResult,
} from "@revoada/simulation";
import { describe, expect, test } from "vitest";
import { runPlanted } from "./support/run-planted.ts";

const worker = fileURLToPath(new URL("../src/formation/worker.ts", import.meta.url));

describe("a minute of chaos about a formation", () => {
  /** Each topology with four, six and nine nodes. */
  const seeds = [27, 45, 72].flatMap((first) => Array.from({ length: 9 }, (_, at) => first + at));

  test(
    "breaks no promise, whatever the topology and the number of nodes, and is no idle one",
    { timeout: 120_000 },
    () => {
      const totals = noFormationTotals();
      for (const seed of seeds) {
        const { violation, totals: seen, scenario } = runFormationSeed({ seed });
        expect(violation, `seed ${seed}, ${scenario}`).toBeUndefined();
        sumFormationTotals(totals, seen);
      }
      const often = ["evictions", "readmissions", "replacements", "firstShapes", "relocations", "migrations"] as const;
      for (const event of [...often, "elections", "inheritedChanges", "inheritedJointChanges", "stepsBack"] as const)
        expect(totals[event], event).toBeGreaterThan(0);
      expect(totals.chainsVerified).toBe(seeds.length);
    },
  );

  test("gives one trace from one seed, and another from another", () => {
    const [first, second, third] = [33, 33, 42].map((seed) => runFormationSeed({ seed, chaosMs: 10_000 }).traceHash);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
  });
});

describe.each([...formationBugs])("bug $number: $title", ({ patches }) => {
  test.each([...patches])("has its line in $file, once, and what it becomes can be parsed", (patch) => {
    const source = readFileSync(new URL(`../../${patch.file}`, import.meta.url), "utf8");
    const planted = plant(source, patch);
    expect(planted).not.toBe(source);
    expect(() => stripTypeScriptTypes(planted)).not.toThrow();
  });
});

test.each([
  [1, 27],
  [2, 22],
  [3, 27],
  [4, 27],
  [12, 4],
  [13, 4],
  [14, 4],
])("bug %i is found by seed %i, and as what it is", { timeout: 60_000 }, async (number, seed) => {
  const result = await runPlanted<FormationRunOptions, FormationRunResult>(worker, "--bug", number, { seed });
  const bug = formationBugs.find((each) => each.number === number);
  expect(bug?.breaks).toContain(result.violation?.invariant);
});
