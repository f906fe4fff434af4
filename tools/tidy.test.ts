/**
 * The house rules that a machine can see, held against every file of the repository.
 *
 * Each rule is shown in tidy-rules.test.ts to fail on a file that breaks it.
 */
import { existsSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { describe, expect, test } from "vitest";
import {
  linkViolations,
  machinePathViolations,
  manifestViolations,
  nameViolations,
  readmeViolations,
} from "./tidy/files.ts";
import { layeringViolations } from "./tidy/layering.ts";
import * as rules from "./tidy/rules.ts";
import { parseSource, type ParsedSource } from "./tidy/source.ts";
import { readSource, root, sourceFiles, workspacePackages } from "./workspace.ts";

const folders = ["packages", "apps", "examples", "tools", "docs", ".ci", ".changeset"];
const rootFiles = [
  "README.md",
  "AGENTS.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  "package.json",
  "pnpm-lock.yaml",
  "vitest.config.ts",
];
const allFiles = [
  ...folders.flatMap((folder) => sourceFiles(folder)),
  ...rootFiles.filter((path) => existsSync(join(root, path))),
];
const sources = allFiles.filter((path) => path.endsWith(".ts")).map((path) => parseSource(path, readSource(path)));
const pages = allFiles.filter((path) => path.endsWith(".md"));
const packages = workspacePackages();

function broken(rule: rules.Rule, files: readonly ParsedSource[] = sources): readonly string[] {
  return files.flatMap(rule);
}

/** The cores, and whatever they reach by relative imports: purity is not lost one file further. */
function pureSources(): readonly ParsedSource[] {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const isCore = (path: string): boolean => /^packages\/[^/]+\/src\/core\/|^packages\/topology\/src\//.test(path);
  const reached = new Set([...byPath.keys()].filter(isCore));
  for (const path of reached) {
    for (const specifier of byPath.get(path)?.specifiers ?? []) {
      const target = posix.join(dirname(path), specifier);
      if (specifier.startsWith(".") && byPath.has(target)) reached.add(target);
    }
  }
  return [...reached].flatMap((path) => byPath.get(path) ?? []);
}

describe("files", () => {
  test("have kebab-case names", () => {
    expect(allFiles.flatMap(nameViolations)).toEqual([]);
  });

  test("hold no path of somebody's machine, and the lock file no registry", () => {
    const texts = allFiles.filter((path) => !/\.(bin|cbor|png)$/.test(path));
    expect(texts.flatMap((path) => machinePathViolations(path, readSource(path)))).toEqual([]);
    expect(readSource("pnpm-lock.yaml")).not.toMatch(/https?:/);
  });
});

describe("sources", () => {
  test("are there to be judged", () => {
    expect(sources.length).toBeGreaterThan(100);
  });

  test("export nothing by default", () => expect(broken(rules.noDefaultExports)).toEqual([]));
  test("use erasable syntax only", () => expect(broken(rules.erasableOnly)).toEqual([]));
  test("import files by their whole name", () => expect(broken(rules.relativeImportsNameFiles)).toEqual([]));
  test("focus and skip no test", () => expect(broken(rules.noFocusedOrSkippedTests)).toEqual([]));
  test("leave nothing marked as unfinished", () => expect(broken(rules.nothingUnfinished)).toEqual([]));
  test("keep functions within 70 lines", () => expect(broken(rules.functionsAreShort)).toEqual([]));

  test("keep pure cores pure, with everything that they import", () => {
    const pure = pureSources();
    expect(pure.length).toBeGreaterThan(20);
    expect(broken(rules.coreIsPure, pure)).toEqual([]);
  });
});

describe("packages", () => {
  test("are all seen", () => {
    expect(packages.length).toBeGreaterThan(10);
    expect(new Set(packages.map(({ manifest }) => manifest.name)).size).toBe(packages.length);
  });

  test("import only what the layering table allows them, tests included", () => {
    const found = packages.flatMap((candidate) => {
      const own = sources.filter(({ path }) => path.startsWith(`${candidate.folder}/`));
      return layeringViolations(candidate, own);
    });
    expect(found).toEqual([]);
  });

  test("have manifests that say what they must", () => {
    expect(packages.flatMap(manifestViolations)).toEqual([]);
  });

  test("have a README that accounts for each runtime dependency", () => {
    const readmeOf = (folder: string): string | undefined => {
      const path = `${folder}/README.md`;
      return existsSync(join(root, path)) ? readSource(path) : undefined;
    };
    expect(packages.flatMap((candidate) => readmeViolations(candidate, readmeOf(candidate.folder)))).toEqual([]);
  });
});

describe("docs", () => {
  test("link only to what is there", () => {
    expect(pages.flatMap((path) => linkViolations(path, readSource(path)))).toEqual([]);
  });

  test("list every error code that the sources name, and no other", () => {
    const product = sources.filter(({ path }) => /^(packages|apps)\/[^/]+\/src\//.test(path));
    const named = new Set(product.flatMap(rules.errorCodesOf));
    const mentions = readSource("docs/errors.md").matchAll(/`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`/g);
    const documented = new Set([...mentions].map(([, code = ""]) => code));
    expect(named.size).toBeGreaterThan(20);
    expect([...named.difference(documented)].toSorted()).toEqual([]);
    expect([...documented.difference(named)].toSorted()).toEqual([]);
  });
});
