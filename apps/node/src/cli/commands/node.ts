import type { CommandSpec } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { clientFlags, durationFlag, numberFlag, show, withNode } from "./common.ts";

/** `revoada leave`. */
export const leaveCommand: CommandSpec = {
  path: ["leave"],
  summary: "give the node's place in the cluster up and stop its daemon",
  details: ["A restart is no leave: to stop a node that comes back, end its daemon with SIGTERM."],
  arguments: [],
  flags: [
    { name: "timeout", value: "DURATION", summary: "how long the others may take (default: 60s)" },
    ...clientFlags,
  ],
  examples: [{ command: "revoada leave", meaning: "returns once the cluster goes on without this node" }],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const timeoutMs = durationFlag(invocation, "timeout");
      await node.leave(timeoutMs === undefined ? {} : { timeoutMs });
      show(invocation, { left: true }, () => "the node has left its cluster and stops\n");
      return exitCodes.ok;
    }),
};

/** `revoada token create`. */
export const tokenCreateCommand: CommandSpec = {
  path: ["token", "create"],
  summary: "make a join token: a secret that lets nodes in",
  arguments: [],
  flags: [
    { name: "ttl", value: "DURATION", summary: "how long it is good for (default: 24h)" },
    { name: "uses", value: "N", summary: "how many nodes it lets in (default: 64)" },
    ...clientFlags,
  ],
  examples: [{ command: "revoada token create --ttl 1h --uses 1", meaning: "for one node, within the hour" }],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const ttlMs = durationFlag(invocation, "ttl");
      const uses = numberFlag(invocation, "uses", { least: 1, most: 1_000_000 });
      const token = await node.createToken({
        ...(ttlMs === undefined ? {} : { ttlMs }),
        ...(uses === undefined ? {} : { uses }),
      });
      show(invocation, { token }, () => `${token}\n`);
      return exitCodes.ok;
    }),
};
