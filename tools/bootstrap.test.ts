import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readSource, root } from "./workspace.ts";

const bootstrap = readSource("tools/bootstrap.mjs");

function pinned(name: string): string | undefined {
  return new RegExp(`^const ${name} = "([^"]+)";$`, "m").exec(bootstrap)?.[1];
}

test("the bootstrap brings the pnpm that package.json pins, and a Node that every package takes", () => {
  const manifest = JSON.parse(readSource("package.json")) as { readonly packageManager: string };
  expect(`pnpm@${pinned("pnpmVersion")}`).toBe(manifest.packageManager);
  expect(Number(pinned("nodeVersion")?.split(".")[0])).toBeGreaterThanOrEqual(24);
});

test("the bootstrap runs on bare Node: it imports nothing that would have to be installed", () => {
  const imported = [...bootstrap.matchAll(/^import .* from "([^"]+)";$/gm)].map(([, specifier]) => specifier);
  expect(imported.length).toBeGreaterThan(0);
  expect(imported.filter((specifier) => specifier?.startsWith("node:") !== true)).toEqual([]);
});

test("an unknown job is refused in one line, before anything is fetched", () => {
  const done = spawnSync(process.execPath, [join(root, "tools", "bootstrap.mjs"), "stop"], { encoding: "utf8" });
  expect(done.status).toBe(2);
  expect(done.stdout).toBe("");
  expect(done.stderr).toBe('revoada: unknown job "stop", expected one of: start, test\n');
});
