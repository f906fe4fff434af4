import { resolve } from "node:path";
import { loadOrCreateIdentity } from "@revoada/attest-blake3";
import { isFabricError, shortId, type NodeId, type Transition } from "@revoada/fabric";
import { CliFileError, CliUsageError } from "../../errors.ts";
import { writeDurably } from "../../files.ts";
import { givenOperatorKey, operatorAttestor, publicFileOf } from "../../operator/keys.ts";
import { approveTransitions } from "../../operator/sign-off.ts";
import type { CommandSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { counted, outputFlag, renderTable } from "../output.ts";
import { clientFlags, show, withNode } from "./common.ts";
import { keyFlag } from "./operator-key.ts";

/** `revoada operator create`. */
export const operatorCreateCommand: CommandSpec = {
  path: ["operator", "create"],
  summary: "make an operator's key, and a file with its public half beside it; a key that is there stays",
  details: [
    "The key signs for shifts in clusters whose strategy requires operator signatures. Nodes need the public half only: keep the key",
    "where no node can read it, and make a second one before you need it. The file is readable by its owner alone and not encrypted.",
  ],
  arguments: [{ name: "FILE", required: true, completes: "file" }],
  flags: [outputFlag],
  examples: [{ command: "revoada operator create operator.key", meaning: "operator.key and operator.key.pub" }],
  run: async (invocation) => {
    const {
      io,
      arguments: [file = ""],
    } = invocation;
    const path = resolve(io.workingDirectory, file);
    const { identity, created } = await loadOrCreateIdentity(path);
    const line = Buffer.from(`${identity.id}\n`);
    await writeDurably(publicFileOf(path), [line], { mode: 0o644 }).catch((error: unknown) => {
      throw new CliFileError("write", publicFileOf(file), error);
    });
    show(invocation, { key: identity.id, created, file, publicFile: publicFileOf(file) }, () => `${identity.id}\n`);
    return exitCodes.ok;
  },
};

/** `revoada operator list`. */
export const operatorListCommand: CommandSpec = {
  path: ["operator", "list"],
  summary: "show the operator keys in force, and up to where they vouch for the chain",
  arguments: [],
  flags: clientFlags,
  examples: [{ command: "revoada operator list", meaning: "whose signatures count" }],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const report = await node.operators();
      show(invocation, report, (paint) => {
        if (report.keys.length === 0) return "the cluster was founded without operator keys\n";
        const { sealedHeight, signedHeight } = report;
        const rows = report.keys.map(({ key, since }) => [key, since === 0 ? "genesis" : `height ${since}`]);
        const head = `sealed by voters up to ${sealedHeight}, signed by an operator up to ${Math.min(signedHeight, sealedHeight)}`;
        return `${paint("dim", head)}\n${renderTable(["KEY", "SINCE"], rows, paint)}`;
      });
      return exitCodes.ok;
    }),
};

const keyArgument = { name: "KEY|FILE", required: true, completes: "file" } as const;

/** Signs for a change of operator keys, or has it wait. */
async function change(
  invocation: Invocation,
  verb: "enrol" | "revoke",
  key: NodeId,
  transitions: readonly Transition[],
): Promise<number> {
  const { io } = invocation;
  const signer = invocation.value("key");
  return withNode(invocation, async (node) => {
    if (signer === undefined) {
      await orderOnly(() => node.orderKey(verb, key));
      show(invocation, { key, waits: true }, () => `${verb} ${shortId(key)}: it waits for revoada chain cosign\n`);
      return exitCodes.ok;
    }
    const attestor = await operatorAttestor(resolve(io.workingDirectory, signer));
    const what = transitions.map((step) => `${step.verb} ${shortId(step.node)}`).join(", ");
    const done = await approveTransitions(node, attestor, transitions, `an operator: ${what}`);
    show(invocation, { key, waits: false, ...done }, () => {
      const more =
        done.vouchedFor === 0 ? "" : `; it vouches, too, for ${counted(done.vouchedFor, "block")} not signed before`;
      return `${what}: the formation is at generation ${done.generation}${more}\n`;
    });
    return exitCodes.ok;
  });
}

/** That it waits is what was asked for. */
async function orderOnly(order: () => Promise<void>): Promise<void> {
  try {
    await order();
  } catch (error) {
    if (!isFabricError(error, "CLUSTER_AWAITS_OPERATOR")) throw error;
  }
}

function changeCommand(verb: "enrol" | "revoke", summary: string, details: readonly string[]): CommandSpec {
  return {
    path: ["operator", verb],
    summary,
    details,
    arguments: [keyArgument],
    flags: [keyFlag, ...clientFlags],
    examples: [
      { command: `revoada operator ${verb} second.key.pub --key operator.key`, meaning: "signed for at once" },
    ],
    run: async (invocation) => {
      const key = await givenOperatorKey(invocation.arguments[0] ?? "", invocation.io.workingDirectory);
      return change(invocation, verb, key, [{ verb, node: key }]);
    },
  };
}

/** `revoada operator enrol`. */
export const operatorEnrolCommand: CommandSpec = changeCommand("enrol", "let another key sign for the operators", [
  "The key is given as 64 hex characters, or as a file: its public half, or the key itself, of which only the public half is used.",
]);

/** `revoada operator revoke`. */
export const operatorRevokeCommand: CommandSpec = changeCommand(
  "revoke",
  "take an operator's key out of force, for ever; never the last one",
  ["What the key signed before stays signed. It cannot be enrolled again."],
);

/** `revoada operator rotate`. */
export const operatorRotateCommand: CommandSpec = {
  path: ["operator", "rotate"],
  summary: "put another key in the place of the one that signs for it, in one step",
  arguments: [keyArgument],
  flags: [{ ...keyFlag, summary: "the operator's key that ends" }, ...clientFlags],
  examples: [
    { command: "revoada operator rotate next.key.pub --key operator.key", meaning: "operator.key counts no more" },
  ],
  run: async (invocation) => {
    const { io } = invocation;
    const signer = invocation.value("key");
    if (signer === undefined)
      throw new CliUsageError(
        "CLI_MISSING_FLAG",
        "operator rotate needs --key FILE: the key that ends signs for the next one",
      );
    const { identity } = await operatorAttestor(resolve(io.workingDirectory, signer));
    const key = await givenOperatorKey(invocation.arguments[0] ?? "", io.workingDirectory);
    return change(invocation, "enrol", key, [
      { verb: "enrol", node: key },
      { verb: "revoke", node: identity.id },
    ]);
  },
};
