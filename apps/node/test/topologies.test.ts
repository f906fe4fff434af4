import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { checkDeclaration, committedDeclaration, declare } from "../src/daemon/declare.ts";
import { knownTopologies, namedOnly } from "../src/daemon/topologies.ts";
import { temporaryDirectory } from "./helpers.ts";

const name = "@example/three-regions?ap=1&eu=1&us=1";
const here = process.cwd();

afterEach(() => process.chdir(here));

/** A project folder that the node is run from, with packages in it. */
function project(packages: Readonly<Record<string, string>> = {}): void {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, "node_modules/@example"), { recursive: true });
  symlinkSync(
    join(import.meta.dirname, "../../../examples/topology-three-regions"),
    join(directory, "node_modules/@example/three-regions"),
  );
  for (const [package_, source] of Object.entries(packages)) {
    const folder = join(directory, "node_modules", package_);
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, "package.json"),
      JSON.stringify({ name: package_, type: "module", exports: "./index.js" }),
    );
    writeFileSync(join(folder, "index.js"), source);
  }
  process.chdir(directory);
}

describe("a topology by the name of its package", () => {
  test("is loaded from beside the project, bears its parameters in the declaration, and comes back from its bytes", async () => {
    project();
    const declaration = await declare({ topology: name });
    expect(declaration.id()).toBe(`raw/homelab-3node/${name}`);
    const again = committedDeclaration({ declaration: declaration.encode() }, await knownTopologies(name));
    expect(again.toJSON()).toEqual(declaration.toJSON());
    await expect(checkDeclaration({ topology: "quorum_3m" }, again)).rejects.toMatchObject({
      code: "CLUSTER_DECLARATION_MISMATCH",
    });
  });

  test("is not loaded because a cluster says so, only where the node's own settings name it", async () => {
    project();
    const genesis = { declaration: (await declare({ topology: name })).encode() };
    const find = await knownTopologies(undefined);
    expect(() => committedDeclaration(genesis, find)).toThrow(
      expect.objectContaining({
        code: "TOPOLOGY_UNKNOWN",
        message: expect.stringContaining(`say --topology "${name}"`),
      }),
    );
    expect(committedDeclaration(genesis, namedOnly).id()).toBe(`raw/homelab-3node/${name}`);
  });

  test("is loaded with any parameters where its package is allowed, and not where another is", async () => {
    project();
    const genesis = { declaration: (await declare({ topology: name })).encode() };
    const find = await knownTopologies("quorum_3m", ["@example/three-regions"]);
    expect(committedDeclaration(genesis, find).id()).toBe(`raw/homelab-3node/${name}`);
    const other = await knownTopologies(undefined, ["@example/three-rivers"]);
    expect(() => other(name)).toThrow(expect.objectContaining({ code: "TOPOLOGY_UNKNOWN" }));
    expect((await declare({ topology: name, topologyPackages: ["@example/three-regions"] })).id()).toContain(name);
  });

  test("that is not installed is unknown, and the message says so", async () => {
    await expect(declare({ topology: "@example/nowhere" })).rejects.toMatchObject({
      code: "TOPOLOGY_UNKNOWN",
      message: expect.stringContaining("no package @example/nowhere is installed here"),
    });
  });

  test("with parameters that it cannot honour is refused with what is wrong with them", async () => {
    project();
    await expect(declare({ topology: "@example/three-regions?eu=3&us=1&ap=1" })).rejects.toMatchObject({
      code: "FABRIC_INVALID_VALUE",
      message: expect.stringContaining("at most 2 of 5 masters"),
    });
  });

  test.each([
    ["export const nothing = 1;", "it exports no function `topology`"],
    ["throw new Error('out of order');", "out of order"],
    ["export const topology = () => { throw new Error('no luck'); };", "no luck"],
    ["export const topology = () => undefined;", "has no `targetMasters`"],
    [
      "export const topology = () => ({ name: 'circle', targetMasters() {}, assign() {}, reactToLoss() {}, validate() {} });",
      'calls itself "circle"',
    ],
    [
      "export const topology = ({ name }) => ({ name, minNodes: -1, targetMasters() {}, assign() {}, reactToLoss() {}, validate() {} });",
      "wants -1 nodes",
    ],
  ])("is refused where the package is none: %s", async (source, reason) => {
    project({ ring: source });
    await expect(declare({ topology: "ring" })).rejects.toMatchObject({
      code: "TOPOLOGY_PACKAGE_INVALID",
      message: expect.stringContaining(reason),
    });
  });

  test("is never one of Node's own modules", async () => {
    await expect(declare({ topology: "fs" })).rejects.toMatchObject({ code: "TOPOLOGY_UNKNOWN" });
  });
});
