import type { Logger } from "@revoada/fabric";
import type { NodeEnd, RunningNode, startNode as StartNodeFunction, StartOptions } from "../../daemon/daemon.ts";
import { loadConfig, type NodeConfig } from "../../config/config.ts";
import type { LogLevel } from "../../config/settings.ts";
import type { CommandSpec, Invocation } from "../command.ts";
import { exitCodeOf, exitCodes } from "../exit-codes.ts";
import { renderError } from "../output.ts";
import { settingFlags, sourcesOf } from "./config.ts";

type StartNode = typeof StartNodeFunction;

/** What runs now, for those who hang up. */
interface Current {
  node?: RunningNode;
  /** Set where somebody hung up while the node was starting. */
  isAsked?: boolean;
}

async function runOnce(options: StartOptions, startNode: StartNode, current: Current): Promise<NodeEnd> {
  const { signal } = options;
  const node = await startNode(options);
  current.node = node;
  if (current.isAsked === true) reload(current, options.logger);
  const stop = (): void => void node.stop();
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  try {
    return await node.ended;
  } finally {
    delete current.node;
    signal.removeEventListener("abort", stop);
  }
}

/** What became of it is in the node's log; what is wrong with the settings is added here. A node that starts does so once it is up. */
function reload(current: Current, logger: Logger): void {
  current.isAsked = current.node === undefined;
  current.node?.reload().catch((error: unknown) => {
    logger.error("the settings are left as they were", { error: error instanceof Error ? error.message : error });
  });
}

async function up(invocation: Invocation): Promise<number> {
  const { io } = invocation;
  const config = await loadConfig(sourcesOf(invocation));
  // Loaded here and not above: commands that only ask a daemon start in half the time without everything that a daemon is made of.
  const [{ createLogger }, { startNode }] = await Promise.all([
    import("../../daemon/logger.ts"),
    import("../../daemon/daemon.ts"),
  ]);
  const logger = createLogger(io, config.logLevel);
  const reread = (): Promise<NodeConfig> => loadConfig(sourcesOf(invocation));
  const setLogLevel = (level: LogLevel): void => logger.setLevel(level);
  const options = { config, logger, signal: io.signal, reread, setLogLevel };
  const current: Current = {};
  const stopListening = io.onHangUp(() => reload(current, logger));
  let end: NodeEnd;
  try {
    // Another key, the same directory: everything that rests on the key is made anew.
    do end = await runOnce(options, startNode, current);
    while (end.reason === "rotated" && !io.signal.aborted);
  } finally {
    stopListening();
  }
  if (end.reason !== "failed") return exitCodes.ok;
  io.stderr.write(renderError(end.error, undefined));
  return exitCodeOf(end.error) || exitCodes.failed;
}

/** `revoada up`. */
export const upCommand: CommandSpec = {
  path: ["up"],
  summary: "run a node: found a cluster, join one, or come back to one",
  details: [
    "Settings come from flags, over REVOADA_… variables, over the file of --config. A node that has its cluster needs neither",
    "--bootstrap nor --join. SIGHUP, or revoada reload, reads the settings again. SIGTERM and SIGINT hand leadership over and stop, keeping the seat; a second one stops at once.",
  ],
  arguments: [],
  flags: settingFlags,
  examples: [
    { command: "revoada up --bootstrap --topology solo --strategy solo", meaning: "a cluster of one" },
    {
      command: "revoada up --bootstrap --listen 10.0.0.1:7400",
      meaning: "the first of three masters and any number of workers",
    },
    {
      command: "revoada up --join join-token --data-dir /var/lib/revoada",
      meaning: "with the file that the first node wrote",
    },
    { command: "revoada up", meaning: "after a restart" },
  ],
  run: up,
};
