/**
 * `pnpm publint` and `pnpm attw`: what each published package would look like to those who install it. Both read `dist`: run
 * `pnpm build` before.
 */
import { run, type RunResult } from "./run.ts";
import { publishedPackages } from "./workspace.ts";

const checks: Readonly<Record<string, (folder: string) => RunResult>> = {
  publint: (folder) => run("publint", ["--strict", "--pack", "pnpm"], folder),
  attw: (folder) =>
    run(
      "attw",
      ["--pack", ".", "--profile", "esm-only", "--no-emoji", "--no-color", "--exclude-entrypoints", "./package.json"],
      folder,
    ),
};

const name = process.argv[2] ?? "";
const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
if (check === undefined) {
  process.stderr.write(`publishing: unknown check "${name}", expected one of: ${Object.keys(checks).join(", ")}\n`);
  process.exit(2);
}

// Nobody imports an application: its types are nobody's concern.
const published = publishedPackages().filter(({ folder }) => name !== "attw" || folder.startsWith("packages/"));
const failed: string[] = [];
for (const { folder } of published) {
  const { status, output } = check(folder);
  if (status === 0) continue;
  failed.push(folder);
  process.stdout.write(`${folder}\n${output}\n`);
}
process.stdout.write(`${name}: ${published.length - failed.length} of ${published.length} packages pass\n`);
// A check over no package at all proves nothing.
process.exitCode = failed.length === 0 && published.length > 0 ? 0 : 1;
