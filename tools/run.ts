/** Runs the programs that the checks are made of. */
import { spawnSync } from "node:child_process";
import { delimiter, join } from "node:path";
import { root } from "./workspace.ts";

export interface RunResult {
  /** 0 when the program succeeded; 1 when it could not be started or a signal ended it. */
  readonly status: number;
  /** Standard output and standard error, in that order. */
  readonly output: string;
}

/** Runs a program of the workspace's own dependencies and keeps what it prints. */
export function run(command: string, commandArguments: readonly string[], folder = "."): RunResult {
  const path = [join(root, "node_modules", ".bin"), process.env["PATH"] ?? ""].join(delimiter);
  const done = spawnSync(command, commandArguments, {
    cwd: join(root, folder),
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, PATH: path, TURBO_TELEMETRY_DISABLED: "1", NO_COLOR: "1", NODE_NO_WARNINGS: "1" },
  });
  if (done.error !== undefined) return { status: 1, output: `cannot run ${command}: ${done.error.message}\n` };
  return { status: done.status ?? 1, output: `${done.stdout}${done.stderr}` };
}
