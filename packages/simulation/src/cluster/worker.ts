/** Runs seeds for a parent process, one after the other. With `--bug N`, on sources into which that bug was planted. */
import type { RunOptions } from "./run.ts";

const [flag, number] = process.argv.slice(2);
if (flag === "--bug") {
  const { plantClusterBug } = await import("./plant-bug.ts");
  plantClusterBug(Number(number));
}

const { runSeed } = await import("./run.ts");

process.on("message", (options: RunOptions) => {
  void runSeed(options).then((result) => process.send?.(result));
});
process.send?.("ready");
