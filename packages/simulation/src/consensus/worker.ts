/** Runs seeds of the consensus world for a parent process, one after the other. */
import { runConsensusSeed, type ConsensusRunOptions } from "./world.ts";

process.on("message", (options: ConsensusRunOptions) => {
  void runConsensusSeed(options).then((result) => process.send?.(result));
});
