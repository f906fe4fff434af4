/**
 * `pnpm boundaries`: no package imports what its tag does not allow it.
 *
 * `turbo boundaries` passes when it finds no package at all, so the number that it says it checked has to be the number of
 * packages that are on the disk.
 */
import { run } from "./run.ts";
import { workspacePackages } from "./workspace.ts";

const { status, output } = run("turbo", ["boundaries"]);
process.stdout.write(output);

const checked = Number(/Checked \d+ files in (\d+) packages/.exec(output)?.[1] ?? Number.NaN);
const expected = workspacePackages().length;
if (checked !== expected) {
  process.stderr.write(`boundaries: turbo checked ${checked} packages, the workspace has ${expected}\n`);
}
process.exitCode = status === 0 && checked === expected ? 0 : 1;
