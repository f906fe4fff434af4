#!/usr/bin/env node
/**
 * The `revoada` command line: the daemon and everything that talks to it.
 *
 * @packageDocumentation
 */
import { constants } from "node:os";
import { commands } from "./cli/commands.ts";
import { processIo } from "./cli/io.ts";
import { renderError } from "./cli/output.ts";
import { runCli } from "./cli/run.ts";
import { CliFileError } from "./errors.ts";

const exitGraceMs = 2000;
const stopSignals = ["SIGINT", "SIGTERM"] as const;

const interruption = new AbortController();
for (const name of stopSignals) {
  process.on(name, () => {
    // The first asks for an orderly end, the second does not wait for it.
    if (interruption.signal.aborted) process.exit(128 + constants.signals[name]);
    interruption.abort();
  });
}
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // Whoever reads the output may stop reading, as head does.
  if (error.code === "EPIPE") process.exit(0);
  process.stderr.write(renderError(new CliFileError("write", "standard output", error), undefined));
  process.exit(1);
});
process.stderr.on("error", () => process.exit(1));

process.exitCode = await runCli(process.argv.slice(2), commands, processIo(interruption.signal));
// The process ends by itself once nothing is open. What was left open by mistake must not keep a stopped daemon around.
setTimeout(() => process.exit(), exitGraceMs).unref();
