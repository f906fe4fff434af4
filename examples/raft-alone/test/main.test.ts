import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

test("the example replicates its counter over three nodes", async () => {
  const main = new URL("../src/main.ts", import.meta.url).pathname;
  const { stdout } = await promisify(execFile)(process.execPath, ["--conditions=@revoada/source", main]);
  expect(stdout).toBe("three counters: 10, 10, 10\n");
});
