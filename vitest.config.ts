import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";

const root = import.meta.dirname;

/** Sources instead of `dist`, in modules that Vite transforms and in those that Node loads itself. */
const sourceConditions = ["@revoada/source", "module", "node", "development|production"];
const nodeArguments = ["--conditions=@revoada/source"];

function project(
  name: string,
  folder: string,
  test: TestProjectInlineConfiguration["test"] = {},
): TestProjectInlineConfiguration {
  return {
    root: join(root, folder),
    resolve: { conditions: sourceConditions },
    ssr: { resolve: { conditions: sourceConditions, externalConditions: sourceConditions } },
    test: {
      name,
      environment: "node",
      pool: "forks",
      include: ["test/**/*.test.ts"],
      execArgv: nodeArguments,
      setupFiles: [join(root, "tools/properties.ts")],
      testTimeout: 20_000,
      hookTimeout: 20_000,
      ...test,
    },
  };
}

/** Each package, app and example is a project that bears the name of its folder. */
function workspaceProjects(): TestProjectInlineConfiguration[] {
  const projects: TestProjectInlineConfiguration[] = [];
  for (const group of ["packages", "apps", "examples"]) {
    if (!existsSync(join(root, group))) continue;
    for (const entry of readdirSync(join(root, group), { withFileTypes: true })) {
      const folder = join(group, entry.name);
      if (!entry.isDirectory() || !existsSync(join(root, folder, "package.json"))) continue;
      projects.push(
        project(entry.name, folder, { exclude: ["**/node_modules/**", "test/processes/**", "test/torture/**"] }),
      );
    }
  }
  return projects;
}

export default defineConfig({
  test: {
    maxWorkers: 2,
    reporters: ["default", "./tools/count-reporter.ts"],
    projects: [
      ...workspaceProjects(),
      project("tools", "tools", { include: ["**/*.test.ts"], testTimeout: 120_000 }),
      // Real processes share the machine's cores and timing: one file at a time, after everything else.
      project("node-processes", "apps/node", {
        include: ["test/processes/**/*.test.ts"],
        fileParallelism: false,
        sequence: { groupOrder: 1 },
        testTimeout: 120_000,
        hookTimeout: 120_000,
      }),
      project("bench-torture", "apps/bench", {
        include: ["test/torture/**/*.test.ts"],
        fileParallelism: false,
        sequence: { groupOrder: 2 },
        testTimeout: 120_000,
        hookTimeout: 120_000,
      }),
    ],
  },
});
