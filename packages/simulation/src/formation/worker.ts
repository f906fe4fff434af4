/**
 * Runs seeds of the formation world for a parent process, one after the other. With `--bug N`, on sources into which that bug was
 * planted.
 */
import type { FormationRunOptions } from "./run.ts";

const [flag, number] = process.argv.slice(2);
if (flag === "--bug") {
  const { plantFormationBug } = await import("./plant-bug.ts");
  plantFormationBug(Number(number));
}

const { runFormationSeed } = await import("./run.ts");

process.on("message", (options: FormationRunOptions) => void process.send?.(runFormationSeed(options)));
process.send?.("ready");
