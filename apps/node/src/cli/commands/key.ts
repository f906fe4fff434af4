import { setTimeout as pause } from "node:timers/promises";
import { loadOrCreateIdentity } from "@revoada/attest-blake3";
import { isFabricError, shortId } from "@revoada/fabric";
import { connectNode } from "../../client.ts";
import { DataDirectory } from "../../data-directory/data-directory.ts";
import { NodeFailedError } from "../../errors.ts";
import type { CommandSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { clientFlags, directoryOf, durationFlag, show } from "./common.ts";

/** `revoada key create`. */
export const keyCreateCommand: CommandSpec = {
  path: ["key", "create"],
  summary: "make the key of a node before its first start, and show its id; a key that is there stays",
  details: ["Nodes that found a cluster together, by up --bootstrap-expect, must know each other's ids beforehand."],
  arguments: [],
  flags: clientFlags,
  examples: [{ command: "revoada key create --data-dir /var/lib/revoada", meaning: "prints the node id" }],
  run: async (invocation) => {
    const data = await DataDirectory.open(directoryOf(invocation));
    try {
      const { identity } = await loadOrCreateIdentity(data.paths.key);
      show(invocation, { node: identity.id }, () => `${identity.id}\n`);
      return exitCodes.ok;
    } finally {
      await data[Symbol.asyncDispose]();
    }
  },
};

const defaultTimeoutMs = 60_000;
const pollMs = 200;

interface Rotation {
  readonly from: string;
  readonly to: string;
}

/** Asks the daemon; undefined where none runs. */
async function rotateRunning(invocation: Invocation, timeoutMs: number): Promise<Rotation | undefined> {
  const directory = directoryOf(invocation);
  const { signal } = invocation.io;
  const untilMs = performance.now() + timeoutMs;
  let rotation: Rotation;
  try {
    await using node = await connectNode(directory, { signal });
    rotation = await node.rotateKey({ timeoutMs });
  } catch (error) {
    if (isFabricError(error, "NODE_UNREACHABLE")) return undefined;
    throw error;
  }
  // The daemon starts anew under the next key, and the leader lets that one take its place.
  while (performance.now() < untilMs && !signal.aborted) {
    if (await hasTakenPlace(directory, rotation, signal)) return rotation;
    await pause(pollMs);
  }
  throw new NodeFailedError(
    "CLUSTER_ROTATE_TIMEOUT",
    `${shortId(rotation.to)} is committed as the next key and has not taken its place within ${timeoutMs} ms: it does as soon as a majority agrees`,
  );
}

async function hasTakenPlace(directory: string, { from, to }: Rotation, signal: AbortSignal): Promise<boolean> {
  try {
    await using node = await connectNode(directory, { signal });
    const { nodes } = await node.formation();
    return (
      nodes.some(({ id, succeeds }) => id === to && succeeds === undefined) && !nodes.some(({ id }) => id === from)
    );
  } catch (error) {
    if (isFabricError(error)) return false;
    throw error;
  }
}

async function rotate(invocation: Invocation): Promise<number> {
  const timeoutMs = durationFlag(invocation, "timeout") ?? defaultTimeoutMs;
  let rotation = await rotateRunning(invocation, timeoutMs);
  const running = rotation !== undefined;
  if (rotation === undefined) {
    // Loaded here: asking a daemon needs nothing of what a node is made of.
    const { rotateLoneVoter } = await import("../../offline/lone-rotation.ts");
    rotation = await rotateLoneVoter(directoryOf(invocation));
  }
  const { from, to } = rotation;
  const then = running ? "it has taken its place" : "start it";
  show(invocation, { from, to, running }, () => `node ${from}\nis now ${to}: ${then}\n`);
  return exitCodes.ok;
}

/** `revoada key rotate`. */
export const keyRotateCommand: CommandSpec = {
  path: ["key", "rotate"],
  summary: "give a node another key: it keeps its place and its data, and the old key is refused for ever",
  details: [
    "The old key signs the new one, the cluster commits that, and the daemon starts anew under the new one by itself: the node's id is",
    "another afterwards. While a master starts anew the other voters must have a majority, else it is refused. The only voter of a",
    "cluster has nobody to agree: stop its daemon first, then run this.",
  ],
  arguments: [],
  flags: [
    { name: "timeout", value: "DURATION", summary: "how long all of it may take (default: 60s)" },
    ...clientFlags,
  ],
  examples: [{ command: "revoada key rotate", meaning: "prints the old id and the new one" }],
  run: rotate,
};
