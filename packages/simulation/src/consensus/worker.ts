/**
 * Runs seeds of the consensus world for a parent process, one after the other. With `--mutation N`, on sources into which that
 * bug was planted.
 */
import type { ConsensusRunOptions } from "./world.ts";

const [flag, number] = process.argv.slice(2);
if (flag === "--mutation") {
  const { plantMutation } = await import("./plant-mutation.ts");
  plantMutation(Number(number));
}

const { runConsensusSeed } = await import("./world.ts");

process.on("message", (options: ConsensusRunOptions) => {
  void runConsensusSeed(options).then((result) => process.send?.(result));
});
process.send?.("ready");
