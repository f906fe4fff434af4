/**
 * What `npm start` and `npm test` run: brings the pinned Node and pnpm, installs the locked dependencies, does the job.
 *
 * Plain JavaScript without dependencies, so that a fresh clone needs nothing but Node 20 and npm. Everything that is set
 * up is told on standard error: standard output belongs to the job.
 */
import { spawn, spawnSync } from "node:child_process";
import { constants } from "node:os";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const nodeVersion = "24.9.0";
const pnpmVersion = "12.21.0";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const isWindows = process.platform === "win32";

const jobs = {
  start: ["--conditions=@revoada/source", join("apps", "node", "src", "demo", "main.ts")],
  test: [join("node_modules", "vitest", "vitest.mjs"), "run"],
};

/** A failure that is the reader's to act on: one line, no stack. */
function fail(message, status = 1) {
  process.stderr.write(`revoada: ${message}\n`);
  process.exit(status);
}

function major(version) {
  return Number(version.split(".")[0]);
}

/** The tools that are here already, when they are the pinned ones: npx then has nothing to do. */
function presentTools() {
  if (major(process.versions.node) !== major(nodeVersion)) return undefined;
  const asked = spawnSync("pnpm", ["--version"], { cwd: root, encoding: "utf8", shell: isWindows });
  if (asked.status !== 0 || asked.stdout.trim() !== pnpmVersion) return undefined;
  return { node: process.execPath, path: process.env.PATH ?? "" };
}

/**
 * Asks npx where it keeps the pinned tools, instead of running the job under it: npx between terminal and job would
 * repeat signals to it.
 */
function fetchedTools() {
  const probe =
    "process.stdout.write(JSON.stringify({ node: process.execPath, version: process.versions.node, path: process.env.PATH }))";
  const packages = ["-p", `node@${nodeVersion}`, "-p", `pnpm@${pnpmVersion}`];
  // npm's own warnings are kept from the reader unless it fails; both packages place their binary in an install script.
  const asked = spawnSync(
    "npx",
    ["-y", "--loglevel=error", ...packages, "--", "node", "-e", isWindows ? `"${probe}"` : probe],
    {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
      shell: isWindows,
    },
  );
  if (asked.error !== undefined) fail(`cannot run npx: ${asked.error.message}`);
  if (asked.status !== 0)
    fail(`npx could not bring node@${nodeVersion} and pnpm@${pnpmVersion} (exit status ${asked.status})`);
  const found = JSON.parse(asked.stdout.slice(asked.stdout.indexOf("{")));
  if (major(found.version) !== major(nodeVersion)) {
    fail(`node@${nodeVersion} was fetched, yet node is ${found.version}: does npm block install scripts?`);
  }
  return found;
}

function installDependencies(environment) {
  const installed = spawnSync("pnpm", ["install", "--frozen-lockfile"], {
    cwd: root,
    env: environment,
    stdio: ["ignore", 2, 2],
    shell: isWindows,
  });
  if (installed.error !== undefined) fail(`cannot run pnpm: ${installed.error.message}`);
  if (installed.signal !== null)
    fail(`the installation was ended by ${installed.signal}`, 128 + constants.signals[installed.signal]);
  if (installed.status !== 0) fail(`pnpm install failed (exit status ${installed.status})`);
}

/** Runs the job in the foreground; signals reach it once, and its exit status becomes ours. */
function runJob(tools, environment, commandLine) {
  const child = spawn(tools.node, commandLine, { cwd: root, env: environment, stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    let forwardedAtMs = Number.NEGATIVE_INFINITY;
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the whole foreground group, and npm repeats what it receives: the job must not take
      // one request to stop for the second one that means "at once".
      if (signal === "SIGINT" && process.stdin.isTTY) return;
      const nowMs = performance.now();
      if (nowMs - forwardedAtMs < 500) return;
      forwardedAtMs = nowMs;
      child.kill(signal);
    });
  }
  child.on("error", (error) => fail(`cannot run ${tools.node}: ${error.message}`));
  child.on("exit", (status, signal) => {
    process.exit(signal === null ? (status ?? 1) : 128 + constants.signals[signal]);
  });
}

function main() {
  const [name, ...rest] = process.argv.slice(2);
  const job = Object.hasOwn(jobs, name ?? "") ? jobs[name] : undefined;
  if (job === undefined) fail(`unknown job "${name ?? ""}", expected one of: ${Object.keys(jobs).join(", ")}`, 2);
  const tools = presentTools() ?? fetchedTools();
  const path = [dirname(tools.node), join(root, "node_modules", ".bin"), tools.path].join(delimiter);
  const environment = { ...process.env, PATH: path };
  installDependencies(environment);
  runJob(tools, environment, [...job, ...rest]);
}

main();
