/**
 * Runs the examples of each package's README and pages as a reader would: one process each, imports by package name.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readSource, root, workspacePackages } from "./workspace.ts";

const fencedBlock = /^```(ts[^\n]*)\n(.*?)^```$/gms;

interface Example {
  readonly info: string;
  readonly code: string;
}

/** The README of a package, and its pages where it has some. */
function pagesOf(folder: string): readonly string[] {
  const docs = join(root, folder, "docs");
  const pages = existsSync(docs) ? readdirSync(docs).filter((name) => name.endsWith(".md")) : [];
  return [`${folder}/README.md`, ...pages.toSorted().map((name) => `${folder}/docs/${name}`)];
}

function examplesOf(path: string): readonly Example[] {
  if (!existsSync(join(root, path))) return [];
  return [...readSource(path).matchAll(fencedBlock)].map(([, info = "", code = ""]) => ({ info: info.trim(), code }));
}

const libraries = workspacePackages().filter(({ folder }) => folder.startsWith("packages/"));

const pages = libraries.flatMap(({ folder }) => pagesOf(folder).map((path) => ({ folder, path })));

for (const { folder, path } of pages) {
  describe(path, () => {
    const examples = examplesOf(path);

    test("has an example, and each of its examples is one that runs", () => {
      expect(examples.length).toBeGreaterThan(0);
      expect(examples.filter(({ info }) => info !== "ts")).toEqual([]);
    });

    for (const [index, { code }] of examples.entries()) {
      test(`example ${index + 1} runs`, () => {
        const nodeArguments = ["--conditions=@revoada/source", "--input-type=module-typescript", "-"];
        const done = spawnSync(process.execPath, nodeArguments, {
          cwd: join(root, folder),
          input: code,
          encoding: "utf8",
          timeout: 60_000,
        });
        expect({ status: done.status, signal: done.signal, stderr: done.status === 0 ? "" : done.stderr }).toEqual({
          status: 0,
          signal: null,
          stderr: "",
        });
      });
    }
  });
}
