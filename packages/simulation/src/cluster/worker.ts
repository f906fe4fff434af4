/** Runs seeds for a parent process, one after the other. */
import { runSeed, type RunOptions } from "./run.ts";

process.on("message", (options: RunOptions) => {
  void runSeed(options).then((result) => process.send?.(result));
});
