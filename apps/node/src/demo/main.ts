/**
 * `npm start [-- --once] [--json] [--keep]`: the demonstration. Five daemons on loopback become a cluster, are written to, lose their
 * leader, close the gap, and prove what happened.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { isFabricError } from "@revoada/fabric";
import { demonstrate, type Demonstration } from "./demonstration.ts";
import { Fleet } from "./fleet.ts";
import { summarize, Timeline } from "./report.ts";

const help = `The demonstration: five daemons become one cluster, lose their leader, and prove what happened.

  npm start                  runs it, then stays up until Ctrl-C
  npm start -- --once        runs it and ends; exit status 1 where anything was lost, differs or does not verify
  npm start -- --once --json prints one JSON object and nothing else

  --keep   leaves the data directories where they are
`;

function options(): { readonly once: boolean; readonly json: boolean; readonly keep: boolean } | undefined {
  try {
    const { values } = parseArgs({
      options: {
        once: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        keep: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (!values.help) return values;
    process.stdout.write(help);
    process.exitCode = 0;
  } catch (error) {
    process.stderr.write(`error CLI_USAGE: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  }
  return undefined;
}

function whatNext(fleet: Fleet, { chainFile, cluster }: Demonstration): string {
  const directory = fleet.founder.directory;
  return [
    "",
    "The cluster is up until you press Ctrl-C. In another terminal, try:",
    `  pnpm revoada status --data-dir ${directory} --watch`,
    `  pnpm revoada list --data-dir ${directory}`,
    `  pnpm revoada formation --data-dir ${directory}`,
    `  pnpm revoada chain verify ${chainFile} --cluster ${cluster}`,
    `  kill -9 ${fleet.founder.pid}        # and watch the formation close the gap`,
    "",
  ].join("\n");
}

/** Resolves at the first signal that asks to end. */
function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve());
  });
}

async function main(): Promise<void> {
  const given = options();
  if (given === undefined) return;
  const { once, json, keep } = given;
  const directory = await mkdtemp(join(tmpdir(), "revoada-"));
  const timeline = new Timeline((line) => process[json ? "stderr" : "stdout"].write(`${line}\n`));
  const end = interrupted();
  await using stack = new AsyncDisposableStack();
  if (!keep) stack.defer(() => rm(directory, { recursive: true, force: true }));
  const fleet = stack.use(new Fleet({ directory, size: 5 }));
  const outcome = await Promise.race([demonstrate(fleet, directory, timeline), end]);
  if (outcome === undefined) {
    process.exitCode = 130;
    return;
  }
  const { result } = outcome;
  process.exitCode = result.ok ? 0 : 1;
  process.stdout.write(json ? `${JSON.stringify(result)}\n` : summarize(result, timeline));
  if (once) return;
  if (!json) process.stdout.write(whatNext(fleet, outcome));
  await end;
  timeline.step("stopping");
  await fleet.stopAll();
}

await main().catch((error: unknown) => {
  const code = isFabricError(error) ? error.code : "DEMONSTRATION_FAILED";
  process.stderr.write(`error ${code}: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
