import type { TokenLine } from "../../daemon/operator-control.ts";
import type { CommandSpec } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { renderTable, type Cell } from "../output.ts";
import { clientFlags, durationFlag, numberFlag, show, withNode } from "./common.ts";

/** `revoada token create`. */
export const tokenCreateCommand: CommandSpec = {
  path: ["token", "create"],
  summary: "make a join token: a secret that lets nodes in",
  details: [
    "The secret is shown once: the cluster keeps its public half only. A node that a token for workers or observers let in never",
    "votes and never becomes a master, whatever becomes of the others.",
  ],
  arguments: [],
  flags: [
    { name: "ttl", value: "DURATION", summary: "how long it is good for (default: 24h)" },
    { name: "uses", value: "N", summary: "how many nodes it lets in (default: 64)" },
    {
      name: "role",
      value: "ROLE",
      summary: "the most that they may become: master (default) may be anything, worker and observer never vote",
      choices: ["master", "worker", "observer"],
    },
    { name: "label", value: "TEXT", summary: "what token list shows it as, at most 64 characters" },
    ...clientFlags,
  ],
  examples: [
    { command: "revoada token create --ttl 1h --uses 1", meaning: "for one node, within the hour" },
    {
      command: "revoada token create --role worker --uses 20",
      meaning: "for machines that shall do the work and nothing else",
    },
    { command: "revoada token create --label rack-7", meaning: "to be told apart from others later" },
  ],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const ttlMs = durationFlag(invocation, "ttl");
      const uses = numberFlag(invocation, "uses", { least: 1, most: 1_000_000 });
      const [label, role] = [invocation.value("label"), invocation.value("role")];
      const token = await node.createToken({
        ...(ttlMs === undefined ? {} : { ttlMs }),
        ...(uses === undefined ? {} : { uses }),
        ...(label === undefined ? {} : { label }),
        ...(role === undefined ? {} : { role }),
      });
      show(invocation, { token }, () => `${token}\n`);
      return exitCodes.ok;
    }),
};

function rowOf(token: TokenLine): readonly Cell[] {
  return [
    token.id,
    token.state === "good" ? { text: token.state, style: "green" } : { text: token.state, style: "yellow" },
    String(token.usesLeft),
    new Date(token.expiresMs).toISOString(),
    token.role,
    token.label ?? "-",
  ];
}

/** `revoada token list`. */
export const tokenListCommand: CommandSpec = {
  path: ["token", "list"],
  summary: "show the join tokens that the cluster keeps; never their secrets",
  arguments: [],
  flags: clientFlags,
  examples: [{ command: "revoada token list", meaning: "ids, what is left of them, and labels" }],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const tokens = await node.tokens();
      show(invocation, { tokens }, (paint) =>
        tokens.length === 0
          ? "no tokens: revoada token create makes one\n"
          : renderTable(["ID", "STATE", "USES LEFT", "EXPIRES", "ROLE", "LABEL"], tokens.map(rowOf), paint),
      );
      return exitCodes.ok;
    }),
};

/** `revoada token revoke`. */
export const tokenRevokeCommand: CommandSpec = {
  path: ["token", "revoke"],
  summary: "end a join token: it lets nobody in any more; nodes that it let in stay",
  arguments: [{ name: "ID", required: true }],
  flags: clientFlags,
  examples: [{ command: "revoada token revoke 4f1c9a20", meaning: "the id, or a beginning of it that no other has" }],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const [id = ""] = invocation.arguments;
      const { revoked } = await node.revokeToken(id);
      show(invocation, { revoked }, () => `token ${revoked} is revoked\n`);
      return exitCodes.ok;
    }),
};
