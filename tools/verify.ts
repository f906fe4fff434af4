/**
 * `pnpm verify`: everything that a change has to pass, the same here and in continuous integration. Nothing is repaired: each
 * step fails and says which command would. All steps run, so that one run tells all.
 */
import { spawnSync } from "node:child_process";
import { root } from "./workspace.ts";

const steps: readonly string[] = [
  "build",
  "lint",
  "format:check",
  "boundaries",
  "sherif",
  "knip",
  "api:check",
  "publint",
  "attw",
  "changes:check",
  "test:all",
];

function runStep(step: string): { readonly step: string; readonly status: number; readonly elapsedMs: number } {
  process.stdout.write(`\n=== pnpm ${step}\n`);
  const startedMs = performance.now();
  const done = spawnSync("pnpm", ["run", "--silent", step], { cwd: root, stdio: "inherit" });
  return { step, status: done.status ?? 1, elapsedMs: performance.now() - startedMs };
}

const results = steps.map(runStep);
process.stdout.write("\n");
for (const { step, status, elapsedMs } of results) {
  process.stdout.write(`${status === 0 ? "ok    " : "FAILED"} ${step} (${(elapsedMs / 1_000).toFixed(1)} s)\n`);
}
process.exitCode = results.every(({ status }) => status === 0) ? 0 : 1;
