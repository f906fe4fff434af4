import type { ReloadReport } from "../../daemon/reload.ts";
import type { CommandSpec } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { clientFlags, show, withNode } from "./common.ts";

function said(value: unknown): string {
  if (value === undefined) return "nothing";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function renderReload({ changed, left }: ReloadReport): string {
  const lines = [
    ...changed.map(({ name, from, to }) => `${name}: ${said(from)} → ${said(to)}`),
    ...left.map(({ name, why }) => `${name} is left as it was: ${why}`),
  ];
  return lines.length === 0 ? "nothing changed\n" : `${lines.join("\n")}\n`;
}

/** `revoada reload`. */
export const reloadCommand: CommandSpec = {
  path: ["reload"],
  summary: "have the daemon read its settings again, and show what changed; SIGHUP does the same",
  details: [
    "The daemon reads the file that it was started with; its flags and variables stay what they are. Log level, seeds, discovery and topology",
    "packages change at once, everything else with the next start. Where anything is wrong, nothing changes.",
  ],
  arguments: [],
  flags: clientFlags,
  examples: [{ command: "revoada reload", meaning: "after revoada.yaml was edited" }],
  run: (invocation) =>
    withNode(invocation, async (client) => {
      const report = await client.reload();
      show(invocation, report, () => renderReload(report));
      return exitCodes.ok;
    }),
};
