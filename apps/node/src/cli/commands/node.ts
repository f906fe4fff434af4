import type { FormationCommand } from "@revoada/fabric";
import type { CommandSpec } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { orderSigned } from "../../operator/sign-off.ts";
import { clientFlags, durationFlag, show, withNode } from "./common.ts";
import { keyFlag, signerOf } from "./operator-key.ts";

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

/** `revoada node remove`. */
export const nodeRemoveCommand: CommandSpec = {
  path: ["node", "remove"],
  summary: "take a node out of the cluster for ever; its key is never let in again",
  details: [
    "Its seat goes to another node first. For a node that is coming back use SIGTERM and a restart; for one that you can still",
    "reach, revoada leave on it is gentler. Ask on a master. Where operators sign, --key signs for both steps: that it gives its seat",
    "up, and that it goes.",
  ],
  arguments: [{ name: "NODE", required: true }],
  flags: [
    { name: "timeout", value: "DURATION", summary: "how long handing its seat over may take (default: 60s)" },
    keyFlag,
    ...clientFlags,
  ],
  examples: [
    { command: "revoada node remove 4f1c9a20", meaning: "the node id, or a beginning of it that no other has" },
  ],
  run: async (invocation) => {
    const [id = ""] = invocation.arguments;
    const timeoutMs = durationFlag(invocation, "timeout");
    const signer = await signerOf(invocation);
    return withNode(invocation, async (node) => {
      const order = (): Promise<{ readonly removed: string }> =>
        node.removeNode(id, timeoutMs === undefined ? {} : { timeoutMs });
      const isPart = ({ transitions }: Pick<FormationCommand, "transitions">): boolean =>
        transitions.every((step) => (step.verb === "quarantine" || step.verb === "remove") && step.node.startsWith(id));
      const { removed } = await (signer === undefined ? order() : orderSigned(node, signer, order, isPart));
      show(invocation, { removed }, () => `node ${removed} was removed for ever\n`);
      return exitCodes.ok;
    });
  },
};
