import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

test("the example of the README runs as it stands and prints what it says", async () => {
  const folder = join(import.meta.dirname, "..");
  const readme = await readFile(join(folder, "README.md"), "utf8");
  const example = /```ts\n(.*?)```/s.exec(readme)?.[1] ?? "";
  const directory = await mkdtemp(join(tmpdir(), "rvd-"));
  const run = `
    import { MemoryCatalog } from "./test/support/memory-catalog.ts";
    await tour(new MemoryCatalog(), ${JSON.stringify(join(directory, "s"))});`;
  const options = ["--conditions=@revoada/source", "--input-type=module-typescript", "--eval", example + run];
  const { stdout } = await promisify(execFile)(process.execPath, options, { cwd: folder });
  expect(stdout).toBe("created 1\n{ resources: 1 }\n42\nFACE_RESOURCE_NOT_FOUND\n");
  await rm(directory, { recursive: true });
});

test("the example of leases in the README runs as it stands and prints what it says", async () => {
  const folder = join(import.meta.dirname, "..");
  const readme = await readFile(join(folder, "README.md"), "utf8");
  const example = [...readme.matchAll(/```ts\n(.*?)```/gs)][1]?.[1] ?? "";
  const directory = await mkdtemp(join(tmpdir(), "rvd-"));
  const run = `
    import { silentLogger } from "@revoada/fabric";
    import { controlRegistry, controlServer } from "@revoada/face-pure-raft";
    import { startedFace } from "./test/support/fixtures.ts";
    const { face } = await startedFace();
    const path = ${JSON.stringify(join(directory, "s"))};
    await using server = await controlServer({ path, face: () => face, control: controlRegistry(), logger: silentLogger });
    await present(path, "rack-7");`;
  const options = ["--conditions=@revoada/source", "--input-type=module-typescript", "--eval", example + run];
  const { stdout } = await promisify(execFile)(process.execPath, options, { cwd: folder });
  expect(stdout).toBe("[ { kind: 'Host', name: 'rack-7' } ]\n{ ttlMs: 30000 }\nCATALOG_FENCED\n");
  await rm(directory, { recursive: true });
});

test("the README names every error code of the package and no other", async () => {
  const folder = join(import.meta.dirname, "..");
  const code = /"((?:FACE|CONTROL|RAFT)_[A-Z_]+)"/g;
  const sources = await Promise.all(
    ["src/errors.ts", "src/control/errors.ts"].map((file) => readFile(join(folder, file), "utf8")),
  );
  const raised = sources.flatMap((source) => [...source.matchAll(code)].map((match) => match[1]));
  const readme = await readFile(join(folder, "README.md"), "utf8");
  const listed = [...readme.matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1]);
  expect(listed.length).toBe(raised.length);
  expect(new Set(listed)).toEqual(new Set(raised));
});
