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
import { parseSource } from "./tidy/source.ts";
import type { Manifest, WorkspacePackage } from "./workspace.ts";

const good = `
  import { one } from "./one.ts";
  /** Adds. */
  export function add(left: number): number { return left + one; }
`;

/** In two parts, so that this file does not hold one itself. */
const unfinished = ["TO", "DO"].join("");

const samples: readonly (readonly [string, rules.Rule, string])[] = [
  ["a default export", rules.noDefaultExports, "export default 1;"],
  ["an enum", rules.erasableOnly, "export enum Color { Red }"],
  ["a namespace", rules.erasableOnly, "export namespace Names { export const one = 1; }"],
  ["a parameter property", rules.erasableOnly, "export class Point { constructor(private readonly left: number) {} }"],
  ["an import without extension", rules.relativeImportsNameFiles, `import { one } from "./one"; export { one };`],
  ["a focused test", rules.noFocusedOrSkippedTests, `test.only("one", () => {});`],
  ["a skipped suite", rules.noFocusedOrSkippedTests, `describe.skip("one", () => {});`],
  ["an unfinished comment", rules.nothingUnfinished, `// ${unfinished}: later\nexport const one = 1;`],
  ["a function of 71 lines", rules.functionsAreShort, `export function long(): void {\n${"  one();\n".repeat(69)}}`],
  [
    "a Node module in a core",
    rules.coreIsPure,
    `import { readFileSync } from "node:fs"; export const read = readFileSync;`,
  ],
  [
    "a type of a Node module in a core",
    rules.coreIsPure,
    `import type { Stats } from "node:fs"; export type Mine = Stats;`,
  ],
  ["the clock in a core", rules.coreIsPure, "export const now = (): number => Date.now();"],
  ["randomness in a core", rules.coreIsPure, "export const roll = (): number => Math.random();"],
  ["a timer in a core", rules.coreIsPure, "export const later = (): unknown => setTimeout(() => {}, 1);"],
  ["a promise in a core", rules.coreIsPure, "export interface Reader { read(): Promise<number>; }"],
  ["an async function in a core", rules.coreIsPure, "export async function read() {}"],
];

describe("a rule about code", () => {
  for (const [what, rule, text] of samples) {
    test(`finds ${what}`, () => {
      expect(rule(parseSource("packages/catalog/src/core/sample.ts", text))).toHaveLength(1);
    });
  }

  test("finds nothing in a file that keeps them all", () => {
    const source = parseSource("packages/catalog/src/core/sample.ts", good);
    for (const [, rule] of samples) expect(rule(source)).toEqual([]);
  });

  test("takes a function of 70 lines, and a suite of any length", () => {
    const seventy = `export function long(): void {\n${"  one();\n".repeat(68)}}`;
    const suite = `describe("all", () => {\n${"  one();\n".repeat(100)}});`;
    expect(rules.functionsAreShort(parseSource("a.ts", `${seventy}\n${suite}`))).toEqual([]);
  });

  test("takes a member of a core's own that is named like a global", () => {
    expect(
      rules.coreIsPure(
        parseSource(
          "a.ts",
          "export interface Entry { readonly Date: number; } export const at = (e: Entry) => e.Date;",
        ),
      ),
    ).toEqual([]);
  });

  test("takes error codes for what they are, foreign ones and names of the environment apart", () => {
    const text = `fail("RAFT_NOT_LEADER"); fail("ERR_TLS_CERT_ALTNAME_INVALID"); read(process.env["NO_COLOR"]); say("no code");`;
    expect(rules.errorCodesOf(parseSource("a.ts", text))).toEqual(["RAFT_NOT_LEADER"]);
  });
});

const manifest: Manifest = {
  name: "@revoada/catalog",
  version: "0.1.0",
  description: "A catalog.",
  license: "Apache-2.0",
  type: "module",
  sideEffects: false,
  files: ["dist", "src"],
  engines: { node: ">=22.18" },
  exports: { "./package.json": "./package.json" },
  peerDependencies: { "@revoada/fabric": "workspace:^" },
};

function packageWith(change: Partial<Manifest>, folder = "packages/catalog", tag = "layer"): WorkspacePackage {
  return { folder, manifest: { ...manifest, ...change }, tags: [tag] };
}

describe("a rule about packages", () => {
  test("finds a layer that imports another layer, in a test too", () => {
    const source = parseSource(
      "packages/catalog/test/a.test.ts",
      `import { raft } from "@revoada/consensus-raft"; raft();`,
    );
    expect(layeringViolations(packageWith({}), [source])).toHaveLength(1);
  });

  test("finds a layer that depends on another layer without importing it", () => {
    const candidate = packageWith({ devDependencies: { "@revoada/topology": "workspace:^" } });
    expect(layeringViolations(candidate, [])).toHaveLength(1);
  });

  test("finds a wrong tag, and a package that has no place in the table", () => {
    expect(layeringViolations(packageWith({}, "packages/catalog", "app"), [])).toHaveLength(1);
    expect(layeringViolations(packageWith({}, "packages/surprise"), [])).toHaveLength(1);
  });

  test("takes a layer that imports fabric and itself", () => {
    const text = `import { one } from "@revoada/fabric/memory"; import { two } from "@revoada/catalog"; one(two);`;
    expect(layeringViolations(packageWith({}), [parseSource("packages/catalog/test/a.test.ts", text)])).toEqual([]);
  });

  test("finds what a manifest lacks or says too much of", () => {
    expect(manifestViolations(packageWith({}))).toEqual([]);
    expect(manifestViolations(packageWith({ license: "MIT" }))).toHaveLength(1);
    expect(manifestViolations(packageWith({ main: "./dist/index.js" }))).toHaveLength(1);
    expect(manifestViolations(packageWith({ dependencies: { yaml: "^2.0.0" } }))).toHaveLength(1);
    expect(manifestViolations(packageWith({ peerDependencies: {} }))).toHaveLength(1);
    expect(manifestViolations(packageWith({ exports: { "./*": "./dist/*.js" } })).length).toBeGreaterThan(0);
  });

  test("finds a dependency that the README does not account for", () => {
    const candidate = packageWith({ dependencies: { lmdb: "catalog:" } });
    expect(readmeViolations(candidate, "# Catalog")).toHaveLength(1);
    expect(readmeViolations(candidate, "# Catalog\n\n- `lmdb`: the durable store")).toEqual([]);
    expect(readmeViolations(candidate, undefined)).toHaveLength(1);
  });
});

describe("a rule about files", () => {
  test("finds a name that is not kebab-case", () => {
    expect(nameViolations("packages/catalog/src/newStore.ts")).toHaveLength(1);
    expect(nameViolations("packages/catalog/src/new_store.ts")).toHaveLength(1);
    expect(nameViolations("packages/catalog/test/new-store.test.ts")).toEqual([]);
    expect(nameViolations("packages/catalog/README.md")).toEqual([]);
  });

  test("finds a path of a machine", () => {
    const path = ["", "home", "somebody", "revoada"].join("/");
    expect(machinePathViolations("a.md", `see ${path}`)).toHaveLength(1);
    expect(machinePathViolations("a.md", "see packages/home/page.ts and /var/lib/revoada")).toEqual([]);
  });

  test("finds a link that leads nowhere", () => {
    expect(linkViolations("a.md", "[one](./nowhere.md) [two](https://example.com) [three](package.json)")).toHaveLength(
      1,
    );
  });
});
