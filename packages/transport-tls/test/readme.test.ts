import { execFile } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { expect, test } from "vitest";

test("the README's example runs as it stands", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const [, example] = /```ts\n([\s\S]*?)```/.exec(readme) ?? [];
  // Beside the tests, so that packages resolve as they do for a user.
  const file = new URL(`./readme-example-${process.pid}.mts`, import.meta.url);
  await writeFile(file, example as string);
  try {
    const run = promisify(execFile);
    const { stdout } = await run(process.execPath, ["--conditions=@revoada/source", file.pathname], {
      timeout: 15_000,
    });
    expect(stdout).toMatch(/^hello alice \([0-9a-f]{12}\)\n$/);
  } finally {
    await rm(file);
  }
});
