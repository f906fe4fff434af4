import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { fileURLToPath } from "node:url";
import { clusterBugs, plant, type RunOptions, type RunResult } from "@revoada/simulation";
import { describe, expect, test } from "vitest";
import { runPlanted } from "./support/run-planted.ts";

const worker = fileURLToPath(new URL("../src/cluster/worker.ts", import.meta.url));

describe.each([...clusterBugs])("bug $number: $title", ({ patches }) => {
  test.each([...patches])("has its line in $file, once, and what it becomes can be parsed", (patch) => {
    const source = readFileSync(new URL(`../../${patch.file}`, import.meta.url), "utf8");
    const planted = plant(source, patch);
    expect(planted).not.toBe(source);
    expect(() => stripTypeScriptTypes(planted)).not.toThrow();
  });
});

/** Seeds of the corpus, which hold without the bug. */
test.each([[1, 1]])("bug %i is found by seed %i, and as what it is", { timeout: 120_000 }, async (number, seed) => {
  const result = await runPlanted<RunOptions, RunResult>(worker, "--bug", number, { seed });
  const bug = clusterBugs.find((each) => each.number === number);
  expect(bug?.breaks).toContain(result.violation?.invariant);
});
